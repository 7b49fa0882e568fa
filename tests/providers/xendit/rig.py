"""Xendit's adapter and the sandbox that it speaks to."""

from __future__ import annotations

import socket
from typing import Any

import httpx
from pydantic import SecretStr

from dunning.domain.terms import Subscription
from dunning.providers.base import Mandate, MandateRequest
from dunning.providers.xendit import XenditProvider
from dunning.sandbox import SandboxServer
from tests.builders import subscription_data
from tests.providers.conftest import Mailbox
from tests.providers.contract import Delivery, Row, mandate_request

SECRET = "callback-token-of-this-account"
KEY = SecretStr("xnd_development_key")
TOKEN = "pm_1"
"""The token that the contract's charges are for."""


def agreement(**options: Any) -> Subscription:
    """Terms with these options alone, also such as the intake would refuse."""
    data = subscription_data(id="ours-1", provider="xendit", payment_methods=[], provider_options=options)
    return Subscription.model_validate(data)


class XenditRig:
    """The adapter and the sandbox that it speaks to. A reference is the token that authorises."""

    soft_code = "INSUFFICIENT_BALANCE"
    secret = SECRET

    def __init__(self, sandbox: SandboxServer, mailbox: Mailbox, control: httpx.AsyncClient) -> None:
        self.sandbox = sandbox
        self.mailbox = mailbox
        self.control = control
        self.provider: XenditProvider = XenditProvider(KEY, is_test=True, base_url=f"{sandbox.url}/xendit")

    async def agree(
        self, *outcomes: str, dues: str = "", on_hold: bool = False, network: str = "visa", **fields: Any
    ) -> str:
        body = {
            "provider": "xendit",
            "subscription_id": TOKEN,
            "payment_method_id": TOKEN,
            "currency": "IDR",
            "metadata": {"subscription": "ours-1"},
            "script": list(outcomes),
            "dues": dues,
            "methods": [{"payment_method_id": TOKEN, "network": network}, {"payment_method_id": "pm_new"}],
            **fields,
        }
        await self.post("subscriptions", body)
        return TOKEN

    async def fault(self, kind: str, on: str = "charge", **more: Any) -> None:
        await self.post("faults", [{"kind": kind, "on": on, **more}])

    async def book(self) -> list[Row]:
        rows = (await self.control.get("/_sandbox/charges")).json()["charges"]
        return [Row(one["payment_id"], one["key"], one["status"], one["amount"], one["metadata"]) for one in rows]

    async def quiet(self) -> None:
        assert await self.sandbox.state.until_quiet(within=10)

    def mandate_request(self, **changes: Any) -> MandateRequest:
        return mandate_request(agreement(), **changes)

    async def authorise(self) -> Mandate:
        made = await self.provider.create_mandate(self.mandate_request())
        assert made.link is not None
        await self.visit(made.link)
        return made

    async def visit(self, link: str, *, approves: bool = True) -> None:
        answer = await self.control.post(link, data={"answer": "approve" if approves else "decline"})
        assert answer.is_success, answer.text

    async def pay_by_link(self, reference: str, amount: int) -> None:
        await self.post(f"subscriptions/{reference}/pay-link", {"amount": amount})

    def unreachable(self) -> XenditProvider:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        return XenditProvider(KEY, is_test=True, base_url=f"http://127.0.0.1:{port}")

    def deliveries(self) -> list[Delivery]:
        return self.mailbox.got

    async def post(self, path: str, body: Any) -> dict[str, Any]:
        answer = await self.control.post(f"/_sandbox/{path}", json=body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def xendit(self, method: str, path: str, **body: Any) -> httpx.Response:
        """A request of somebody else's: another system of the same merchant's."""
        headers = {"api-version": "2024-11-11", **body.pop("headers", {})}
        auth = ("xnd_development_shop", "")
        return await self.control.request(method, f"/xendit{path}", json=body or None, auth=auth, headers=headers)
