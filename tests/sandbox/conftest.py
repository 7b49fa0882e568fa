"""A sandbox on a free port, a client that speaks to it over HTTP, and a receiver for its webhooks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dunning.sandbox import SandboxServer
from dunning.sandbox.serving import serving

WEBHOOK_SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
KEY = {"authorization": "Bearer dodo_test_key"}


@dataclass
class Received:
    """One request that came in at the receiver."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Somebody who listens; answers are taken from `answers` first, then 200."""

    url: str = ""
    requests: list[Received] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.requests.append(Received(dict(request.headers), await request.body()))
        return Response(status_code=self.answers.pop(0) if self.answers else 200)


@pytest.fixture(scope="session")
async def listening() -> AsyncIterator[Receiver]:
    found = Receiver()
    app = Starlette(routes=[Route("/hook", found.take, methods=["POST"])])
    async with serving(app) as url:
        found.url = f"{url}/hook"
        yield found


@pytest.fixture(scope="session")
async def running(listening: Receiver) -> AsyncIterator[SandboxServer]:
    async with SandboxServer.start(
        webhook_url=listening.url,
        webhook_secret=WEBHOOK_SECRET,
        settle_seconds=0.005,
        hold_seconds=0.05,
        webhook_backoff_seconds=(0.01, 0.02, 0.02),
    ) as server:
        yield server


@pytest.fixture
async def sandbox(running: SandboxServer, listening: Receiver) -> AsyncIterator[SandboxServer]:
    """The one server of all tests; each finds it as it was at its start."""
    settings = running.state.settings
    yield running
    await running.state.reset()
    running.state.settings = settings
    listening.requests.clear()
    listening.answers.clear()


@pytest.fixture
def receiver(sandbox: SandboxServer, listening: Receiver) -> Receiver:
    return listening


@pytest.fixture
async def dodo(sandbox: SandboxServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=sandbox.url, headers=KEY, timeout=10) as client:
        yield client


class Shop:
    """Short words for what most stories do."""

    def __init__(self, sandbox: SandboxServer, client: httpx.AsyncClient) -> None:
        self.sandbox = sandbox
        self.client = client

    async def register(self, name: str = "sub_1", **fields: Any) -> dict[str, Any]:
        fields.setdefault("metadata", {"subscription": "ours-1"})
        return await self.control("subscriptions", subscription_id=name, **fields)

    async def control(self, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.client.post(f"/_sandbox/{path}", json=body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def faults(self, *faults: dict[str, Any]) -> None:
        assert (await self.client.post("/_sandbox/faults", json=list(faults))).is_success

    async def charge(self, name: str = "sub_1", *, amount: int = 1000, **metadata: Any) -> httpx.Response:
        body = {"product_price": amount, "metadata": metadata}
        return await self.client.post(f"/subscriptions/{name}/charge", json=body)

    async def settled(self, name: str = "sub_1", *, amount: int = 1000, **metadata: Any) -> dict[str, Any]:
        """Charge and read the payment once nothing is on its way any more."""
        answer = await self.charge(name, amount=amount, **metadata)
        assert answer.status_code == 200, answer.text
        assert answer.json().keys() == {"payment_id"}
        await self.quiet()
        return await self.payment(answer.json()["payment_id"])

    async def payment(self, payment_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(f"/payments/{payment_id}")).json()
        return found

    async def listed(self, **query: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.client.get("/payments", params=query)).json()["items"]
        return rows

    async def book(self, **query: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = (await self.client.get("/_sandbox/charges", params=query)).json()["charges"]
        return rows

    async def quiet(self) -> None:
        assert (await self.client.get("/_sandbox/quiet", params={"wait": 10})).json()["quiet"] is True


@pytest.fixture
def shop(sandbox: SandboxServer, dodo: httpx.AsyncClient) -> Shop:
    return Shop(sandbox, dodo)
