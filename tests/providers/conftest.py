"""Dodo's adapter, the sandbox that it speaks to, and where the sandbox's messages arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Route

from dunning.providers.base import Mandate, MandateRequest, PaymentProvider
from dunning.providers.dodo import DodoProvider
from dunning.sandbox import SandboxServer
from dunning.sandbox.serving import serving
from tests import events, servers
from tests.providers.ordering import mandate_request
from tests.providers.rigging import Mailbox, SandboxRig, closed_port

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
KEY = SecretStr("dodo_test_key")


class DodoRig(SandboxRig):
    """The adapter and the sandbox that it speaks to."""

    soft_code = "INSUFFICIENT_FUNDS"
    secret = SECRET

    def __init__(self, sandbox: SandboxServer, mailbox: Mailbox, control: httpx.AsyncClient) -> None:
        super().__init__(sandbox, mailbox, control)
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
        await self.post("subscriptions", body)
        return reference

    def mandate_request(self, **changes: Any) -> MandateRequest:
        return mandate_request(**changes)

    async def authorise(self) -> Mandate:
        made = await self.provider.create_mandate(self.mandate_request())
        assert made.link is not None
        await self.visit(made.link)
        return made

    def unreachable(self) -> PaymentProvider:
        return DodoProvider(KEY, is_test=True, base_url=closed_port())


@pytest.fixture(scope="module")
async def shared_ledger_url(databases: servers.Databases) -> AsyncIterator[str]:
    """One migrated database for a module whose tests take an account each."""
    url = await databases.fresh()
    try:
        yield url
        await events.require_promised(url)
    finally:
        await databases.drop(url)


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
