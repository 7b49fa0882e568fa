"""Xendit's adapter and the sandbox that it speaks to."""

from __future__ import annotations

from typing import Any

import httpx
from pydantic import SecretStr

from dunning.domain.terms import Subscription
from dunning.providers.base import Mandate, MandateRequest
from dunning.providers.xendit import XenditProvider
from dunning.sandbox import SandboxServer
from tests.builders import subscription_data
from tests.providers.ordering import mandate_request
from tests.providers.rigging import Mailbox, SandboxRig, closed_port

SECRET = "callback-token-of-this-account"
KEY = SecretStr("xnd_development_key")
TOKEN = "pm_1"
"""The token that the contract's charges are for."""


def agreement(**options: Any) -> Subscription:
    """Terms with these options alone, also such as the intake would refuse."""
    data = subscription_data(id="ours-1", provider="xendit", payment_methods=[], provider_options=options)
    return Subscription.model_validate(data)


class XenditRig(SandboxRig):
    """The adapter and the sandbox that it speaks to. A reference is the token that authorises."""

    soft_code = "INSUFFICIENT_BALANCE"
    secret = SECRET

    def __init__(self, sandbox: SandboxServer, mailbox: Mailbox, control: httpx.AsyncClient) -> None:
        super().__init__(sandbox, mailbox, control)
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

    def mandate_request(self, **changes: Any) -> MandateRequest:
        return mandate_request(agreement(), **changes)

    async def authorise(self) -> Mandate:
        made = await self.provider.create_mandate(self.mandate_request())
        assert made.link is not None
        await self.visit(made.link)
        return made

    def unreachable(self) -> XenditProvider:
        return XenditProvider(KEY, is_test=True, base_url=closed_port())

    async def xendit(self, method: str, path: str, **body: Any) -> httpx.Response:
        """A request of somebody else's: another system of the same merchant's."""
        headers = {"api-version": "2024-11-11", **body.pop("headers", {})}
        auth = ("xnd_development_shop", "")
        return await self.control.request(method, f"/xendit{path}", json=body or None, auth=auth, headers=headers)
