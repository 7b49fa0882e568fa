"""Omise's adapter and the sandbox that it speaks to."""

from __future__ import annotations

from typing import Any

import httpx
from pydantic import SecretStr

from dunning.domain.terms import Subscription
from dunning.providers.base import Mandate, MandateRequest
from dunning.providers.omise import OmiseProvider
from dunning.sandbox import SandboxServer
from tests.builders import subscription_data
from tests.providers.ordering import mandate_request
from tests.providers.rigging import Mailbox, SandboxRig, closed_port

SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
KEY = SecretStr("skey_test_key")
TOKEN = "tokn_test_1"


def agreement(**options: Any) -> Subscription:
    """Terms with these options alone, also such as the intake would refuse."""
    data = subscription_data(id="ours-1", provider="omise", payment_methods=[], provider_options=options)
    return Subscription.model_validate(data)


class OmiseRig(SandboxRig):
    """The adapter and the sandbox that it speaks to."""

    soft_code = "insufficient_fund"
    secret = SECRET

    def __init__(self, sandbox: SandboxServer, mailbox: Mailbox, control: httpx.AsyncClient) -> None:
        super().__init__(sandbox, mailbox, control)
        self.provider: OmiseProvider = OmiseProvider(KEY, is_test=True, base_url=f"{sandbox.url}/omise")
        self._agreed = 0

    async def agree(self, *outcomes: str, dues: str = "", on_hold: bool = False, **fields: Any) -> str:
        self._agreed += 1
        reference = f"cust_test_{self._agreed}"
        body = {
            "provider": "omise",
            "subscription_id": reference,
            "payment_method_id": "pm_1",
            "currency": "IDR",
            "metadata": {"subscription": "ours-1"},
            "script": list(outcomes),
            "dues": dues,
            "methods": [{"payment_method_id": "pm_new"}],
            **fields,
        }
        await self.post("subscriptions", body)
        return reference

    def mandate_request(self, **changes: Any) -> MandateRequest:
        return mandate_request(agreement(card_token=TOKEN), **changes)

    async def authorise(self) -> Mandate:
        """The product's page made a token of the card."""
        return await self.provider.create_mandate(self.mandate_request())

    def unreachable(self) -> OmiseProvider:
        return OmiseProvider(KEY, is_test=True, base_url=closed_port())

    async def omise(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        """A request of somebody else's: the product's page or its own backend."""
        answer = await self.control.request(method, f"/omise{path}", json=body or None, auth=("skey_test_shop", ""))
        found: dict[str, Any] = answer.json()
        return found

    async def tokenise(self, number: str = "4242424242424242", month: int = 12, year: int = 2099) -> str:
        """What a shop's page does with a card."""
        card = {"name": "Nok", "number": number, "expiration_month": month, "expiration_year": year}
        return str((await self.omise("POST", "/tokens", card=card))["id"])
