"""The provider's own SDK understands every answer of the sandbox. SPEC 20.

Its models are built without validation by default, so each answer is validated against them here.
"""

from __future__ import annotations

from typing import Any

import dodopayments
import pytest

from .conftest import WEBHOOK_SECRET, Receiver, Shop

pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")]


def valid(model: Any) -> Any:
    """The model again, validated strictly by its own type's rules."""
    return type(model).model_validate(model.to_dict(mode="json"))


@pytest.fixture
def sdk(shop: Shop) -> Any:
    return dodopayments.AsyncDodoPayments(
        bearer_token="dodo_test_key", base_url=shop.sandbox.url, max_retries=0, webhook_key=WEBHOOK_SECRET
    )


async def test_a_mandate_and_a_charge_through_the_sdk(shop: Shop, sdk: Any, receiver: Receiver) -> None:
    await shop.control("scripts", subscription="ours-1", script=["INSUFFICIENT_FUNDS"], mandate="complete")
    created = valid(
        await sdk.subscriptions.create(
            billing={"country": "ID"},
            customer={"email": "a@example.com"},
            product_id="pdt_1",
            quantity=1,
            payment_link=True,
            on_demand={"mandate_only": True, "product_currency": "IDR"},
            metadata={"subscription": "ours-1"},
        )
    )
    await shop.quiet()
    subscription = valid(await sdk.subscriptions.retrieve(created.subscription_id))
    assert (subscription.status, subscription.on_demand) == ("active", True)
    accepted = valid(await sdk.subscriptions.charge(created.subscription_id, product_price=100_000))
    await shop.quiet()
    payment = valid(await sdk.payments.retrieve(accepted.payment_id))
    assert (payment.status, payment.error_code, payment.charge_type) == (
        "failed",
        "INSUFFICIENT_FUNDS",
        "on_demand",
    )
    rows = [valid(row) async for row in sdk.payments.list(subscription_id=created.subscription_id)]
    assert [row.payment_id for row in rows] == [accepted.payment_id, created.payment_id]
    listed = [valid(row) async for row in sdk.subscriptions.list()]
    assert [row.subscription_id for row in listed] == [created.subscription_id]
    last = receiver.requests[-1]
    event = sdk.webhooks.unwrap(last.body.decode(), headers=last.headers)
    assert (event.type, valid(event.data).payment_id) == ("payment.failed", accepted.payment_id)


async def test_checkouts_methods_and_the_portal_through_the_sdk(shop: Shop, sdk: Any) -> None:
    session = valid(
        await sdk.checkout_sessions.create(
            product_cart=[{"product_id": "pdt_1", "quantity": 1}],
            customer={"email": "a@example.com"},
            subscription_data={"on_demand": {"mandate_only": True}},
        )
    )
    await shop.client.post(session.checkout_url)
    status = valid(await sdk.checkout_sessions.retrieve(session.session_id))
    payment = valid(await sdk.payments.retrieve(status.payment_id))
    methods = valid(await sdk.customers.retrieve_payment_methods(payment.customer.customer_id))
    assert [one.payment_method_id for one in methods.items] == [payment.payment_method_id]
    portal = valid(await sdk.customers.customer_portal.create(payment.customer.customer_id))
    assert portal.link.startswith(shop.sandbox.url)
    link = valid(await sdk.subscriptions.update_payment_method(payment.subscription_id, payment_method={"type": "new"}))
    assert link.payment_link.startswith(shop.sandbox.url)
    cancelled = valid(await sdk.subscriptions.update(payment.subscription_id, status="cancelled"))
    assert cancelled.cancelled_by.actor_type == "api_key"


async def test_refunds_whole_and_in_part_through_the_sdk(shop: Shop, sdk: Any, receiver: Receiver) -> None:
    await shop.register()
    accepted = valid(await sdk.subscriptions.charge("sub_1", product_price=100_000))
    await shop.quiet()
    product = valid(await sdk.subscriptions.retrieve("sub_1")).product_id
    part = [{"item_id": product, "amount": 40_000}]

    first = valid(
        await sdk.refunds.create(payment_id=accepted.payment_id, metadata={"dunning_key": "rf_1"}, items=part)
    )
    again = valid(await sdk.refunds.retrieve(first.refund_id))
    told = (again.refund_id, again.payment_id, again.amount, again.is_partial, again.metadata)
    assert told == (first.refund_id, accepted.payment_id, 40_000, True, {"dunning_key": "rf_1"})
    rest = valid(await sdk.refunds.create(payment_id=accepted.payment_id))
    assert (rest.amount, rest.is_partial) == (60_000, True)
    assert {valid(one).refund_id async for one in sdk.refunds.list()} == {first.refund_id, rest.refund_id}
    shown = valid(await sdk.payments.retrieve(accepted.payment_id)).refunds
    assert {one.refund_id for one in shown} == {first.refund_id, rest.refund_id}
    await shop.quiet()
    last = receiver.requests[-1]
    event = sdk.webhooks.unwrap(last.body.decode(), headers=last.headers)
    assert (event.type, valid(event.data).refund_id) == ("refund.succeeded", rest.refund_id)


async def test_the_webhook_endpoint_and_its_secret_through_the_sdk(shop: Shop, sdk: Any) -> None:
    (one,) = [valid(row) async for row in sdk.webhooks.list()]
    assert (one.url, one.disabled) == (shop.sandbox.state.settings.webhook_url, False)
    assert valid(await sdk.webhooks.retrieve_secret(one.id)).secret == WEBHOOK_SECRET
    with pytest.raises(dodopayments.NotFoundError):
        await sdk.webhooks.retrieve_secret("nobody")


@pytest.mark.parametrize(("word", "status"), [("SUCCEEDED", "active"), ("DO_NOT_HONOR", "failed")])
async def test_a_checkout_with_a_first_price_through_the_sdk(shop: Shop, sdk: Any, word: str, status: str) -> None:
    await shop.control("scripts", subscription="ours-1", script=[word])
    session = valid(
        await sdk.checkout_sessions.create(
            product_cart=[{"product_id": "pdt_1", "quantity": 1}],
            customer={"email": "a@example.com"},
            subscription_data={"on_demand": {"mandate_only": False, "product_price": 2500, "product_currency": "USD"}},
            metadata={"subscription": "ours-1", "dunning_first_key": "at_1"},
        )
    )
    await shop.client.post(session.checkout_url)
    await shop.quiet()
    own = valid(await sdk.checkout_sessions.retrieve(session.session_id)).payment_id
    payment = valid(await sdk.payments.retrieve(own))
    assert (payment.charge_type, payment.total_amount, payment.currency) == ("new", 2500, "USD")
    assert payment.metadata["dunning_first_key"] == "at_1"
    assert valid(await sdk.subscriptions.retrieve(payment.subscription_id)).status == status


async def test_refusals_become_the_sdk_s_own_errors(shop: Shop, sdk: Any) -> None:
    await shop.register(status="on_hold")
    with pytest.raises(dodopayments.ConflictError):
        await sdk.subscriptions.charge("sub_1", product_price=1000)
    with pytest.raises(dodopayments.NotFoundError):
        await sdk.subscriptions.charge("nobody", product_price=1000)
    await shop.faults({"on": "charge", "kind": "429"})
    with pytest.raises(dodopayments.RateLimitError):
        await sdk.subscriptions.charge("sub_1", product_price=1000)


async def test_the_sdk_left_to_its_retries_charges_more_than_once(shop: Shop, sdk: Any) -> None:
    """Why nothing below us may retry: one call, an unclear answer, two charges."""
    await shop.register()
    await shop.control("configure", settle_seconds=0)
    await shop.faults({"on": "charge", "kind": "http_500_after_commit"})
    await sdk.with_options(max_retries=2).subscriptions.charge("sub_1", product_price=1000)
    assert [row["status"] for row in await shop.book()] == ["succeeded", "succeeded"]
