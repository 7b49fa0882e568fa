"""`POST /v1/subscriptions`: idempotent by the id, and by `Idempotency-Key`. SPEC 4."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from dunning.client import Started
from dunning.domain.foretelling import rung_warnings
from dunning.domain.script import Script
from dunning.domain.terms import Subscription
from dunning.errors import ConfigurationError, Conflict, Fault, InvalidInput, NotFound
from dunning.gateway.api.house import Api, ApiOf, Caller, CallerOf, guarded
from dunning.gateway.api.problems import Trouble, invalid
from dunning.gateway.api.requests import read_document
from dunning.gateway.api.views import CreatedView
from dunning.intake import creation_warnings, parse_subscription
from dunning.previewing import foretell
from dunning.testclock import require_development_server

IDEMPOTENCY_KEY = r"^[A-Za-z0-9._:-]{1,64}$"

KeyHeader = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=IDEMPOTENCY_KEY,
        description="a text of your choice; the same request with the same key is done once",
        examples=["order-20260305-1"],
    ),
]

router = APIRouter(prefix="/v1")


class CreationQuery(BaseModel):
    """How to create."""

    model_config = ConfigDict(extra="forbid")

    restart: bool = Field(default=False, description="begin a failed or inactive subscription anew, with these terms")
    test_clock: bool = Field(
        default=False,
        description="development only: its time is moved by `dunning clock advance`; refused anywhere else",
    )


@router.post("/subscriptions", response_model=CreatedView, status_code=201)
async def create_subscription(
    request: Request,
    api: ApiOf,
    caller: CallerOf,
    query: Annotated[CreationQuery, Query()],
    key: KeyHeader = None,
) -> JSONResponse:
    """Write a subscription down and start it.

    The same id with the same terms changes nothing and answers 200; with other terms it is a conflict. Contacts are
    no terms. With an `Idempotency-Key`, a repeat gets the first answer again.
    """
    if query.restart and key is None:
        rule = "must be given with restart: a repeat would begin the subscription once more"
        raise invalid([Fault("Idempotency-Key", rule)], "header")
    if query.test_clock:
        _require_development(api, caller)
    now = api.machine_now()
    document = await read_document(request)
    given = accepted(api, caller, document, now)
    if key is None:
        started = await _start(api, caller, given, now, restart=False, is_test_clock=query.test_clock)
        status, body = _told(given, started, now)
    else:
        status, body = await _once(api, caller, (key, query, document), given, now)
    where = {"Location": f"/v1/subscriptions/{given.id}"}
    return JSONResponse(body, status_code=status, headers=where)


def accepted(
    api: Api, caller: Caller, document: dict[str, Any], now: datetime, *, is_preview: bool = False
) -> Subscription:
    """The subscription of a body, or all of its faults. The account is the key's, and need not be written."""
    faults: list[Fault] = []
    account = document.get("merchant_account", caller.account)
    if isinstance(account, str) and account != caller.account:
        faults.append(Fault("merchant_account", "must be the account of the key, or be left out", account[:80]))
        account = caller.account
    if not is_preview and document.get("created_at") is not None:
        faults.append(Fault("created_at", "must be left out: what is created now was created now", None))
        document = {**document, "created_at": None}
    subscription = None
    try:
        subscription = parse_subscription({**document, "merchant_account": account}, at=None if is_preview else now)
    except InvalidInput as refused:
        faults.extend(refused.faults)
    settings = api.accounts.get(caller.account)
    if settings is not None and subscription is not None and subscription.provider.value != settings.provider:
        rule = f"must be the merchant account's {settings.provider}"
        faults.append(Fault("provider", rule, subscription.provider.value))
    if faults or subscription is None:
        raise invalid(faults)
    return subscription


def _require_development(api: Api, caller: Caller) -> None:
    """A virtual clock moves no real money: only in test mode, only with a server on this very machine. SPEC 16."""
    account = api.accounts.get(caller.account)
    try:
        require_development_server(api.dunning.temporal)
    except ConfigurationError as refused:
        raise invalid([Fault("test_clock", str(refused), True)], "query") from None
    if account is None or account.mode != "test":
        raise invalid([Fault("test_clock", "needs a merchant account in test mode", True)], "query")


async def _once(
    api: Api, caller: Caller, asked: tuple[str, CreationQuery, dict[str, Any]], given: Subscription, now: datetime
) -> tuple[int, dict[str, Any]]:
    """Do it, unless the key says that it was done; a first request that died on its way is finished."""
    key, query, document = asked
    before = await guarded(_generation(api, given))
    answer = await guarded(
        api.ledger.begin_request(caller.account, key, fingerprint=_fingerprint(query, document), generation=before + 1)
    )
    if answer.is_conflict:
        raise Trouble("key-reused", f"{key!r} belongs to another request of this account; nothing has changed")
    if answer.status is not None and answer.body is not None:
        return answer.status, answer.body
    # A restart that got as far as the ledger is not done again: only its run is made sure of.
    is_to_do = query.restart and before < answer.generation
    started = await _start(api, caller, given, now, restart=is_to_do, is_test_clock=query.test_clock)
    status, body = _told(given, started, now)
    await guarded(api.ledger.keep_answer(caller.account, key, status=status, body=body))
    return status, body


async def _generation(api: Api, given: Subscription) -> int:
    try:
        return (await api.ledger.read_subscription(given.merchant_account, given.id)).generation
    except NotFound:
        return 0


async def _start(
    api: Api, caller: Caller, given: Subscription, now: datetime, *, restart: bool, is_test_clock: bool
) -> Started:
    memo = {"request_id": caller.request_id}
    try:
        return await guarded(api.dunning.start(given, now=now, restart=restart, is_test_clock=is_test_clock, memo=memo))
    except Conflict as conflict:
        raise Trouble("conflict", str(conflict)) from None


def _told(given: Subscription, started: Started, now: datetime) -> tuple[int, dict[str, Any]]:
    view = CreatedView(
        id=given.id,
        merchant_account=given.merchant_account,
        status="started" if started.is_new else "exists",
        generation=started.generation,
        workflow_id=started.workflow_id,
        warnings=[*creation_warnings(given), *_rungs(given, now)],
    )
    return (201 if started.is_new else 200), view.model_dump(mode="json")


def _rungs(given: Subscription, now: datetime) -> tuple[str, ...]:
    """One sentence for each rung that will be dropped. SPEC 6."""
    return rung_warnings(foretell(given, Script(), created_at=now, cycles=1), given.terms())


def _fingerprint(query: CreationQuery, document: dict[str, Any]) -> str:
    # A clock that is not asked for is not mentioned, so that fingerprints stay what they were.
    asked = [query.restart, *(["test_clock"] if query.test_clock else []), document]
    whole = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(whole.encode()).hexdigest()
