"""The gateway's doors for notices: WhatsApp's statuses, bounced mails, and the link that leaves mails out. SPEC 11, 18.

Every call may be repeated and may come late or twice; a ledger that is away answers 503, and the caller comes again.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import ClientDisconnect

from dunning.domain.contact import NoticeKind
from dunning.domain.terms import Channel
from dunning.errors import DunningError
from dunning.ledger import Ledger
from dunning.notices.bounces import MAX_BYTES as MAX_BOUNCE
from dunning.notices.bounces import NotABounce, read_bounce
from dunning.notices.reconciling import Reconciling
from dunning.notices.texts import texts
from dunning.notices.unsubscribing import PATH, customer_in
from dunning.notices.whatsapp_words import OtherWord, Refused, StatusWord, StopWord, read_words, verify
from dunning.settings import AccountSettings, WhatsAppSettings

log = structlog.get_logger("gateway")

MAX_STATUSES = 3 * 1024 * 1024
"""Bytes of one call of Meta's: as many as it says that it sends at most."""

_CHALLENGE = re.compile(r"[A-Za-z0-9_.-]{1,200}")
_AWAY = (DunningError, SQLAlchemyError, OSError, TimeoutError)
_PAGE = """<!doctype html>
<html lang="{language}" dir="{direction}"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">
<title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 18px/1.55 system-ui, "Noto Sans", "Noto Sans Arabic", "Noto Sans Thai", sans-serif; margin: 0 auto;
  max-width: 34rem; padding: 2.5rem 1.25rem }}
button {{ font: inherit; font-weight: 600; padding: .7rem 1.4rem; border: 0; border-radius: .5rem;
  background: #1a4fd6; color: #fff }}
button:focus-visible {{ outline: 3px solid #f90; outline-offset: 2px }}
</style></head><body><h1>{title}</h1>{body}</body></html>
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"


class _TooLarge(Exception):
    """The body is larger than any message."""


def add_notice_doors(
    app: FastAPI, accounts: Mapping[str, AccountSettings], ledger: Ledger, *, wake: Callable[[], None]
) -> None:
    """Add the routes; `wake` is called when something was stored that a workflow has to hear."""
    reconciling = Reconciling(ledger)
    _add_whatsapp(app, accounts, reconciling, wake)
    _add_bounces(app, accounts, ledger, reconciling, wake)
    _add_unsubscribing(app, accounts, ledger)


def _add_whatsapp(
    app: FastAPI, accounts: Mapping[str, AccountSettings], reconciling: Reconciling, wake: Callable[[], None]
) -> None:
    @app.get("/webhooks/whatsapp/{account}", include_in_schema=False)
    async def challenge(account: str, request: Request) -> Response:
        """Meta asks once whether this address is ours."""
        asked = request.query_params
        said = asked.get("hub.challenge", "")
        is_ours = _is_verify_token(accounts.get(account), asked.get("hub.verify_token", ""))
        if asked.get("hub.mode") != "subscribe" or not is_ours or not _CHALLENGE.fullmatch(said):
            return _answer(403, "refused")
        return PlainTextResponse(said, headers={"X-Content-Type-Options": "nosniff"})

    @app.post("/webhooks/whatsapp/{account}", include_in_schema=False)
    async def statuses(account: str, request: Request) -> Response:
        """Statuses of messages, answers, and whatever else Meta tells; all of it is acknowledged."""
        channel = accounts[account].whatsapp if account in accounts else None
        if channel is None:
            return _answer(404, "no such merchant account")
        try:
            words = await _words(request, channel)
        except ClientDisconnect:
            return _answer(400, "incomplete")
        except _TooLarge:
            return _answer(413, "too large")
        except Refused as refused:
            log.warning("whatsapp.refused", account=account, because=str(refused))
            return _answer(401, "refused")
        try:
            taken = [await reconciling.take(account, word) for word in words]
        except _AWAY as failure:
            log.error("whatsapp.not_stored", account=account, because=type(failure).__name__)
            return _answer(503, "not stored")
        if "failed" in taken:
            wake()
        log.info("whatsapp.taken", account=account, count=len(taken), failed=taken.count("failed"))
        return _answer(200, "taken")


def _is_verify_token(account: AccountSettings | None, shown: str) -> bool:
    token = account.whatsapp.verify_token if account is not None and account.whatsapp is not None else None
    return token is not None and hmac.compare_digest(shown.encode(), token.get_secret_value().encode())


async def _words(request: Request, channel: WhatsAppSettings) -> list[StatusWord | StopWord | OtherWord]:
    body = await _read(request, MAX_STATUSES)
    if channel.app_secret is None:
        raise Refused("there is no app_secret in the settings")
    verify(request.headers.get("x-hub-signature-256"), body, channel.app_secret.get_secret_value())
    return read_words(body, channel.phone_number_id)


def _add_bounces(
    app: FastAPI,
    accounts: Mapping[str, AccountSettings],
    ledger: Ledger,
    reconciling: Reconciling,
    wake: Callable[[], None],
) -> None:
    @app.post("/webhooks/email/{account}", include_in_schema=False)
    async def bounce(account: str, request: Request) -> Response:
        """One raw delivery status notification, handed on by the mail server; a key of the account opens the door."""
        scheme, _, shown = request.headers.get("authorization", "").partition(" ")
        try:
            key = await ledger.open_with(shown.strip()) if scheme.lower() == "bearer" else None
            if key is None or key.account != account:
                return _answer(401, "refused")
            if account not in accounts:
                return _answer(404, "no such merchant account")
            found = read_bounce(await _read(request, MAX_BOUNCE))
            taken = await reconciling.bounced(account, found, datetime.now(UTC))
        except ClientDisconnect:
            return _answer(400, "incomplete")
        except _TooLarge:
            return _answer(413, "too large")
        except NotABounce as refused:
            return _answer(422, str(refused))
        except _AWAY as failure:
            log.error("bounce.not_stored", account=account, because=type(failure).__name__)
            return _answer(503, "not stored")
        wake()
        log.info("bounce.taken", account=account, status=found.status, result=taken)
        return _answer(200, taken)


def _add_unsubscribing(app: FastAPI, accounts: Mapping[str, AccountSettings], ledger: Ledger) -> None:
    @app.get(PATH + "/{account}/{token}", include_in_schema=False)
    async def ask(account: str, token: str) -> Response:
        """A page with a button: programs that follow every link of a mail change nothing."""
        return await _page(accounts, ledger, account, token, is_done=False)

    @app.post(PATH + "/{account}/{token}", include_in_schema=False)
    async def leave_out(account: str, token: str) -> Response:
        """One click, of the page's button or of the mail reader's own. RFC 8058."""
        return await _page(accounts, ledger, account, token, is_done=True)


async def _page(
    accounts: Mapping[str, AccountSettings], ledger: Ledger, account: str, token: str, *, is_done: bool
) -> Response:
    known = accounts.get(account)
    link = known.unsubscribe if known is not None else None
    customer = customer_in(link, account, token) if link is not None else None
    if known is None or customer is None:
        return _answer(404, "no such link")
    try:
        if is_done:
            await ledger.opt_out(account, customer, Channel.EMAIL, NoticeKind.ROUTINE, source="link")
        said = texts((await ledger.reach(account, customer)).contacts.locale)
    except _AWAY as failure:
        log.error("unsubscribe.not_stored", account=account, because=type(failure).__name__)
        return _answer(503, "not stored")
    words = said.unsubscribe
    sentence = escape((words.done if is_done else words.question).format(merchant=known.merchant_name))
    button = "" if is_done else f'<form method="post"><button>{escape(words.button)}</button></form>'
    page = _PAGE.format(
        language=said.language, direction=said.direction, title=escape(words.title), body=f"<p>{sentence}</p>{button}"
    )
    return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"})


async def _read(request: Request, limit: int) -> bytes:
    """The raw body, read no further than the limit."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _TooLarge
    return bytes(body)


def _answer(status: int, result: str) -> JSONResponse:
    return JSONResponse({"result": result}, status_code=status)
