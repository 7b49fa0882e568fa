"""Xendit's adapter: the contract of all adapters, and what is Xendit's own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator

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
    MandateStatus,
    MessageKind,
    PaymentStatus,
    ProviderRefused,
    ProviderUnavailable,
    RefundRequest,
    Resend,
)
from dunning.providers.registry import provider_for
from dunning.providers.xendit import XenditProvider
from dunning.sandbox.serving import serving
from dunning.settings import AccountSettings
from tests.providers.contract import ProviderContract
from tests.providers.link_contract import LinkContract
from tests.providers.money_contract import MoneyContract
from tests.providers.ordering import asking, mandate_request, order
from tests.providers.xendit.rig import KEY, TOKEN, XenditRig, agreement

CARD = b'{"payment_token_id":"pm_1","status":"ACTIVE","country":"ID","channel_code":"CARDS"}'
PAID = b'{"payment_request_id":"pr-1","status":"SUCCEEDED","request_amount":1000,"currency":"IDR"}'


class TestContract(ProviderContract, LinkContract, MoneyContract):
    """Everything that is asked of every adapter."""


def says(code: str) -> bytes:
    return json.dumps({"error_code": code, "message": "words"}).encode()


@contextlib.asynccontextmanager
async def answering(status: int, body: bytes, token: bytes = CARD, **headers: str) -> AsyncIterator[XenditProvider]:
    """Xendit, knowing one token and always giving one answer besides."""

    async def answer(request: Request) -> Response:
        return Response(body, status_code=status, headers=headers)

    async def known(request: Request) -> Response:
        return Response(token)

    routes = [
        Route("/v3/payment_tokens/pm_1", known),
        Route("/{path:path}", answer, methods=["GET", "POST"]),
    ]
    async with serving(Starlette(routes=routes)) as url:
        provider = XenditProvider(KEY, is_test=True, base_url=url)
        yield provider
        await provider.aclose()


@pytest.mark.server
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (201, PAID, AnswerKind.PAYMENT),
        (200, PAID, AnswerKind.PAYMENT),
        (201, b"{}", AnswerKind.UNCLEAR),
        (201, PAID.replace(b"1000", b'"a lot"'), AnswerKind.UNCLEAR),
        (201, PAID.replace(b"IDR", b"ZZZ"), AnswerKind.UNCLEAR),
        (201, PAID.replace(b"}", b',"metadata":{"dunning_key":"at_other"}}'), AnswerKind.UNCLEAR),
        (200, b"<html>", AnswerKind.UNCLEAR),
        (204, b"", AnswerKind.UNCLEAR),
        (302, b"", AnswerKind.UNCLEAR),
        (400, b"", AnswerKind.UNCLEAR),
        (400, says("API_VALIDATION_ERROR"), AnswerKind.REFUSED),
        (400, says("CARD_EXPIRED"), AnswerKind.REFUSED),
        (400, says("SOMETHING_NEW"), AnswerKind.REFUSED),
        (400, says("PAYMENT_REQUEST_RATE_LIMITED"), AnswerKind.OUTAGE),
        (401, says("INVALID_API_KEY"), AnswerKind.OUTAGE),
        (401, b"<html>", AnswerKind.OUTAGE),
        (403, says("REQUEST_FORBIDDEN_ERROR"), AnswerKind.OUTAGE),
        (403, says("SKIP_3DS_FORBIDDEN"), AnswerKind.REFUSED),
        (403, says("ACCOUNT_ACCESS_BLOCKED"), AnswerKind.REFUSED),
        (403, b"<html>", AnswerKind.OUTAGE),
        (404, says("DATA_NOT_FOUND"), AnswerKind.REFUSED),
        (408, says("REQUEST_TIMEOUT"), AnswerKind.UNCLEAR),
        (409, says("DUPLICATE_ERROR"), AnswerKind.UNCLEAR),
        (409, says("DATA_NOT_FOUND"), AnswerKind.UNCLEAR),
        (429, says("RATE_LIMIT_EXCEEDED"), AnswerKind.OUTAGE),
        (429, b"slow down", AnswerKind.OUTAGE),
        (500, says("SERVER_ERROR"), AnswerKind.UNCLEAR),
        (502, b"<html>", AnswerKind.UNCLEAR),
        (503, says("CHANNEL_UNAVAILABLE"), AnswerKind.REFUSED),
        (503, says("ISSUER_UNAVAILABLE"), AnswerKind.REFUSED),
        (503, says("SOMETHING_NEW"), AnswerKind.UNCLEAR),
        (503, b"<html>", AnswerKind.UNCLEAR),
    ],
)
async def test_each_answer_to_a_charge_has_one_meaning(status: int, body: bytes, kind: AnswerKind) -> None:
    async with answering(status, body) as provider:
        answer = await provider.charge(order("pm_1"))
    assert answer.kind is kind


@pytest.mark.parametrize(
    ("code", "klass"),
    [
        ("SKIP_3DS_FORBIDDEN", DeclineClass.MERCHANT),
        ("API_VALIDATION_ERROR", DeclineClass.MERCHANT),
        ("CARD_EXPIRED", DeclineClass.HARD),
        ("INVALID_TOKEN", DeclineClass.ACTION),
        ("DATA_NOT_FOUND", DeclineClass.ACTION),
        ("CHANNEL_UNAVAILABLE", DeclineClass.TECHNICAL),
    ],
)
def test_a_refused_request_is_classified_too(code: str, klass: DeclineClass) -> None:
    provider = XenditProvider(KEY, is_test=True)
    found = classify(provider.declines, "api_code", code)
    assert (found.klass, found.is_unknown) == (klass, False)


@pytest.mark.server
@pytest.mark.parametrize(
    ("headers", "wait"),
    [({"rate-limit-reset": "58.37"}, 59), ({"retry-after": "17", "rate-limit-reset": "58.37"}, 17), ({}, None)],
)
async def test_a_throttled_charge_stays_away_until_the_window_ends(headers: dict[str, str], wait: int | None) -> None:
    async with answering(429, says("RATE_LIMIT_EXCEEDED"), CARD, **headers) as provider:
        answer = await provider.charge(order("pm_1"))
    assert (answer.kind, answer.retry_after_seconds) == (AnswerKind.OUTAGE, wait)


@pytest.mark.server
@pytest.mark.parametrize("body", [b"{}", b'{"data":{}}', b'{"data":[{"id":1}]}', b"x", b'{"data":[],"has_more":true}'])
async def test_a_list_that_cannot_be_read_proves_nothing(body: bytes) -> None:
    async with answering(200, body) as provider:
        found = await provider.find_payment(asking("pm_1"))
    assert (found.is_certain, found.payment) == (False, None)


@pytest.mark.server
class TestCharging:
    async def test_a_second_request_for_one_key_is_refused_for_cards_and_settles_nothing(self, rig: XenditRig) -> None:
        reference = await rig.agree("SUCCEEDED")
        await rig.provider.charge(order(reference))
        again = await rig.provider.charge(order(reference))
        assert (again.kind, again.code) == (AnswerKind.UNCLEAR, "DUPLICATE_ERROR")
        assert len(await rig.book()) == 1

    async def test_where_a_reference_is_not_unique_the_book_hides_no_double_charge(self, rig: XenditRig) -> None:
        """Why an unclear request is never sent again: only cards would refuse it."""
        assert rig.provider.capabilities.resend is Resend.NEVER
        reference = await rig.agree(network="ovo")
        await rig.provider.charge(order(reference))
        await rig.provider.charge(order(reference))
        assert [row.status for row in await rig.book()] == ["succeeded", "succeeded"]

    async def test_a_decline_is_told_in_the_answer_with_the_networks_advice(self, rig: XenditRig) -> None:
        reference = await rig.agree("DO_NOT_HONOR")
        answer = await rig.provider.charge(order(reference))
        assert answer.payment is not None
        assert (answer.payment.status, answer.payment.code_field) == (PaymentStatus.FAILED, "merchant_advice")
        assert classify(rig.provider.declines, "merchant_advice", answer.payment.code).klass is DeclineClass.HARD

    async def test_a_decline_whose_advice_cannot_be_read_stays_pending_until_it_can(self, rig: XenditRig) -> None:
        reference = await rig.agree("DO_NOT_HONOR")
        await rig.fault("http_500", on="lookup")
        answer = await rig.provider.charge(order(reference))
        assert answer.payment is not None
        assert answer.payment.status is PaymentStatus.PENDING
        found = await rig.provider.find_payment(asking(reference, payment_id=answer.payment.payment_id))
        assert found.payment is not None
        assert (found.payment.status, found.payment.code) == (PaymentStatus.FAILED, "03")

    @pytest.mark.parametrize(
        ("amount", "code"),
        [(1_005_100, "EXPIRED_CARD"), (1_005_400, "INSUFFICIENT_BALANCE"), (1_005_500, "STOLEN_CARD")],
    )
    async def test_amounts_that_decline_in_test_mode_decline(self, rig: XenditRig, amount: int, code: str) -> None:
        reference = await rig.agree()
        answer = await rig.provider.charge(order(reference, amount=amount))
        assert answer.payment is not None
        assert answer.payment.code == code

    async def test_a_token_that_is_gone_is_told_before_anything_is_sent(self, rig: XenditRig) -> None:
        reference = await rig.agree()
        await rig.provider.end_mandate(reference, reason="canceled")
        answer = await rig.provider.charge(order(reference))
        assert (answer.kind, answer.code) == (AnswerKind.REFUSED, "INVALID_TOKEN")
        unknown = await rig.provider.charge(order(reference, method_token="pt-nobody"))
        assert (unknown.kind, unknown.code) == (AnswerKind.REFUSED, "DATA_NOT_FOUND")
        assert await rig.book() == []

    async def test_when_the_token_cannot_be_read_nothing_was_charged(self, rig: XenditRig) -> None:
        reference = await rig.agree()
        await rig.fault("http_500", on="any")
        answer = await rig.provider.charge(order(reference))
        assert answer.kind is AnswerKind.OUTAGE
        assert await rig.book() == []

    async def test_a_late_success_is_told_and_found(self, rig: XenditRig) -> None:
        reference = await rig.agree("INSUFFICIENT_FUNDS")
        answer = await rig.provider.charge(order(reference))
        assert answer.payment is not None
        await rig.post(f"subscriptions/{reference}/late-success", {})
        await rig.quiet()
        found = await rig.provider.find_payment(asking(reference))
        assert found.payment is not None
        assert found.payment.status is PaymentStatus.SUCCEEDED
        told = [one.headers["webhook-id"] for one in rig.deliveries()]
        assert len(told) == len(set(told)) == 2

    async def test_a_reference_never_becomes_a_path(self, rig: XenditRig) -> None:
        await rig.agree("SUCCEEDED")
        answer = await rig.provider.charge(order("x", method_token=f"x/../{TOKEN}"))
        assert answer.kind is AnswerKind.REFUSED
        assert await rig.book() == []


@pytest.mark.server
class TestMandates:
    async def test_one_channel_is_linked_on_its_own_page(self, rig: XenditRig) -> None:
        request = mandate_request(agreement(channel_code="OVO"))
        made = await rig.provider.create_mandate(request)
        assert (made.reference[:3], made.status) == ("pt-", MandateStatus.WAITING)
        assert made.link is not None
        await rig.visit(made.link)
        await rig.quiet()
        assert (await rig.provider.read_mandate(made.reference)).status is MandateStatus.AUTHORIZED
        answer = await rig.provider.charge(order(made.reference, method_token=made.reference))
        assert answer.kind is AnswerKind.PAYMENT

    async def test_a_channel_that_the_customer_declines_is_a_failed_mandate_and_its_message_says_so(
        self, rig: XenditRig
    ) -> None:
        made = await rig.provider.create_mandate(mandate_request(agreement(channel_code="OVO")))
        assert made.link is not None
        await rig.visit(made.link, approves=False)
        await rig.quiet()
        assert (await rig.provider.read_mandate(made.reference)).status is MandateStatus.FAILED
        (sent,) = rig.deliveries()
        told = XenditProvider.read_webhook(
            rig.provider, sent.headers, sent.body, secrets=[rig.secret], now=asking("x").since
        )
        assert told.mandate is not None
        assert (told.kind, told.subscription, told.mandate.status) == (
            MessageKind.MANDATE,
            "ours-1",
            MandateStatus.FAILED,
        )

    async def test_two_links_of_one_customer_are_of_one_customer_at_xendit(self, rig: XenditRig) -> None:
        one = await rig.provider.create_mandate(rig.mandate_request())
        two = await rig.provider.create_mandate(rig.mandate_request())
        assert one.reference != two.reference
        assert one.customer_reference == two.customer_reference is not None

    async def test_a_page_that_was_given_back_cannot_be_completed(self, rig: XenditRig) -> None:
        made = await rig.provider.create_mandate(rig.mandate_request())
        await rig.provider.end_mandate(made.reference, reason="nobody came")
        await rig.provider.end_mandate(made.reference, reason="nobody came")
        assert made.link is not None
        assert (await rig.control.post(made.link, data={"answer": "approve"})).is_error
        assert (await rig.provider.read_mandate(made.reference)).status is MandateStatus.FAILED

    async def test_what_a_completed_page_saved_is_given_back_too(self, rig: XenditRig) -> None:
        made = await rig.authorise()
        token = (await rig.provider.read_mandate(made.reference)).reference
        await rig.provider.end_mandate(made.reference, reason="canceled")
        assert (await rig.provider.read_mandate(token)).status is MandateStatus.ENDED

    async def test_another_token_needs_no_change_at_xendit_and_charges_nothing(self, rig: XenditRig) -> None:
        reference = await rig.agree()
        change = await rig.provider.change_method(reference, "pm_new")
        assert (change.method_token, change.payment) == ("pm_new", None)
        with pytest.raises(ProviderRefused, match="DATA_NOT_FOUND"):
            await rig.provider.change_method(reference, "pt-nobody")
        with pytest.raises(ProviderRefused, match="NO_LINK"):
            await rig.provider.change_method(reference, None)
        answer = await rig.provider.charge(order(reference, method_token="pm_new"))
        assert answer.kind is AnswerKind.PAYMENT
        assert len(await rig.book()) == 1

    async def test_a_token_of_another_providers_options_is_refused(self, rig: XenditRig) -> None:
        with pytest.raises(ProviderRefused, match="OPTIONS"):
            await rig.provider.create_mandate(mandate_request())


def refund(payment_id: str, key: str = "rf_1", amount: int = 100_000) -> RefundRequest:
    return RefundRequest(payment_id=payment_id, key=key, amount=amount, currency="IDR")


@pytest.mark.server
class TestRefunds:
    async def paid(self, rig: XenditRig) -> str:
        answer = await rig.provider.charge(order(await rig.agree("SUCCEEDED")))
        assert answer.payment is not None
        return answer.payment.payment_id

    async def test_parts_are_refunded_up_to_the_whole_and_not_beyond(self, rig: XenditRig) -> None:
        payment = await self.paid(rig)
        for key, amount in (("rf_1", 40_000), ("rf_2", 60_000)):
            answer = await rig.provider.refund(refund(payment, key, amount))
            assert answer.refund is not None
            assert (answer.refund.amount, answer.refund.payment_id) == (amount, payment)
        beyond = await rig.provider.refund(refund(payment, "rf_3", 100))
        assert (beyond.kind, beyond.code) == (AnswerKind.REFUSED, "REFUND_AMOUNT_EXCEEDED")

    async def test_the_same_key_refunds_once_and_is_found(self, rig: XenditRig) -> None:
        payment = await self.paid(rig)
        one = await rig.provider.refund(refund(payment, amount=40_000))
        two = await rig.provider.refund(refund(payment, amount=40_000))
        assert one == two
        found = await rig.provider.find_refund(payment, "rf_1")
        assert found == one.refund
        assert await rig.provider.find_refund(payment, "rf_2") is None

    async def test_the_same_key_for_another_amount_settles_nothing(self, rig: XenditRig) -> None:
        payment = await self.paid(rig)
        await rig.provider.refund(refund(payment, amount=40_000))
        other = await rig.provider.refund(refund(payment, amount=50_000))
        assert (other.kind, other.code) == (AnswerKind.UNCLEAR, "IDEMPOTENCY_ERROR")

    async def test_a_lost_answer_to_a_refund_is_unclear_and_the_refund_found(self, rig: XenditRig) -> None:
        payment = await self.paid(rig)
        await rig.fault("drop_after_commit", on="any")
        answer = await rig.provider.refund(refund(payment))
        assert (answer.kind, answer.refund) == (AnswerKind.UNCLEAR, None)
        found = await rig.provider.find_refund(payment, "rf_1")
        assert found is not None
        assert found.amount == 100_000

    async def test_a_refund_that_cannot_be_asked_for_proves_nothing(self, rig: XenditRig) -> None:
        with pytest.raises(ProviderUnavailable):
            await rig.unreachable().find_refund("pr-1", "rf_1")

    async def test_what_was_not_paid_is_not_refunded(self, rig: XenditRig) -> None:
        answer = await rig.provider.charge(order(await rig.agree("STOLEN_CARD")))
        assert answer.payment is not None
        refused = await rig.provider.refund(refund(answer.payment.payment_id))
        assert (refused.kind, refused.code) == (AnswerKind.REFUSED, "INELIGIBLE_TRANSACTION_STATUS")


class TestModes:
    """Test and live are never mixed. SPEC 12."""

    @pytest.mark.parametrize(
        ("key", "is_test", "match"),
        [
            ("xnd_production_abc", True, "test mode"),
            ("xnd_development_abc", False, "live mode"),
            ("xnd_public_development_abc", True, "public"),
        ],
    )
    def test_a_key_of_the_other_mode_or_a_public_one_is_refused(self, key: str, is_test: bool, match: str) -> None:
        with pytest.raises(ValueError, match=match) as caught:
            XenditProvider(SecretStr(key), is_test=is_test)
        assert "abc" not in str(caught.value)

    @pytest.mark.server
    async def test_the_business_clock_is_told_in_test_mode_only(self) -> None:
        seen: list[str | None] = []

        async def answer(request: Request) -> Response:
            seen.append(request.headers.get("x-dunning-business-at"))
            return Response(PAID)

        async with serving(Starlette(routes=[Route("/v3/payment_requests/pr-1", answer)])) as url:
            for is_test, key in ((True, "xnd_development_k"), (False, "xnd_production_k")):
                provider = XenditProvider(SecretStr(key), is_test=is_test, base_url=url)
                query = asking("pm_1", payment_id="pr-1")
                await provider.find_payment(query.but(business_at=query.since))
                await provider.aclose()
        assert seen[0] is not None
        assert seen[1:] == [None]

    async def test_the_registry_gives_the_adapter_that_the_settings_name(self) -> None:
        account = AccountSettings(provider="xendit", mode="test", api_key=KEY, merchant_name="Demo")
        provider = provider_for(account)
        assert provider.capabilities.name == "xendit"
        await provider.aclose()

    def test_the_registry_refuses_a_key_of_the_other_mode(self) -> None:
        account = AccountSettings(provider="xendit", mode="live", api_key=KEY, merchant_name="Demo")
        with pytest.raises(ConfigurationError, match="live mode"):
            provider_for(account)
