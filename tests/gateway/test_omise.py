"""A message signed by the provider's own way settles an attempt, whoever the provider is."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from dunning.domain.attempts import OutcomeKind
from dunning.domain.declines import DeclineClass
from dunning.providers.omise import OmiseProvider
from dunning.sandbox import SandboxServer
from tests.gateway.house import open_house
from tests.providers.ordering import order

pytestmark = pytest.mark.server
SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


async def test_a_decline_at_the_provider_settles_its_attempt_by_webhook_alone(ledger_url: str) -> None:
    async with SandboxServer.start(omise_webhook_secret=SECRET) as sandbox:
        provider = OmiseProvider(SecretStr("skey_test_key"), is_test=True, base_url=f"{sandbox.url}/omise")
        async with open_house(ledger_url, provider, SECRET) as house:
            await house.subscribe()
            key = await house.send_attempt()
            base = str(house.http.base_url).rstrip("/")
            url = f"{base}/webhooks/omise/demo"
            sandbox.state.settings = sandbox.state.settings.model_copy(update={"omise_webhook_url": url})
            body = {
                "provider": "omise",
                "subscription_id": "cust_test_1",
                "payment_method_id": "pm_1",
                "metadata": {"subscription": "sub-1"},
                "script": ["STOLEN_CARD"],
            }
            (await house.http.post(f"{sandbox.url}/_sandbox/subscriptions", json=body)).raise_for_status()

            await provider.charge(order("cust_test_1", key=key, subscription="sub-1"))
            assert await sandbox.state.until_quiet(within=10)

            await house.dispatcher.drain()
            row = await house.ledger.attempt(key)
            assert row is not None
            assert row.outcome is not None
            assert (row.outcome.kind, row.outcome.klass) == (OutcomeKind.DECLINED, DeclineClass.HARD)
            assert row.outcome.raw_code == "stolen_or_lost_card"
            assert [event.answers for event in sandbox.state.courier.events] == [[200]]
            (told,) = house.box.facts
            assert told.attempt_key == key
