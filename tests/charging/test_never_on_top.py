"""What the provider collected by itself is adopted once, and never charged on top. SPEC 8, 12."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dunning import charging
from dunning.domain.attempts import Attempt, OutcomeKind, Trigger
from dunning.errors import Conflict
from tests.charging.test_charging import REFERENCE, Shop, shop
from tests.ledger.till import attempt, charge

__all__ = ["shop"]
pytestmark = pytest.mark.server


def rung(number: int = 2, obligation: str = "1") -> Attempt:
    return attempt(obligation, number=number, trigger=Trigger.LADDER)


async def collected_by_the_provider(shop: Shop) -> str:
    """Declined, on hold, the customer changed the method there, and no webhook arrived: the payment's id."""
    await shop.agree("INSUFFICIENT_FUNDS", "SUCCEEDED", "SUCCEEDED", "SUCCEEDED", on_hold_after_failure=True)
    assert (await shop.charge()).kind is OutcomeKind.DECLINED
    await shop.post(f"subscriptions/{REFERENCE}/update-method", {"payment_method_id": "pm_2"})
    found = (await shop.http.get("/_sandbox/charges")).json()["charges"]
    return str(next(c["payment_id"] for c in found if c["status"] != "failed"))


async def test_a_rung_adopts_what_was_collected_although_every_webhook_was_lost(shop: Shop) -> None:
    payment = await collected_by_the_provider(shop)
    found = await shop.charge(charge(attempt=rung()))
    assert (found.kind, found.provider_payment_id) == (OutcomeKind.SUCCEEDED, payment)
    assert await shop.book() == ["failed", "succeeded"]


async def test_the_search_goes_back_to_the_obligations_first_send(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = await collected_by_the_provider(shop)
    # As if the payment were older than the least time that is searched.
    monkeypatch.setattr(charging, "OWN_COLLECTION_MEMORY", -timedelta(minutes=10))
    assert (await shop.charge(charge(attempt=rung()))).provider_payment_id == payment


async def test_a_payment_is_adopted_by_one_obligation_alone(shop: Shop) -> None:
    await collected_by_the_provider(shop)
    assert (await shop.charge(charge(attempt=rung()))).kind is OutcomeKind.SUCCEEDED
    other = charge(obligation="od-1", attempt=rung(obligation="od-1"))
    assert (await shop.charge(other)).kind is OutcomeKind.SUCCEEDED
    assert await shop.book() == ["failed", "succeeded", "succeeded"]
    rows = await shop.ledger.attempts_of("demo", "sub-1")
    assert len({row.provider_payment_id for row in rows}) == len(rows) == 3


async def test_a_payment_that_the_workflow_matched_already_is_not_adopted_again(shop: Shop) -> None:
    payment = await collected_by_the_provider(shop)
    found = await shop.charge(charge(attempt=rung(), known_payments=(payment,)))
    assert found.kind is OutcomeKind.SUCCEEDED
    assert found.provider_payment_id != payment


async def test_a_provider_that_cannot_be_asked_first_is_not_charged(shop: Shop) -> None:
    await collected_by_the_provider(shop)
    await shop.fault("http_500", on="lookup", times=1)
    assert (await shop.charge(charge(attempt=rung()))).kind is OutcomeKind.OUTAGE
    assert len(await shop.book()) == 2
    assert (await shop.charge(charge(attempt=rung()))).kind is OutcomeKind.SUCCEEDED
    assert await shop.book() == ["failed", "succeeded"]


async def test_one_key_for_two_prices_is_refused_and_raises_attention_once(shop: Shop) -> None:
    await shop.agree("SUCCEEDED")
    await shop.charge()
    for _ in range(2):
        with pytest.raises(Conflict):
            await shop.charge(charge(amount=1))
    assert await shop.book() == ["succeeded"]
    events = [e["type"] for e in await shop.ledger.events_of("demo", "sub-1")]
    assert events == ["payment.succeeded", "subscription.attention"]


async def test_a_look_up_for_another_price_tells_nothing(shop: Shop) -> None:
    await shop.agree("SUCCEEDED")
    await shop.charge()
    with pytest.raises(Conflict):
        await shop.look_up(amount=1)
    assert (await shop.look_up(after=timedelta(hours=1))).kind is OutcomeKind.SUCCEEDED
