"""`dunning doctor` on webhooks that never arrive and on what Dodo would not take: its guide's cases. SPEC 12."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from dunning.cli.arrivals import Finding, address_of, messages_of, received, refused, registered
from dunning.domain.attempts import Attempt, Trigger
from dunning.gateway.refusals import DOCTOR, RefusalLog
from dunning.ledger import Limits
from dunning.ledger.diagnoses import Refusal
from dunning.ledger.models import ChargeInput, Claim
from dunning.providers.base import AnswerKind, ProviderRefused
from dunning.providers.dodo import DodoProvider
from dunning.providers.endpoints import Endpoint
from dunning.providers.outcomes import declined
from dunning.sandbox import SandboxServer
from dunning.settings import AccountSettings
from tests.gateway.house import AT, SECRET, House, open_house, payment
from tests.providers.ordering import mandate_request, order

NOW = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
URL = "https://pay.shop.example/webhooks/dodo/demo"
OTHER = "whsec_b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA=="


def account(**changes: Any) -> AccountSettings:
    given = {
        "provider": "dodo", "mode": "test", "api_key": SecretStr("dodo_test_key"), "merchant_name": "Kopi",
        "webhook_secrets": (SecretStr(SECRET),), **changes,
    }  # fmt: skip
    return AccountSettings.model_validate(given)


class TestWhatWasReceived:
    @pytest.mark.parametrize(
        ("last", "sent", "verdict", "words"),
        [
            (None, None, "warning", "no message has arrived yet"),
            (None, NOW - DAY, "fault", "no message ever arrived, and the last payment was asked for 24.0 hours ago"),
            (NOW - 2 * DAY, NOW - DAY, "warning", "the last message arrived 2 days ago, and the last payment"),
            (None, NOW - HOUR / 2, "warning", "no message has arrived yet"),
            (NOW - 2 * DAY, NOW - HOUR / 2, "ok", "the last message arrived 2 days ago"),
            (NOW - HOUR, NOW - DAY, "ok", "the last message arrived 1.0 hours ago"),
        ],
    )
    def test_silence_after_a_payment_is_told_by_how_long_it_lasts(
        self, last: datetime | None, sent: datetime | None, verdict: str, words: str
    ) -> None:
        found = received("account demo", last, sent, NOW, "/webhooks/dodo/demo")
        assert (found.verdict, found.detail[: len(words)]) == (verdict, words)


class TestWhatWasRefused:
    @pytest.mark.parametrize(
        ("because", "words"),
        [
            ("no signature of this message is ours", "not the secret of this endpoint in the test mode"),
            ("the message does not carry this account's callback token", "not the secret of this endpoint"),
            ("the message is too old, or from the future", "clock"),
            ("the message is of the other mode", "this account is in test mode"),
            ("the message carries no readable id or timestamp", "a proxy takes the signature's headers away"),
            ("the message cannot be read: ValidationError", "the gateway's log"),
        ],
    )
    def test_each_reason_comes_with_what_to_do(self, because: str, words: str) -> None:
        found = refused("account demo", account(), Refusal(because=because, count=3, first_at=NOW, last_at=NOW), None)
        assert found.verdict == "fault"
        assert "3 messages were refused" in found.detail
        assert because in found.detail
        assert words in found.advice

    def test_a_reason_that_a_later_message_disproves_is_only_a_warning(self) -> None:
        row = Refusal(because="no signature of this message is ours", count=1, first_at=NOW, last_at=NOW)
        assert refused("account demo", account(), row, NOW + HOUR).verdict == "warning"


class TestWhatTheProviderSays:
    @pytest.mark.parametrize(
        ("found", "verdict", "words"),
        [
            ([], "fault", "posts to no address that ends in /webhooks/dodo/demo in test mode (it has: none)"),
            ([Endpoint(url="https://x.example/webhooks/dodo/shop", is_enabled=True)], "fault", "x.example"),
            ([Endpoint(url=URL, is_enabled=False)], "fault", "switched off"),
            ([Endpoint(url=URL, is_enabled=True, secret=SecretStr(OTHER))], "fault", "another secret"),
            ([Endpoint(url=URL, is_enabled=True, secret=SecretStr(SECRET))], "ok", f"posts to {URL}"),
            ([Endpoint(url=f"{URL}/", is_enabled=True)], "ok", "posts to"),
        ],
    )
    def test_address_switch_and_secret_are_compared(self, found: list[Endpoint], verdict: str, words: str) -> None:
        told = registered("account demo", found, "http://127.0.0.1:8080/webhooks/dodo/demo", "test", [SECRET])
        assert (told.verdict, words in told.detail) == (verdict, True)
        assert SECRET not in told.model_dump_json()
        assert OTHER not in told.model_dump_json()


async def told(house: House, given: AccountSettings) -> list[Finding]:
    return [one async for one in messages_of("demo", given, house.ledger, "http://127.0.0.1:8080")]


def charge() -> ChargeInput:
    attempt = Attempt(number=1, trigger=Trigger.DUE, method="pm_1", planned_at=AT, because="it is due", key="at_1")
    return ChargeInput(
        account="demo", subscription="sub-1", generation=1, customer="cust-1", obligation="1", attempt=attempt,
        amount=100_000, currency="IDR", description="Pro plan", reference="sub_dodo_1", business_at=AT,
    )  # fmt: skip


@pytest.mark.server
class TestOnARealGateway:
    async def test_refused_messages_are_counted_by_reason_and_cured_by_one_that_is_taken(self, ledger_url: str) -> None:
        async with open_house(ledger_url) as house:
            await house.subscribe()
            forged = {"webhook-id": "m", "webhook-timestamp": str(int(datetime.now(UTC).timestamp()))}
            for _ in range(2):
                answer = await house.http.post("/webhooks/dodo/demo", content=b"{}", headers=forged)
                assert answer.status_code == 401
            (row,) = await house.ledger.refusals("demo")
            assert (row.because, row.count) == ("no signature of this message is ours", 1)  # written seldom
            assert await house.ledger.refusals("other") == []
            given = account(base_url="http://127.0.0.1:9")
            first = (await told(house, given))[0]
            assert (first.verdict, "webhook_secrets" in first.advice) == ("fault", True)
            assert (await house.deliver(payment(None))).is_success
            verdicts = [one.verdict for one in await told(house, given)]
            assert verdicts == ["warning", "ok", "warning"]  # refused before, received, the provider is away

    async def test_the_doctors_own_question_finds_the_door_and_counts_as_no_refusal(self, ledger_url: str) -> None:
        async with open_house(ledger_url) as house:
            gateway = str(house.http.base_url).rstrip("/")
            assert (await address_of("demo", account(), gateway)).verdict == "ok"
            unknown = await address_of("nobody", account(), gateway)
            assert (unknown.verdict, "404" in unknown.detail) == ("fault", True)
            live = account(mode="live", api_key=SecretStr("dodo_live_key"))
            assert "from outside" in (await address_of("demo", live, gateway)).detail
            assert (await address_of("demo", account(), "http://127.0.0.1:9")).verdict == "away"
            assert await house.ledger.refusals("demo") == []

    async def test_many_refusals_cost_few_writes_and_none_is_forgotten(self, ledger_url: str) -> None:
        async with open_house(ledger_url) as house:
            now = [0.0]
            refusals = RefusalLog(house.ledger, lambda: now[0])
            for _ in range(100):
                await refusals.note("demo", "why", {})
            await refusals.note("demo", "why", {"user-agent": DOCTOR})
            assert [one.count for one in await house.ledger.refusals("demo")] == [1]
            now[0] = 11.0
            await refusals.note("demo", "why", {})
            assert [one.count for one in await house.ledger.refusals("demo")] == [101]

    async def test_what_dodo_would_not_take_is_told_in_its_words_with_the_guides_advice(self, ledger_url: str) -> None:
        """The sandbox refuses a currency; the refusals of the charge and of the mandate reach the doctor."""
        async with (
            open_house(ledger_url) as house,
            SandboxServer.start(webhook_url=URL, webhook_secret=OTHER) as sandbox,
        ):
            await house.subscribe()
            given = account(base_url=sandbox.url)
            provider = DodoProvider(SecretStr("dodo_test_key"), is_test=True, base_url=sandbox.url)
            async with httpx.AsyncClient(base_url=sandbox.url) as http:
                held = {"subscription_id": "sub_1", "customer_id": "cus_1", "currency": "IDR", "metadata": {}}
                (await http.post("/_sandbox/subscriptions", json={**held, "script": []})).raise_for_status()
            answer = await provider.charge(order("sub_1", currency="ZZZ"))
            assert answer.kind is AnswerKind.REFUSED
            admission = await house.ledger.admit(charge(), owner="test", limits=Limits())
            assert isinstance(admission.claim, Claim)
            outcome = declined("api_code", answer.code, provider.declines, AT, message=answer.because)
            await house.ledger.settle("at_1", outcome)
            request = mandate_request()
            unknown = request.terms.but(currency="ZZZ")
            with pytest.raises(ProviderRefused) as refusal:
                await provider.create_mandate(request.but(terms=unknown))
            what = f"the mandate could not be created: {refusal.value}"
            await house.ledger.attend_attempt(charge(), what)
            await provider.aclose()

            findings = await told(house, given)
            assert any("another secret" in one.detail for one in findings)
            faults = [one.detail for one in findings if "refused by the provider" in one.detail]
            assert len(faults) == 2
            assert all("UNSUPPORTED" in one and "enable it in the dashboard" in one for one in faults)
