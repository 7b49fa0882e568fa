"""The gateway's HTTP face."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect

from dunning.errors import DunningError
from dunning.gateway.api import Api, add_api
from dunning.gateway.dispatcher import Dispatcher
from dunning.gateway.notices import add_notice_doors
from dunning.gateway.play_push import PlayDoor, add_play_push
from dunning.gateway.reception import Reception
from dunning.gateway.refusals import RefusalLog
from dunning.ledger import Ledger
from dunning.providers.base import PaymentProvider, ProviderMessage, WebhookRefused
from dunning.settings import AccountSettings

log = structlog.get_logger("gateway")

MAX_BODY = 256 * 1024
"""Bytes of one message. Dodo's are a few kilobytes; what is larger is not read to its end. SPEC 18."""

TEMPORAL_SECONDS = 2.0

Check = Callable[[], Awaitable[bool]]


@dataclass(frozen=True)
class Door:
    """One merchant account's way in: the adapter that reads its messages, and the secrets that sign them."""

    provider: PaymentProvider
    secrets: tuple[str, ...]


class Health(BaseModel):
    """The process answers."""

    result: Literal["ok"]


class Readiness(BaseModel):
    """What the gateway needs. Without Temporal, providers' messages are still taken."""

    ledger: Literal["ok", "away"]
    temporal: Literal["ok", "away"]


class TooLarge(Exception):
    """The body is larger than any message."""


def create_app(
    doors: Mapping[str, Door],
    ledger: Ledger,
    dispatcher: Dispatcher,
    *,
    is_temporal_well: Check,
    machine_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    api: Api | None = None,
    accounts: Mapping[str, AccountSettings] | None = None,
    play: Mapping[str, PlayDoor] | None = None,
) -> FastAPI:
    """The application; its dispatcher runs as long as its lifespan.

    Args:
        doors: by merchant account; the adapter's own name is part of the route.
        is_temporal_well: whether the workflow service answers; told by `/readyz`, and no condition of it.
        machine_now: the clock that signatures are held against.
        play: Google Play accounts, whose notifications come by Pub/Sub.
        api: what the HTTP API works with; without it, only providers' messages are taken.
        accounts: merchant accounts by name, as the settings have them: how their notices go out.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        loop = asyncio.create_task(dispatcher.run())
        try:
            yield
        finally:
            await reception.aclose()
            loop.cancel()
            await asyncio.gather(loop, return_exceptions=True)

    reception = Reception(ledger)
    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    # Before the providers' route, whose form theirs have too.
    add_notice_doors(app, accounts or {}, ledger, wake=dispatcher.wake)
    add_play_push(app, play or {}, ledger, reception, dispatcher, machine_now=machine_now)
    _add_webhooks(app, doors, reception, dispatcher, machine_now)
    _add_health(app, ledger, is_temporal_well)
    if api is not None:
        add_api(app, api)
    return app


def _add_webhooks(
    app: FastAPI,
    doors: Mapping[str, Door],
    reception: Reception,
    dispatcher: Dispatcher,
    machine_now: Callable[[], datetime],
) -> None:
    refusals = RefusalLog(reception.ledger)

    async def webhook(request: Request) -> Response:
        account = request.path_params["account"]
        door = doors.get(account)
        if door is None or door.provider.capabilities.name != request.path_params["provider"]:
            return _answer(404, "no such merchant account")
        now = machine_now()
        try:
            body = await _read(request)
            message = door.provider.read_webhook(_headers(request), body, secrets=list(door.secrets), now=now)
            _require_storable(body, message)
        except ClientDisconnect:
            return _answer(400, "incomplete")
        except TooLarge:
            await refusals.note(account, "the message is larger than any of the provider's", request.headers)
            return _answer(413, "too large")
        except WebhookRefused as refused:
            await refusals.note(account, str(refused), request.headers)
            return _answer(401, "refused")
        try:
            taken = await reception.store(account, message, door.provider.declines, now)
        except (DunningError, SQLAlchemyError, OSError, TimeoutError) as failure:
            # Not acknowledged: the provider sends it again.
            log.error("webhook.not_stored", account=account, because=type(failure).__name__)
            return _answer(503, "not stored")
        dispatcher.wake()
        log.info("webhook.taken", account=account, type=message.raw_type, id=message.message_id, result=taken)
        return _answer(200, taken.value)

    # Starlette's own route: everything that FastAPI does for one, the body's model and the parameters', is done above.
    app.add_route("/webhooks/{provider}/{account}", webhook, methods=["POST"], include_in_schema=False)


def _require_storable(body: bytes, message: ProviderMessage) -> None:
    """Refuse a message with a NUL in a text: the ledger could settle by it and then not store it, for ever."""
    if b"\\u0000" in body and any("\x00" in text for text in _texts(message.model_dump())):
        raise WebhookRefused("it holds a character that no text of the ledger can hold")


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for name, inner in node.items():
            yield name
            yield from _texts(inner)
    elif isinstance(node, list | tuple):
        for inner in node:
            yield from _texts(inner)


def _add_health(app: FastAPI, ledger: Ledger, is_temporal_well: Check) -> None:
    @app.get("/healthz", response_model=Health)
    async def healthz() -> JSONResponse:
        """The process answers."""
        return _answer(200, "ok")

    @app.get("/readyz", response_model=Readiness, responses={503: {"model": Readiness, "description": "Not ready"}})
    async def readyz() -> JSONResponse:
        """Messages can be stored. Without Temporal they are: they wait in the inbox."""
        try:
            await ledger.ping()
            has_ledger = True
        except (DunningError, SQLAlchemyError, OSError, TimeoutError):
            has_ledger = False
        temporal = "ok" if await _within(is_temporal_well) else "away"
        body = {"ledger": "ok" if has_ledger else "away", "temporal": temporal}
        return JSONResponse(body, status_code=200 if has_ledger else 503)


async def _within(check: Check) -> bool:
    try:
        async with asyncio.timeout(TEMPORAL_SECONDS):
            return await check()
    except Exception:
        return False


def _headers(request: Request) -> dict[str, str]:
    """By name in small letters; of a name that stands twice, the first, as Starlette reads them, only at once."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(request.scope["headers"])}


async def _read(request: Request) -> bytes:
    """The raw body, read no further than the limit; what a header claims about its length is not believed."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLarge
    return bytes(body)


def _answer(status: int, result: str) -> JSONResponse:
    return JSONResponse({"result": result}, status_code=status)
