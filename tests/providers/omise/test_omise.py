"""Omise's adapter: the contract of all adapters, and what is Omise's own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dunning.domain.declines import DeclineClass, classify
from dunning.errors import ConfigurationError
from dunning.providers.base import (
    AnswerKind,
    PaymentStatus,
    ProviderRefused,
    ProviderUnavailable,
    RefundRequest,
    RefundStatus,
)
from dunning.providers.omise import OmiseProvider
from dunning.providers.registry import provider_for
from dunning.sandbox.serving import serving
from dunning.settings import AccountSettings
from tests.providers.contract import ProviderContract
from tests.providers.money_contract import MoneyContract
from tests.providers.omise.rig import KEY, SECRET, OmiseRig
from tests.providers.ordering import AT, asking, order


class TestContract(ProviderContract, MoneyContract):
    """Everything that is asked of every adapter."""


@contextlib.asynccontextmanager
async def answering(status: int, body: bytes, **headers: str) -> AsyncIterator[OmiseProvider]:
    """Omise, always giving one answer."""

    async def answer(request: Request) -> Response:
        return Response(body, status_code=status, headers=headers)

    routes = [Route("/{path:path}", answer, methods=["GET", "POST", "PATCH"])]
    async with serving(Starlette(routes=routes)) as url:
        provider = OmiseProvider(KEY, is_test=True, base_url=url)
        yield provider
        await provider.aclose()


def says(code: str, message: str = "words") -> bytes:
    return json.dumps({"object": "error", "location": "x", "code": code, "message": message}).encode()


def shows(**changes: object) -> bytes:
    charge = {"object": "charge", "id": "chrg_1", "status": "successful", "amount": 100_000, "currency": "idr"}
    return json.dumps({**charge, **changes}).encode()


@pytest.mark.server
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, shows(), AnswerKind.PAYMENT),
        (200, shows(status="failed", failure_code="insufficient_fund"), AnswerKind.PAYMENT),
        (200, shows(status="pending"), AnswerKind.PAYMENT),
        (200, shows(metadata={"dunning_key": "at_other"}), AnswerKind.UNCLEAR),
        (200, shows(amount=None), AnswerKind.UNCLEAR),
        (200, shows(object="customer"), AnswerKind.UNCLEAR),
        (200, says("bad_request"), AnswerKind.UNCLEAR),
        (200, b"{}", AnswerKind.UNCLEAR),
        (200, b"<html>", AnswerKind.UNCLEAR),
        (204, b"", AnswerKind.UNCLEAR),
        (302, b"", AnswerKind.UNCLEAR),
        (400, b"", AnswerKind.UNCLEAR),
        (400, b'{"code":"bad_request"}', AnswerKind.UNCLEAR),
        (400, says("invalid_charge"), AnswerKind.REFUSED),
        (400, says("something_new"), AnswerKind.REFUSED),
        (400, says("backend_error"), AnswerKind.UNCLEAR),
        (401, b"<html>", AnswerKind.OUTAGE),
        (401, says("authentication_failure"), AnswerKind.OUTAGE),
        (403, says("forbidden"), AnswerKind.OUTAGE),
        (404, says("not_found"), AnswerKind.REFUSED),
        (404, b"<html>", AnswerKind.UNCLEAR),
        (408, says("timeout"), AnswerKind.UNCLEAR),
        (409, says("something_concurrent"), AnswerKind.UNCLEAR),
        (422, says("bad_request"), AnswerKind.REFUSED),
        (429, b"slow down", AnswerKind.OUTAGE),
        (500, says("internal_error"), AnswerKind.UNCLEAR),
        (503, b"<html>", AnswerKind.UNCLEAR),
    ],
)
async def test_each_answer_to_a_charge_has_one_meaning(status: int, body: bytes, kind: AnswerKind) -> None:
    async with answering(status, body) as provider:
        answer = await provider.charge(order("cust_1"))
    assert answer.kind is kind


@pytest.mark.server
async def test_a_throttled_charge_passes_on_how_long_to_stay_away() -> None:
    async with answering(429, says("too_many_requests"), **{"retry-after": "17"}) as provider:
        answer = await provider.charge(order("cust_1"))
        with pytest.raises(ProviderUnavailable) as caught:
            await provider.read_mandate("cust_1")
    assert answer.retry_after_seconds == 17
    assert caught.value.retry_after_seconds == 17


@pytest.mark.server
@pytest.mark.parametrize("body", [b"{}", b'{"data":{}}', b'{"data":[{"id":1}],"total":1}', b"x", says("bad_request")])
async def test_a_list_that_cannot_be_read_proves_nothing(body: bytes) -> None:
    async with answering(200, body) as provider:
        found = await provider.find_payment(asking("cust_1"))
    assert (found.is_certain, found.payment) == (False, None)


@pytest.mark.server
async def test_a_list_without_an_end_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dunning.providers.omise_client.MAX_PAGES", 3)
    row = json.loads(shows())
    async with answering(200, json.dumps({"data": [row]}).encode()) as provider:
        found = await provider.find_payment(asking("cust_1"))
    assert (found.is_certain, found.payment) == (False, None)


@pytest.mark.server
class TestCharges:
    async def test_the_answer_already_tells_the_outcome(self, rig: OmiseRig) -> None:
        reference = await rig.agree("insufficient_fund", "SUCCEEDED")
        declined = (await rig.provider.charge(order(reference, key="at_1"))).payment
        paid = (await rig.provider.charge(order(reference, key="at_2"))).payment
        assert declined is not None
        assert paid is not None
        assert (declined.status, declined.code, declined.key) == (PaymentStatus.FAILED, "insufficient_fund", "at_1")
        assert (paid.status, paid.method_token) == (PaymentStatus.SUCCEEDED, "pm_1")

    async def test_two_charges_under_one_key_are_two_and_the_paid_one_is_found(self, rig: OmiseRig) -> None:
        """Omise promises no idempotency: the adapter must not be relied on to hide a repeat."""
        reference = await rig.agree("insufficient_fund")
        await rig.provider.charge(order(reference))
        late = (await rig.book())[0].payment_id
        await rig.post(f"subscriptions/{reference}/late-success", {"payment_id": late})
        await rig.provider.charge(order(reference))
        assert len(await rig.book()) == 2
        found = (await rig.provider.find_payment(asking(reference))).payment
        assert found is not None
        assert found.payment_id == late

    async def test_a_charge_made_long_after_its_request_is_found(self, rig: OmiseRig) -> None:
        reference = await rig.agree()
        await rig.provider.charge(order(reference))
        found = await rig.provider.find_payment(asking(reference, since=datetime.now(UTC) - timedelta(days=9)))
        assert found.payment is not None
        assert found.payment.status is PaymentStatus.SUCCEEDED

    async def test_the_card_that_the_attempt_names_is_charged_whatever_the_default(self, rig: OmiseRig) -> None:
        reference = await rig.agree()
        answer = await rig.provider.charge(order(reference, method_token="pm_new"))
        assert answer.payment is not None
        assert answer.payment.method_token == "pm_new"
        assert (await rig.provider.read_mandate(reference)).method_token == "pm_1"

    async def test_a_missing_card_needs_the_customer_and_a_missing_customer_the_merchant(self, rig: OmiseRig) -> None:
        reference = await rig.agree()
        no_card = await rig.provider.charge(order(reference, method_token="card_gone"))
        no_customer = await rig.provider.charge(order("cust_gone"))
        small = await rig.provider.charge(order(reference, currency="THB", amount=1_999))
        classes = [classify(rig.provider.declines, one.code_field, one.code) for one in (no_card, no_customer, small)]
        expected = [DeclineClass.ACTION, DeclineClass.MERCHANT, DeclineClass.MERCHANT]
        assert ([one.klass for one in classes], any(one.is_unknown for one in classes)) == (expected, False)
        assert await rig.book() == []

    async def test_an_advice_not_to_retry_is_hard(self, rig: OmiseRig) -> None:
        reference = await rig.agree("DO_NOT_HONOR")
        payment = (await rig.provider.charge(order(reference))).payment
        assert payment is not None
        verdict = classify(rig.provider.declines, payment.code_field, payment.code)
        assert (verdict.klass, verdict.is_unknown) == (DeclineClass.HARD, False)

    async def test_a_reference_never_becomes_a_path(self, rig: OmiseRig) -> None:
        with pytest.raises(ProviderRefused):
            await rig.provider.read_mandate("../charges")
        found = await rig.provider.find_payment(asking("cust_1", payment_id="../events"))
        assert not found.is_certain


@pytest.mark.server
class TestRefunds:
    async def paid(self, rig: OmiseRig) -> str:
        payment = (await rig.provider.charge(order(await rig.agree()))).payment
        assert payment is not None
        return payment.payment_id

    def wish(self, payment_id: str, key: str = "rf_1", amount: int = 40_000) -> RefundRequest:
        return RefundRequest(payment_id=payment_id, key=key, amount=amount, currency="IDR")

    async def test_parts_are_given_back_until_nothing_is_left(self, rig: OmiseRig) -> None:
        payment_id = await self.paid(rig)
        part = await rig.provider.refund(self.wish(payment_id))
        assert part.refund is not None
        assert (part.refund.status, part.refund.amount) == (RefundStatus.SUCCEEDED, 40_000)
        too_much = await rig.provider.refund(self.wish(payment_id, "rf_2", 60_001))
        assert (too_much.kind, too_much.code) == (AnswerKind.REFUSED, "failed_refund")
        assert (await rig.provider.refund(self.wish(payment_id, "rf_3", 60_000))).refund is not None
        assert await rig.provider.find_refund(payment_id, "rf_2") is None

    @pytest.mark.parametrize("kind", ["http_500_after_commit", "drop_after_commit", "timeout_after_commit"])
    async def test_a_refund_whose_answer_is_lost_is_unclear_and_found_by_its_key(
        self, rig: OmiseRig, kind: str
    ) -> None:
        payment_id = await self.paid(rig)
        await rig.fault(kind, on="any")
        assert (await rig.provider.refund(self.wish(payment_id))).kind is AnswerKind.UNCLEAR
        found = await rig.provider.find_refund(payment_id, "rf_1")
        assert found is not None
        assert (found.amount, found.payment_id, found.key) == (40_000, payment_id, "rf_1")

    @pytest.mark.parametrize("kind", ["429", "401"])
    async def test_a_refund_that_was_turned_away_gave_nothing_back(self, rig: OmiseRig, kind: str) -> None:
        payment_id = await self.paid(rig)
        await rig.fault(kind, on="any")
        assert (await rig.provider.refund(self.wish(payment_id))).kind is AnswerKind.OUTAGE
        assert await rig.provider.find_refund(payment_id, "rf_1") is None


@pytest.mark.server
class TestEvents:
    async def test_the_list_of_events_tells_what_lost_webhooks_would_have(self, rig: OmiseRig) -> None:
        began = datetime.now(UTC) - timedelta(seconds=1)
        await rig.post("configure", {"webhooks": {"mode": "lose"}})
        reference = await rig.agree("insufficient_fund", "SUCCEEDED")
        for key in ("at_1", "at_2"):
            await rig.provider.charge(order(reference, key=key))
        told = await rig.provider.messages_since(began)
        assert rig.deliveries() == []
        assert [one.payment.key for one in told if one.payment] == ["at_1", "at_2"]
        assert await rig.provider.messages_since(datetime.now(UTC) + timedelta(minutes=1)) == ()

    async def test_a_webhook_and_the_list_tell_the_same_message(self, rig: OmiseRig) -> None:
        began = datetime.now(UTC) - timedelta(seconds=1)
        await rig.provider.charge(order(await rig.agree()))
        await rig.quiet()
        (sent,) = rig.deliveries()
        told = rig.provider.read_webhook(sent.headers, sent.body, secrets=[SECRET], now=datetime.now(UTC))
        assert await rig.provider.messages_since(began) == (told,)

    async def test_where_omise_cannot_be_asked_nothing_is_proved(self, rig: OmiseRig) -> None:
        with pytest.raises(ProviderUnavailable):
            await rig.unreachable().messages_since(datetime.now(UTC))


class TestModes:
    """Test and live are never mixed. SPEC 12."""

    @pytest.mark.parametrize(("key", "is_test"), [("skey_abc", True), ("skey_test_abc", False), ("pkey_test_a", True)])
    def test_a_key_of_the_other_mode_or_a_public_one_is_refused(self, key: str, is_test: bool) -> None:
        with pytest.raises(ValueError, match="key") as caught:
            OmiseProvider(SecretStr(key), is_test=is_test)
        assert key not in str(caught.value)

    @pytest.mark.server
    async def test_the_business_clock_is_told_in_test_mode_only_and_the_version_always(self) -> None:
        seen: list[tuple[str | None, str | None]] = []

        async def answer(request: Request) -> Response:
            seen.append((request.headers.get("x-dunning-business-at"), request.headers.get("omise-version")))
            return Response(shows())

        async with serving(Starlette(routes=[Route("/charges/{id}", answer)])) as url:
            for is_test, key in ((True, "skey_test_k"), (False, "skey_k")):
                provider = OmiseProvider(SecretStr(key), is_test=is_test, base_url=url)
                await provider.find_payment(asking("cust_1", payment_id="chrg_1", business_at=AT))
                await provider.aclose()
        assert seen == [("2026-03-05T13:10:00+00:00", "2019-05-29"), (None, "2019-05-29")]

    async def test_the_registry_gives_the_adapter_that_the_settings_name(self) -> None:
        account = AccountSettings(provider="omise", mode="test", api_key=KEY, merchant_name="Demo")
        provider = provider_for(account)
        assert provider.capabilities.name == "omise"
        await provider.aclose()

    def test_the_settings_key_of_the_other_mode_is_a_configuration_error(self) -> None:
        account = AccountSettings(provider="omise", mode="live", api_key=KEY, merchant_name="Demo")
        with pytest.raises(ConfigurationError, match="live mode"):
            provider_for(account)
