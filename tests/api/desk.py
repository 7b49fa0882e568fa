"""The API over real HTTP, a real ledger and a real Temporal server; no worker, so nothing moves by itself."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
from pydantic import SecretStr
from temporalio.client import Client

from dunning.client import DunningClient
from dunning.gateway.api import Api
from dunning.gateway.api.examples import SUBSCRIPTION
from dunning.gateway.api.limiting import Limiter
from dunning.gateway.app import create_app
from dunning.gateway.dispatcher import Dispatcher
from dunning.ledger import Ledger
from dunning.sandbox.serving import serving
from dunning.settings import AccountSettings

PROBLEM = "application/problem+json"


def account(provider: str = "dodo") -> AccountSettings:
    return AccountSettings.model_validate(
        {"provider": provider, "mode": "test", "api_key": SecretStr("dodo_test_key"), "merchant_name": "Kopi"}
    )


def document(**changes: Any) -> dict[str, Any]:
    """A whole subscription that is accepted."""
    return {**copy.deepcopy(SUBSCRIPTION), **changes}


class Desk:
    """What the tests of the API speak to. Keys are made as `dunning keys create` makes them."""

    def __init__(self, http: httpx.AsyncClient, ledger: Ledger, dunning: DunningClient) -> None:
        self.http = http
        self.ledger = ledger
        self.dunning = dunning
        self.keys: dict[str, str] = {}

    async def key(self, account: str = "demo", *, expires_after: timedelta | None = None) -> str:
        return (await self.ledger.create_key(account, name="test", expires_after=expires_after)).text

    async def ask(self, method: str, path: str, account: str = "demo", **options: Any) -> httpx.Response:
        """One request with a key of the account."""
        if account not in self.keys:
            self.keys[account] = await self.key(account)
        headers = {"Authorization": f"Bearer {self.keys[account]}", **options.pop("headers", {})}
        return await self.http.request(method, f"/v1{path}", headers=headers, **options)

    async def create(self, account: str = "demo", *, key: str | None = None, **changes: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key is not None else {}
        return await self.ask("POST", "/subscriptions", account, json=document(**changes), headers=headers)

    async def have(self, *names: str, account: str = "demo") -> None:
        """Subscriptions that are there."""
        for name in names:
            assert (await self.create(account, id=name)).status_code == 201

    async def ids(self, path: str = "/subscriptions", account: str = "demo") -> list[str]:
        answer = await self.ask("GET", path, account)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["items"]]


def problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem of an answer, which has the form of RFC 9457."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, PROBLEM), answer.text
    found: dict[str, Any] = answer.json()
    assert (found["type"], found["status"]) == (f"/docs#{kind}", status)
    assert found["request_id"] == answer.headers["x-request-id"]
    assert found["title"]
    assert found["detail"]
    return found


def fields(found: dict[str, Any]) -> set[str]:
    return {error["field"] for error in found["errors"]}


@asynccontextmanager
async def open_desk(
    url: str, temporal: Client, *, accounts: Mapping[str, AccountSettings] | None = None, **changes: Any
) -> AsyncIterator[Desk]:
    """The gateway with an API that never waits long."""
    ledger = await Ledger.open(url)
    dunning = DunningClient(temporal, ledger)
    given: dict[str, Any] = {"answer_seconds": 0.5, "query_seconds": 0.5, **changes}
    known = accounts or {name: account() for name in ("demo", "other")}
    api = dataclasses.replace(Api(dunning, Limiter(10_000, 10_000), known), **given)

    async def is_well() -> bool:
        return True

    app = create_app({}, ledger, Dispatcher(ledger, dunning.signal_fact), is_temporal_well=is_well, api=api)
    try:
        async with serving(app) as base, httpx.AsyncClient(base_url=base, timeout=20) as http:
            yield Desk(http, ledger, dunning)
    finally:
        await ledger.aclose()
