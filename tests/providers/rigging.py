"""What the rigs of all adapters share: the sandbox, steered by its control calls, and where its messages arrive."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import Response

from dunning.sandbox import SandboxServer
from tests.providers.ordering import Delivery, Row


@dataclass
class Mailbox:
    """Where the sandbox's webhooks arrive."""

    url: str = ""
    got: list[Delivery] = field(default_factory=list)

    async def take(self, request: Request) -> Response:
        self.got.append(Delivery(dict(request.headers), await request.body()))
        return Response()


class SandboxRig:
    """A provider's own rig adds its adapter, and how its customers agree."""

    def __init__(self, sandbox: SandboxServer, mailbox: Mailbox, control: httpx.AsyncClient) -> None:
        self.sandbox = sandbox
        self.mailbox = mailbox
        self.control = control

    async def fault(self, kind: str, on: str = "charge", **more: Any) -> None:
        await self.post("faults", [{"kind": kind, "on": on, **more}])

    async def no_faults(self) -> None:
        assert (await self.control.delete("/_sandbox/faults")).is_success

    async def book(self) -> list[Row]:
        rows = (await self.control.get("/_sandbox/charges")).json()["charges"]
        return [Row(one["payment_id"], one["key"], one["status"], one["amount"], one["metadata"]) for one in rows]

    async def quiet(self) -> None:
        assert await self.sandbox.state.until_quiet(within=10)

    async def visit(self, link: str, *, approves: bool = True) -> None:
        answer = await self.control.post(link, data={"answer": "approve" if approves else "decline"})
        assert answer.is_success, answer.text

    async def pay_by_link(self, reference: str, amount: int) -> None:
        await self.post(f"subscriptions/{reference}/pay-link", {"amount": amount})

    def deliveries(self) -> list[Delivery]:
        return self.mailbox.got

    async def post(self, path: str, body: Any) -> dict[str, Any]:
        answer = await self.control.post(f"/_sandbox/{path}", json=body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found


def closed_port() -> str:
    """An address where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"
