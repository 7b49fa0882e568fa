"""A link to the customer's own page at the provider: by the API and the client, or refused with the reason. SPEC 12."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from temporalio.testing import WorkflowEnvironment

from dunning.errors import ConfigurationError
from dunning.providers.base import ProviderRefused
from dunning.providers.dodo import DodoProvider
from dunning.providers.registry import provider_for
from dunning.sandbox import SandboxServer
from dunning.settings import AccountSettings
from tests.api.desk import Desk, account, open_desk, problem

pytestmark = pytest.mark.server
PATH = "/subscriptions/sub-1/portal_link"
HELD = {"subscription_id": "sub_dodo_1", "customer_id": "cus_1", "currency": "IDR", "metadata": {}, "script": []}


async def known(desk: Desk) -> None:
    options = {"country": "ID", "product_id": "pdt_pro", "subscription_id": "sub_dodo_1"}
    made = await desk.create(id="sub-1", provider_options=options, payment_methods=[{"token": "pm_1"}])
    assert made.status_code == 201, made.text


@asynccontextmanager
async def a_shop(
    url: str, temporal: WorkflowEnvironment
) -> AsyncIterator[tuple[Desk, SandboxServer, dict[str, AccountSettings]]]:
    """Dodo for `demo`, Omise for `other`; both have their sandbox."""
    async with SandboxServer.start() as sandbox:
        found = {
            "demo": account().model_copy(update={"base_url": sandbox.url}),
            "other": account("omise").model_copy(
                update={"base_url": f"{sandbox.url}/omise", "api_key": SecretStr("skey_test_key")}
            ),
        }
        providers = {name: provider_for(one) for name, one in found.items()}
        try:
            async with open_desk(url, temporal.client, accounts=found, providers=providers) as desk:
                yield desk, sandbox, found
        finally:
            for provider in providers.values():
                await provider.aclose()


async def test_it_is_made_for_whom_the_provider_knows_and_opens(
    ledger_url: str, dev_server: WorkflowEnvironment
) -> None:
    async with a_shop(ledger_url, dev_server) as (desk, sandbox, found):
        await known(desk)
        async with httpx.AsyncClient(base_url=sandbox.url) as http:
            (await http.post("/_sandbox/subscriptions", json=HELD)).raise_for_status()
            answer = await desk.ask("POST", PATH, params={"return_url": "https://shop.example/me"})
            assert answer.status_code == 200, answer.text
            assert (await http.get(answer.json()["url"])).is_success
        assert (await desk.dunning.merchant("demo", found["demo"]).portal_link("sub-1")).startswith("http")
        with pytest.raises(ConfigurationError, match="settings"):
            await desk.dunning.merchant("demo").portal_link("sub-1")
        problem(await desk.ask("POST", PATH, params={"return_url": "javascript:x"}), 422, "invalid-input")


async def test_it_is_refused_with_the_reason_and_seen_by_its_own_account_only(
    ledger_url: str, dev_server: WorkflowEnvironment
) -> None:
    async with a_shop(ledger_url, dev_server) as (desk, _, found):
        await desk.create(provider_options={"country": "ID", "product_id": "pdt_pro"}, payment_methods=[], id="sub-1")
        told = problem(await desk.ask("POST", PATH), 409, "refused")
        assert "NO_CUSTOMER" in told["detail"]
        problem(await desk.ask("POST", PATH, "other"), 404, "not-found")
        omise: dict[str, Any] = {"provider": "omise", "provider_options": {"customer_id": "cust_1"}, "currency": "THB"}
        items = [{"product_id": "pro", "role": "base", "unit_amount": 10_000}]
        made = await desk.create("other", id="sub-1", payment_methods=[{"token": "card_1"}], items=items, **omise)
        assert made.status_code == 201, made.text
        told = problem(await desk.ask("POST", PATH, "other"), 409, "refused")
        assert "omise has no page" in told["detail"]
        with pytest.raises(ProviderRefused, match="omise has no page"):
            await desk.dunning.merchant("other", found["other"]).portal_link("sub-1")


async def test_a_provider_that_is_away_is_said_to_be(ledger_url: str, dev_server: WorkflowEnvironment) -> None:
    away = DodoProvider(SecretStr("dodo_test_key"), is_test=True, base_url="http://127.0.0.1:9")
    async with open_desk(ledger_url, dev_server.client, providers={"demo": away}) as desk:
        await known(desk)
        answer = await desk.ask("POST", PATH)
        problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"]
    await away.aclose()
