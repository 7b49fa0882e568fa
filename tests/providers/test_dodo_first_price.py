"""A first price on Dodo's page: what is asked, whose key it carries, when it counts as paid. Sheet D.4; SPEC 12."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.domain.first_price import FirstPrice
from dunning.providers.base import Mandate, MandateRequest, MandateStatus, PaymentStatus
from dunning.providers.dodo_requests import charge_body, checkout_body, subscription_body
from dunning.providers.dodo_wire import WirePayment
from tests.builders import subscription
from tests.providers.conftest import DodoRig
from tests.providers.ordering import AT, asking, mandate_request, order

FIRST = FirstPrice(key="at_1", amount=100_000, currency="IDR", description="Pro plan", planned_at=AT)
PRICE = {"product_price": 100_000, "product_currency": "IDR", "product_description": "Pro plan"}


def wanted(**options: Any) -> MandateRequest:
    named = {"country": "ID", "product_id": "pdt_1", "mandate_only": False, **options}
    given = subscription(
        id="ours-1",
        payment_methods=[],
        provider_options=named,
        immediate_action="FULL_AMOUNT",
        metadata={"plan": "pro"},
    )
    return mandate_request(given).but(first=FIRST)


@pytest.mark.parametrize("fees", [None, True, False])
def test_both_ways_ask_for_our_price_currency_and_words_and_for_nothing_of_the_product(fees: bool | None) -> None:
    request = wanted(adaptive_currency_fees_inclusive=fees)
    by_fees = {} if fees is None else {"adaptive_currency_fees_inclusive": fees}
    expected = {"mandate_only": False, **PRICE, **by_fees}
    checkout, older = checkout_body(request), subscription_body(request)
    assert checkout["subscription_data"] == {"on_demand": expected}
    assert older["on_demand"] == expected
    assert checkout["metadata"] == older["metadata"] == {
        "plan": "pro",
        "subscription": "ours-1",
        "merchant_account": request.account,
        "dunning_first_key": "at_1",
        "retry_attempt": 0,
        "planned_at": "2026-03-05T13:10:00Z",
        "obligation": "1",
    }  # fmt: skip


def test_without_a_first_price_the_mandate_charges_nothing_and_carries_no_key() -> None:
    body = checkout_body(mandate_request())
    assert body["subscription_data"] == {"on_demand": {"mandate_only": True}}
    assert "dunning_first_key" not in body["metadata"]


def test_no_pair_of_the_merchants_passes_for_a_first_prices_key() -> None:
    body = charge_body(order("sub_1", metadata={"dunning_first_key": "at_9", "plan": "pro"}))
    assert "dunning_first_key" not in body["metadata"]
    assert body["metadata"]["plan"] == "pro"


@pytest.mark.parametrize(
    ("charge_type", "changes", "key"),
    [
        ("new", {}, "at_1"),
        ("new", {"is_update_payment_method": True}, None),
        ("renewal", {}, None),
        ("on_demand", {}, None),
        (None, {}, None),
    ],
)
def test_only_what_the_page_made_carries_it_for_later_payments_inherit_the_metadata(
    charge_type: str | None, changes: dict[str, Any], key: str | None
) -> None:
    wire = WirePayment(
        payment_id="pay_1",
        total_amount=1,
        currency="IDR",
        charge_type=charge_type,
        metadata={"dunning_first_key": "at_1"},
        **changes,
    )
    assert wire.key == key
    assert wire.names("at_1") is (key is not None or charge_type is None)


@pytest.mark.server
@pytest.mark.parametrize("older_way", [False, True])
class TestOnThePage:
    async def made(self, rig: DodoRig, older_way: bool, *script: str) -> Mandate:
        made = await rig.provider.create_mandate(wanted(use_subscriptions_endpoint=older_way))
        await rig.post("scripts", {"subscription": "ours-1", "script": list(script)})
        assert made.link is not None
        return made

    async def test_nothing_is_found_while_the_page_waits(self, rig: DodoRig, older_way: bool) -> None:
        made = await self.made(rig, older_way)
        found = await rig.provider.find_payment(asking(made.reference, key="at_1"))
        assert (found.is_certain, found.payment) == (True, None)

    async def test_it_is_found_by_its_key_by_whatever_reference_is_known(self, rig: DodoRig, older_way: bool) -> None:
        made = await self.made(rig, older_way, "SUCCEEDED")
        await rig.visit(made.link or "")
        await rig.quiet()
        stands = await rig.provider.read_mandate(made.reference)
        assert stands.status is MandateStatus.AUTHORIZED
        for reference in {made.reference, stands.reference}:
            payment = (await rig.provider.find_payment(asking(reference, key="at_1"))).payment
            assert payment is not None
            assert (payment.status, payment.key, payment.amount) == (PaymentStatus.SUCCEEDED, "at_1", 100_000)
            assert payment.method_token == stands.method_token

    async def test_a_decline_fails_the_mandate_and_is_found(self, rig: DodoRig, older_way: bool) -> None:
        made = await self.made(rig, older_way, "DO_NOT_HONOR")
        await rig.visit(made.link or "")
        await rig.quiet()
        assert (await rig.provider.read_mandate(made.reference)).status is MandateStatus.FAILED
        payment = (await rig.provider.find_payment(asking(made.reference, key="at_1"))).payment
        assert payment is not None
        assert (payment.status, payment.code) == (PaymentStatus.FAILED, "DO_NOT_HONOR")

    async def test_a_page_that_was_given_back_before_anybody_paid_stays_unpaid(
        self, rig: DodoRig, older_way: bool
    ) -> None:
        made = await self.made(rig, older_way, "SUCCEEDED")
        await rig.provider.end_mandate(made.reference, reason="canceled")
        if older_way:  # a checkout cannot be taken back: what is paid there later is told late
            refused = await rig.control.post(made.link or "", data={"answer": "approve"})
            assert refused.is_client_error
        await rig.quiet()
        assert (await rig.provider.find_payment(asking(made.reference, key="at_1"))).payment is None


@pytest.mark.server
async def test_a_page_that_nobody_was_shown_cannot_have_been_paid(rig: DodoRig) -> None:
    found = await rig.provider.find_payment(asking("", key="at_1"))
    assert (found.is_certain, found.payment) == (True, None)
