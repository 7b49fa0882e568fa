"""The door for Google Play's notifications: verified, translated, found, stored. Sheet G.4; SPEC 12, 15, 18."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect

from dunning.errors import ConfigurationError, DunningError
from dunning.gateway.dispatcher import Dispatcher
from dunning.gateway.reception import Reception
from dunning.gateway.refusals import RefusalLog
from dunning.ledger import Ledger
from dunning.providers.base import MessageKind, ProviderRefused, ProviderUnavailable, WebhookRefused
from dunning.providers.following import PlanMessage
from dunning.providers.google_play import GooglePlayProvider
from dunning.providers.google_play_push import (
    FetchedKeys,
    FixedKeys,
    KeySource,
    PushVerifier,
    in_place_of,
    message_of,
    read_push,
)
from dunning.settings import AccountSettings, GooglePlaySettings

log = structlog.get_logger("gateway")

MAX_BODY = 1024 * 1024
MAX_CHAIN = 20
"""How many purchases back a new one is followed to one that we know."""


@dataclass(frozen=True)
class PlayDoor:
    """One Google Play account's entrance."""

    provider: GooglePlayProvider
    verifier: PushVerifier


def play_doors(
    accounts: Mapping[str, AccountSettings], providers: Mapping[str, object], keys: KeySource | None = None
) -> dict[str, PlayDoor]:
    """The doors of the accounts whose pushes can be verified; `keys` instead of those of the settings.

    Raises:
        ConfigurationError: a key file cannot be read.
    """
    found = {}
    for name, account in accounts.items():
        provider, play = providers.get(name), account.google_play
        if not isinstance(provider, GooglePlayProvider) or play is None:
            continue
        if play.push_audience is None or play.push_email is None:
            log.warning("play.no_push", account=name, because="push_audience and push_email are not set")
            continue
        verifier = PushVerifier(keys or key_source(play), audience=play.push_audience, email=play.push_email)
        found[name] = PlayDoor(provider, verifier)
    return found


def key_source(play: GooglePlaySettings) -> KeySource:
    """Keys from the file, if one is named, else fetched. Raises `ConfigurationError` for a file without keys."""
    if play.push_keys_file is None:
        return FetchedKeys(play.push_keys_url)
    try:
        content = json.loads(play.push_keys_file.read_text(encoding="utf-8"))
        return FixedKeys({str(name): str(pem) for name, pem in content.items()})
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"push_keys_file cannot be read: {type(error).__name__}") from None


def add_play_push(
    app: FastAPI,
    doors: Mapping[str, PlayDoor],
    ledger: Ledger,
    reception: Reception,
    dispatcher: Dispatcher,
    *,
    machine_now: Callable[[], datetime],
) -> None:
    """Add the route; before the one for all other providers, whose path also fits."""
    refusals = RefusalLog(ledger)

    @app.post("/webhooks/google_play/{account}", include_in_schema=False)
    async def push(account: str, request: Request) -> JSONResponse:
        door = doors.get(account)
        if door is None:
            return _answer(404, "no such merchant account")
        now = machine_now()
        try:
            body = await _body(request)
            if body is None:
                return _answer(413, "too large")
            await door.verifier.verify(request.headers, now)
            message_id, told = read_push(body)
        except ClientDisconnect:
            return _answer(400, "incomplete")
        except WebhookRefused as refused:
            await refusals.note(account, str(refused), request.headers)
            return _answer(401, "refused")
        except ProviderUnavailable as away:
            log.error("play.no_keys", account=account, because=str(away))
            return _answer(503, "not verified")
        except ValueError as error:
            # Genuine and unreadable: it would be as unreadable the next time. Nothing is lost, all is read of Play.
            log.error("play.unreadable", account=account, because=str(error))
            return _answer(200, "unreadable")
        if told.package_name != door.provider.package_name:
            log.warning("play.other_package", account=account)
            return _answer(200, "another app's")
        try:
            message = await _placed(door.provider, ledger, account, message_of(message_id, told))
            taken = await reception.store(account, message, door.provider.declines, now)
        except (DunningError, SQLAlchemyError, OSError, TimeoutError) as failure:
            log.error("webhook.not_stored", account=account, because=type(failure).__name__)
            return _answer(503, "not stored")
        dispatcher.wake()
        log.info("webhook.taken", account=account, type=message.raw_type, id=message.message_id, result=taken)
        return _answer(200, taken.value)


async def _placed(provider: GooglePlayProvider, ledger: Ledger, account: str, message: PlanMessage) -> PlanMessage:
    """The message with the subscription that its purchase goes on from, where the token itself is not known.

    A purchase that was changed, made again or prolonged has a token of its own, which names the one before.
    """
    token = message.reference
    if message.kind is not MessageKind.PLAN or token is None or await ledger.find_subscription(account, token):
        return message
    current = token
    for _ in range(MAX_CHAIN):
        try:
            wire = await provider.client.purchase(current)
        except ProviderRefused:
            return message  # unknown, or gone: recorded, and nobody's
        context = wire.out_of_app_purchase_context
        found = wire.linked_purchase_token or (context.expired_purchase_token if context else None)
        if found is None:
            return message
        subscription = await ledger.find_subscription(account, found)
        if subscription is not None:
            return in_place_of(message, token, found, subscription)
        current = found
    return message


async def _body(request: Request) -> bytes | None:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            return None
    return bytes(body)


def _answer(status: int, result: str) -> JSONResponse:
    return JSONResponse({"result": result}, status_code=status)
