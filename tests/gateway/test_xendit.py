"""A message that a fixed token shows to be the provider's settles an attempt; the same fact again changes nothing."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from dunning.domain.attempts import OutcomeKind
from dunning.domain.declines import DeclineClass
from dunning.domain.plans import plan_reference
from dunning.domain.terms import Subscription
from dunning.providers.base import MessageKind
from dunning.providers.following import PlanRequest
from dunning.providers.xendit import XenditProvider
from dunning.sandbox import SandboxServer
from tests.builders import at, subscription_data
from tests.gateway.house import open_house
from tests.providers.ordering import order

pytestmark = pytest.mark.server
TOKEN = "callback-token-of-this-account"


async def test_a_decline_settles_its_attempt_by_webhook_alone_and_only_under_the_accounts_token(
    ledger_url: str,
) -> None:
    async with SandboxServer.start(xendit_callback_token=TOKEN) as sandbox:
        provider = XenditProvider(SecretStr("xnd_development_key"), is_test=True, base_url=f"{sandbox.url}/xendit")
        async with open_house(ledger_url, provider, TOKEN) as house:
            await house.subscribe()
            key = await house.send_attempt()
            base = str(house.http.base_url).rstrip("/")
            url = f"{base}/webhooks/xendit/demo"
            sandbox.state.settings = sandbox.state.settings.model_copy(update={"xendit_webhook_url": url})
            body = {
                "provider": "xendit",
                "subscription_id": "pm_1",
                "payment_method_id": "pm_1",
                "metadata": {"subscription": "sub-1"},
                "script": ["STOLEN_CARD"],
            }
            (await house.http.post(f"{sandbox.url}/_sandbox/subscriptions", json=body)).raise_for_status()

            await provider.charge(order("pm_1", key=key, subscription="sub-1"))
            assert await sandbox.state.until_quiet(within=10)

            await house.dispatcher.drain()
            row = await house.ledger.attempt(key)
            assert row is not None
            assert row.outcome is not None
            assert (row.outcome.kind, row.outcome.klass) == (OutcomeKind.DECLINED, DeclineClass.HARD)
            assert row.outcome.raw_code == "STOLEN_CARD"
            (event,) = sandbox.state.courier.events
            sandbox.state.courier.replay(event)
            assert await sandbox.state.until_quiet(within=10)
            assert event.answers == [200, 200]
            await house.dispatcher.drain()
            (told,) = house.box.facts
            assert told.attempt_key == key
            headers, content = event.render(event)
            forged = {**headers, "x-callback-token": "guessed", "webhook-id": "wh_other"}
            assert (await house.http.post(url, content=content, headers=forged)).status_code == 401
        await provider.aclose()


async def test_messages_of_a_plan_reach_its_subscription_as_hints_and_its_payments_are_not_counted(
    ledger_url: str,
) -> None:
    async with SandboxServer.start(xendit_callback_token=TOKEN, settle_seconds=0.0) as sandbox:
        provider = XenditProvider(SecretStr("xnd_development_key"), is_test=True, base_url=f"{sandbox.url}/xendit")
        async with open_house(ledger_url, provider, TOKEN) as house:
            await house.subscribe()
            base = str(house.http.base_url).rstrip("/")
            changes = {"xendit_webhook_url": f"{base}/webhooks/xendit/demo"}
            sandbox.state.settings = sandbox.state.settings.model_copy(update=changes)
            body = {"provider": "xendit", "subscription_id": "pt-1", "customer_id": "cust-1", "currency": "IDR"}
            answer = await house.http.post(
                f"{sandbox.url}/_sandbox/subscriptions", json={**body, "payment_method_id": "pt-1"}
            )
            answer.raise_for_status()
            given = Subscription.model_validate(
                subscription_data(
                    id="sub-1",
                    provider="xendit",
                    collection="provider",
                    provider_options={},
                    retry={"ladder_days": []},
                    immediate_action="FULL_AMOUNT",
                )
            )
            made = await provider.create_plan(
                PlanRequest(
                    subscription="sub-1",
                    account="demo",
                    reference=plan_reference("demo", "sub-1", 1, 1),
                    method_tokens=("pt-1",),
                    terms=given.terms(),
                    contacts=given.contacts(),
                    business_at=at("2026-03-01T00:00"),
                )
            )
            assert await sandbox.state.until_quiet(within=10)
            await house.dispatcher.drain()

            sent = [(event.type, event.answers) for event in sandbox.state.courier.events]
            assert ("payment.capture", [200]) in sent
            assert ("recurring.cycle.succeeded", [200]) in sent
            assert {fact.kind for fact in house.box.facts} == {MessageKind.PLAN}
            named = [fact.plan for fact in house.box.facts if fact.plan is not None]
            assert [one.plan_id for one in named] == [made.plan_id]
        await provider.aclose()
