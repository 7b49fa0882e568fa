"""Dodo's adapter: the contract of all adapters, and what is Dodo's own."""

from __future__ import annotations

import asyncio
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
from dunning.providers import http
from dunning.providers.base import (
    AnswerKind,
    MandateStatus,
    PaymentStatus,
    ProviderRefused,
    ProviderUnavailable,
)
from dunning.providers.dodo import DodoProvider
from dunning.providers.dodo_client import ADVICE
from dunning.providers.dodo_requests import charge_body
from dunning.providers.registry import provider_for
from dunning.sandbox.serving import serving
from dunning.settings import AccountSettings
from tests.builders import subscription
from tests.providers.conftest import DodoRig
from tests.providers.contract import ProviderContract
from tests.providers.link_contract import LinkContract
from tests.providers.money_contract import MoneyContract
from tests.providers.ordering import AT, asking, mandate_request, order

KEY = SecretStr("dodo_test_key")


class TestContract(ProviderContract, LinkContract, MoneyContract):
    """Everything that is asked of every adapter."""


@contextlib.asynccontextmanager
async def answering(status: int, body: bytes, **headers: str) -> AsyncIterator[DodoProvider]:
    """Dodo, always giving one answer."""

    async def answer(request: Request) -> Response:
        return Response(body, status_code=status, headers=headers)

    routes = [Route("/{path:path}", answer, methods=["GET", "POST", "PATCH"])]
    async with serving(Starlette(routes=routes)) as url:
        provider = DodoProvider(KEY, is_test=True, base_url=url)
        yield provider
        await provider.aclose()


def says(code: str) -> bytes:
    return json.dumps({"code": code, "message": "words"}).encode()


@pytest.mark.server
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b'{"payment_id":"pay_1"}', AnswerKind.PAYMENT),
        (200, b"{}", AnswerKind.UNCLEAR),
        (200, b'{"payment_id":7}', AnswerKind.UNCLEAR),
        (200, b"<html>", AnswerKind.UNCLEAR),
        (200, b"[]", AnswerKind.UNCLEAR),
        (204, b"", AnswerKind.UNCLEAR),
        (302, b"", AnswerKind.UNCLEAR),
        (400, b"", AnswerKind.UNCLEAR),
        (400, says("INVALID_REQUEST_BODY"), AnswerKind.REFUSED),
        (401, b"<html>", AnswerKind.OUTAGE),
        (401, says("UNAUTHORIZED"), AnswerKind.OUTAGE),
        (403, says("MERCHANT_NOT_LIVE"), AnswerKind.OUTAGE),
        (404, says("NOT_FOUND"), AnswerKind.REFUSED),
        (408, says("REQUEST_TIMEOUT"), AnswerKind.UNCLEAR),
        (409, says("SUBSCRIPTION_INACTIVE"), AnswerKind.REFUSED),
        (409, says("PREVIOUS_PAYMENT_PENDING"), AnswerKind.OUTAGE),
        (409, says("SOMETHING_CONCURRENT"), AnswerKind.UNCLEAR),
        (409, b"", AnswerKind.UNCLEAR),
        (422, says("SOMETHING_NEW"), AnswerKind.REFUSED),
        (429, b"slow down", AnswerKind.OUTAGE),
        (500, says("INTERNAL_SERVER_ERROR"), AnswerKind.UNCLEAR),
        (502, b"<html>", AnswerKind.UNCLEAR),
        (503, says("DISCOUNT_CONCURRENT_REDEMPTION"), AnswerKind.UNCLEAR),
    ],
)
async def test_each_answer_to_a_charge_has_one_meaning(status: int, body: bytes, kind: AnswerKind) -> None:
    async with answering(status, body) as provider:
        answer = await provider.charge(order("sub_1"))
    assert answer.kind is kind


@pytest.mark.server
async def test_a_throttled_charge_passes_on_how_long_to_stay_away() -> None:
    async with answering(429, says("TOO_MANY_REQUESTS"), **{"retry-after": "17"}) as provider:
        answer = await provider.charge(order("sub_1"))
        with pytest.raises(ProviderUnavailable) as caught:
            await provider.read_mandate("sub_1")
    assert answer.retry_after_seconds == 17
    assert caught.value.retry_after_seconds == 17


@pytest.mark.server
@pytest.mark.parametrize("body", [b"{}", b'{"items":{}}', b'{"items":[{"payment_id":1}]}', b"x", b'{"items":7}'])
async def test_a_list_that_cannot_be_read_proves_nothing(body: bytes) -> None:
    async with answering(200, body) as provider:
        found = await provider.find_payment(asking("sub_1"))
    assert (found.is_certain, found.payment) == (False, None)


@pytest.mark.server
async def test_a_list_without_an_end_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dunning.providers.dodo.MAX_PAGES", 3)
    row = {"payment_id": "pay_1", "total_amount": 1, "currency": "USD", "status": "succeeded"}
    async with answering(200, json.dumps({"items": [row]}).encode()) as provider:
        found = await provider.find_payment(asking("sub_1"))
    assert (found.is_certain, found.payment) == (False, None)


@pytest.mark.server
async def test_silence_of_the_provider_ends_at_our_deadline_and_is_unclear(
    rig: DodoRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "CALL_SECONDS", 0.3)
    reference = await rig.agree("SUCCEEDED")
    await rig.fault("timeout_after_commit", seconds=30)
    began = asyncio.get_running_loop().time()
    patient = DodoProvider(KEY, is_test=True, base_url=rig.sandbox.url)
    answer = await patient.charge(order(reference))
    await patient.aclose()
    assert answer.kind is AnswerKind.UNCLEAR
    assert asyncio.get_running_loop().time() - began < 10
    assert len(await rig.book()) == 1


@pytest.mark.server
async def test_more_metadata_than_dodo_takes_is_refused_before_it_is_sent(rig: DodoRig) -> None:
    reference = await rig.agree()
    fits = {f"k{n}": n for n in range(44)}
    too_many = await rig.provider.charge(order(reference, metadata={**fits, "one": "more"}))
    assert (too_many.kind, too_many.code) == (AnswerKind.REFUSED, "MAXIMUM_KEYS_REACHED")
    assert await rig.book() == []
    assert (await rig.provider.charge(order(reference, metadata=fits))).kind is AnswerKind.PAYMENT


@pytest.mark.server
async def test_refusals_go_through_the_decline_table(rig: DodoRig) -> None:
    ended = await rig.agree(status="cancelled")
    live = await rig.agree()
    refused = await rig.provider.charge(order(ended))
    small = await rig.provider.charge(order(live, amount=1))
    table = rig.provider.declines
    assert classify(table, refused.code_field, refused.code).klass is DeclineClass.ACTION
    assert classify(table, small.code_field, small.code).klass is DeclineClass.MERCHANT


@pytest.mark.server
async def test_a_pending_payment_puts_the_next_charge_off_and_charges_nothing(rig: DodoRig) -> None:
    reference = await rig.agree("PENDING/2h/SUCCEEDED")
    await rig.provider.charge(order(reference, key="at_1"))
    second = await rig.provider.charge(order(reference, key="at_2"))
    assert (second.kind, second.code) == (AnswerKind.OUTAGE, "PREVIOUS_PAYMENT_PENDING")
    assert [row.key for row in await rig.book()] == ["at_1"]


@pytest.mark.server
async def test_two_charges_under_one_key_are_two_and_the_paid_one_is_found(rig: DodoRig) -> None:
    """Dodo knows no idempotency: the adapter must not be relied on to hide a repeat."""
    reference = await rig.agree("INSUFFICIENT_FUNDS", "SUCCEEDED")
    await rig.provider.charge(order(reference))
    await rig.quiet()
    late = (await rig.book())[0].payment_id
    await rig.post(f"subscriptions/{reference}/late-success", {"payment_id": late})
    await rig.provider.charge(order(reference))
    await rig.quiet()
    assert len(await rig.book()) == 2
    found = (await rig.provider.find_payment(asking(reference))).payment
    assert found is not None
    assert found.status is PaymentStatus.SUCCEEDED


@pytest.mark.server
class TestMethods:
    """Dodo collects by itself when the method of a subscription on hold changes."""

    async def test_on_hold_its_own_charge_is_returned(self, rig: DodoRig) -> None:
        reference = await rig.agree("EXPIRED_CARD", on_hold=True)
        await rig.provider.charge(order(reference))
        await rig.quiet()
        change = await rig.provider.change_method(reference, "pm_new")
        assert change.payment is not None
        assert (change.payment.key, change.payment.amount) == (None, 100_000)
        await rig.quiet()
        query = asking(reference, key="at_2", accept_keyless=True)
        found = (await rig.provider.find_payment(query)).payment
        assert found is not None
        assert (found.payment_id, found.status) == (change.payment.payment_id, PaymentStatus.SUCCEEDED)
        assert len([row for row in await rig.book() if row.status == "succeeded"]) == 1

    async def test_otherwise_nothing_is_charged(self, rig: DodoRig) -> None:
        reference = await rig.agree()
        change = await rig.provider.change_method(reference, "pm_new")
        assert (change.method_token, change.payment) == ("pm_new", None)
        assert (await rig.provider.read_mandate(reference)).method_token == "pm_new"
        assert await rig.book() == []

    async def test_without_a_token_there_is_a_link(self, rig: DodoRig) -> None:
        reference = await rig.agree()
        change = await rig.provider.change_method(reference, None)
        assert change.link is not None
        await rig.visit(change.link)
        assert (await rig.provider.read_mandate(reference)).method_token not in (None, "pm_sandbox")

    async def test_an_unknown_token_is_refused(self, rig: DodoRig) -> None:
        reference = await rig.agree()
        with pytest.raises(ProviderRefused):
            await rig.provider.change_method(reference, "pm_nobody")


@pytest.mark.server
class TestMandates:
    async def test_the_older_endpoint_is_used_when_the_options_ask_for_it(self, rig: DodoRig) -> None:
        options = {"country": "ID", "product_id": "pdt_1", "use_subscriptions_endpoint": True}
        terms = subscription(id="ours-1", payment_methods=[], provider_options=options).terms()
        made = await rig.provider.create_mandate(mandate_request(terms=terms))
        assert made.reference.startswith("sub_")
        assert made.expires_at is not None
        assert made.link is not None
        await rig.visit(made.link)
        assert (await rig.provider.read_mandate(made.reference)).status is MandateStatus.AUTHORIZED

    async def test_a_mandate_alone_charges_nothing(self, rig: DodoRig) -> None:
        made = await rig.provider.create_mandate(mandate_request())
        assert made.link is not None
        await rig.visit(made.link)
        await rig.quiet()
        assert await rig.book() == []

    @pytest.mark.parametrize("older_way", [False, True])
    async def test_a_mandate_asks_for_no_price_by_either_way(self, rig: DodoRig, older_way: bool) -> None:
        options = {"country": "ID", "product_id": "pdt_1", "use_subscriptions_endpoint": older_way}
        given = subscription(id="ours-1", payment_methods=[], provider_options=options, immediate_action="FULL_AMOUNT")
        made = await rig.provider.create_mandate(mandate_request(given))
        assert made.link is not None
        await rig.visit(made.link)
        await rig.quiet()
        assert (await rig.provider.read_mandate(made.reference)).status is MandateStatus.AUTHORIZED
        assert await rig.book() == []

    async def test_what_a_mandates_page_charged_never_passes_for_an_attempt_of_ours(self, rig: DodoRig) -> None:
        """Somebody else's link with a price, whose metadata name an attempt: it carries no key of ours."""
        body = {
            "product_id": "pdt_1", "quantity": 1, "billing": {"country": "ID"}, "payment_link": True,
            "customer": {"email": "a@example.com"}, "metadata": {"subscription": "ours-1", "dunning_key": "at_1"},
            "on_demand": {"mandate_only": False, "product_price": 100_000, "product_currency": "IDR"},
        }  # fmt: skip
        headers = {"authorization": "Bearer dodo_test_key"}
        made = (await rig.control.post("/subscriptions", json=body, headers=headers)).json()
        await rig.visit(made["payment_link"])
        await rig.quiet()
        assert [row.amount for row in await rig.book()] == [100_000]
        found = await rig.provider.find_payment(asking(made["subscription_id"]))
        assert (found.is_certain, found.payment) == (True, None)

    async def test_without_an_address_for_mail_nothing_is_asked(self, rig: DodoRig) -> None:
        contacts = subscription().contacts().but(email=None)
        with pytest.raises(ProviderRefused, match="e-mail"):
            await rig.provider.create_mandate(mandate_request(contacts=contacts))

    async def test_a_reference_never_becomes_a_path(self, rig: DodoRig) -> None:
        reference = await rig.agree("SUCCEEDED")
        answer = await rig.provider.charge(order(f"x/../{reference}"))
        assert answer.kind is AnswerKind.REFUSED
        assert await rig.book() == []


class TestModes:
    """Test and live are never mixed. SPEC 12."""

    def test_a_key_of_the_other_mode_is_refused(self) -> None:
        with pytest.raises(ValueError, match="test mode") as caught:
            DodoProvider(SecretStr("dodo_live_abc"), is_test=True)
        assert "abc" not in str(caught.value)
        with pytest.raises(ValueError, match="live mode"):
            DodoProvider(SecretStr("dodo_test_abc"), is_test=False)

    @pytest.mark.server
    async def test_the_business_clock_is_told_in_test_mode_only(self) -> None:
        seen: list[str | None] = []

        async def answer(request: Request) -> Response:
            seen.append(request.headers.get("x-dunning-business-at"))
            return Response(b'{"items":[]}')

        async with serving(Starlette(routes=[Route("/payments", answer)])) as url:
            for is_test, key in ((True, "dodo_test_k"), (False, "dodo_live_k")):
                provider = DodoProvider(SecretStr(key), is_test=is_test, base_url=url)
                await provider.find_payment(asking("sub_1", business_at=AT))
                await provider.aclose()
        assert seen == ["2026-03-05T13:10:00+00:00", None]

    async def test_the_registry_gives_the_adapter_that_the_settings_name(self) -> None:
        account = AccountSettings(provider="dodo", mode="test", api_key=KEY, merchant_name="Demo")
        provider = provider_for(account)
        assert provider.capabilities.name == "dodo"
        await provider.aclose()

    def test_a_provider_without_an_adapter_is_named(self) -> None:
        account = AccountSettings(provider="dodo", mode="test", api_key=KEY, merchant_name="Demo")
        with pytest.raises(ConfigurationError, match="nobody"):
            provider_for(account.model_copy(update={"provider": "nobody"}))


class TestTheGuidesFaults:
    """What the guide's page of common faults lists comes with what can be done about it."""

    @pytest.mark.server
    async def test_a_currency_that_the_account_does_not_take_is_the_merchants_to_put_right(self, rig: DodoRig) -> None:
        answer = await rig.provider.charge(order(await rig.agree(), currency="ZZZ"))
        assert (answer.kind, answer.code) == (AnswerKind.REFUSED, "UNSUPPORTED_CURRENCY")
        assert "enable it" in answer.because
        found = classify(rig.provider.declines, answer.code_field, answer.code)
        assert found.klass is DeclineClass.MERCHANT
        assert await rig.book() == []

    @pytest.mark.server
    @pytest.mark.parametrize("code", ["INVALID_REQUEST_BODY", "UNSUPPORTED_BILLING_CURRENCY"])
    async def test_a_mandate_that_is_refused_says_what_to_do(self, code: str) -> None:
        async with answering(422, says(code)) as provider:
            with pytest.raises(ProviderRefused) as refused:
                await provider.create_mandate(mandate_request())
        assert ADVICE[code] in str(refused.value)

    def test_what_options_say_of_fees_goes_with_every_charge(self) -> None:
        assert "adaptive_currency_fees_inclusive" not in charge_body(order("sub_1"))
        assert charge_body(order("sub_1", fees_inclusive=True))["adaptive_currency_fees_inclusive"] is True

    @pytest.mark.server
    async def test_the_customers_portal_is_linked_by_the_mandate(self, rig: DodoRig) -> None:
        link = await rig.provider.portal_link(await rig.agree(), return_url="https://example.com/back")
        assert link.startswith("http")
        with pytest.raises(ProviderRefused):
            await rig.provider.portal_link("sub_nobody")
