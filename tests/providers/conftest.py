"""Dodo's adapter, the sandbox that it speaks to, and where the sandbox's messages arrive."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dunning.providers.base import Mandate, MandateRequest, PaymentProvider
from dunning.providers.dodo import DodoProvider
from dunning.sandbox import SandboxServer
from dunning.sandbox.serving import serving
from tests.providers.contract import Delivery, Row, mandate_request

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
KEY = SecretStr("dodo_test_key")


@dataclass
class Mailbox:
    """Where the sandbox's webhooks arrive."""

    url: str = ""
    got: list[Delivery] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.got.append(Delivery(dict(request.headers), await request.body()))
        return Response()


class DodoRig:
    """The adapter and the sandbox that it speaks to."""

    soft_code = "INSUFFICIENT_FUNDS"
    secret = SECRET

    def __init__(self, sandbox: SandboxServer, mailbox: Mailbox, control: httpx.AsyncClient) -> None:
        self.sandbox = sandbox
        self.mailbox = mailbox
        self.control = control
        self.provider: PaymentProvider = DodoProvider(KEY, is_test=True, base_url=sandbox.url)
        self._agreed = 0

    async def agree(self, *outcomes: str, dues: str = "", on_hold: bool = False, **fields: Any) -> str:
        self._agreed += 1
        reference = f"sub_{self._agreed}"
        body = {
            "subscription_id": reference,
            "customer_id": f"cus_{self._agreed}",
            "currency": "IDR",
            "metadata": {"subscription": "ours-1"},
            "script": list(outcomes),
            "dues": dues,
            "on_hold_after_failure": on_hold,
            "methods": [{"payment_method_id": "pm_new"}],
            **fields,
        }
        await self._post("subscriptions", body)
        return reference

    async def fault(self, kind: str, on: str = "charge", **more: Any) -> None:
        await self._post("faults", [{"kind": kind, "on": on, **more}])

    async def book(self) -> list[Row]:
        rows = (await self.control.get("/_sandbox/charges")).json()["charges"]
        return [Row(one["payment_id"], one["key"], one["status"], one["amount"], one["metadata"]) for one in rows]

    async def quiet(self) -> None:
        assert await self.sandbox.state.until_quiet(within=10)

    def mandate_request(self, **changes: Any) -> MandateRequest:
        return mandate_request(**changes)

    async def authorise(self) -> Mandate:
        made = await self.provider.create_mandate(self.mandate_request())
        assert made.link is not None
        await self.visit(made.link)
        return made

    async def visit(self, link: str, *, approves: bool = True) -> None:
        answer = await self.control.post(link, data={"answer": "approve" if approves else "decline"})
        assert answer.is_success, answer.text

    async def pay_by_link(self, reference: str, amount: int) -> None:
        await self._post(f"subscriptions/{reference}/pay-link", {"amount": amount})

    def unreachable(self) -> PaymentProvider:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        return DodoProvider(KEY, is_test=True, base_url=f"http://127.0.0.1:{port}")

    def deliveries(self) -> list[Delivery]:
        return self.mailbox.got

    async def _post(self, path: str, body: Any) -> dict[str, Any]:
        answer = await self.control.post(f"/_sandbox/{path}", json=body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture(scope="module")
async def mailbox() -> AsyncIterator[Mailbox]:
    found = Mailbox()
    async with serving(Starlette(routes=[Route("/hook", found.take, methods=["POST"])])) as url:
        found.url = f"{url}/hook"
        yield found


@pytest.fixture(scope="module")
async def sandbox(mailbox: Mailbox) -> AsyncIterator[SandboxServer]:
    async with SandboxServer.start(
        webhook_url=mailbox.url, webhook_secret=SECRET, settle_seconds=0.005, hold_seconds=0.05
    ) as server:
        yield server


@pytest.fixture
async def rig(sandbox: SandboxServer, mailbox: Mailbox) -> AsyncIterator[DodoRig]:
    async with httpx.AsyncClient(base_url=sandbox.url, timeout=10) as control:
        found = DodoRig(sandbox, mailbox, control)
        yield found
        await found.provider.aclose()
    await sandbox.state.reset()
    mailbox.got.clear()
