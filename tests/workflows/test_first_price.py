"""A first price on the mandate's own page: attempt 1, paid by the customer, never sent by the engine. SPEC 12, 13."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dunning.domain.attempts import OutcomeKind
from dunning.domain.page import ON_PAGE
from dunning.domain.state import State
from dunning.domain.tables import CycleStatus, SubscriptionStatus
from dunning.ledger.models import RefundInput
from tests.workflows.world import ACCOUNT, Life, World

pytestmark = pytest.mark.server
A_MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BOTH = pytest.mark.parametrize("by_subscription", [False, True], ids=["checkouts", "subscriptions"])


async def with_a_page(
    world: World, *script: str, by_subscription: bool = False, on_mandate: str | None = None, **changes: Any
) -> Life:
    """A subscription whose customer has the page in hand. No message reaches us: everything is read."""
    if on_mandate is not None:
        faults = [{"on": "mandate", "kind": on_mandate}]
        (await world.http.post("/_sandbox/faults", json=faults)).raise_for_status()
    options = {"country": "ID", "product_id": "pdt_1", "mandate_only": False}
    life = await world.begin(
        payment_methods=[],
        provider_options={**options, "use_subscriptions_endpoint": by_subscription},
        immediate_action="FULL_AMOUNT",
        **changes,
    )
    await life.until(lambda s: s.mandate_link is not None, step=A_MINUTE)
    body = {"subscription": life.name, "script": list(script)}
    (await world.http.post("/_sandbox/scripts", json=body)).raise_for_status()
    return life


async def answer(life: Life, what: str) -> None:
    link = (await life.state()).mandate_link
    assert link is not None
    (await life.world.http.post(link, data={"answer": what})).raise_for_status()


async def row(life: Life) -> Any:
    (only,) = await life.world.ledger.attempts_of(ACCOUNT, life.name)
    return only


async def paid(life: Life) -> list[tuple[str, str | None, int]]:
    found = [(c["status"], c["key"], c["amount"]) for c in await life.charges()]
    return [one for one in found if one[0] == "succeeded"]


def is_active(state: State) -> bool:
    return state.status is SubscriptionStatus.ACTIVE


@BOTH
@pytest.mark.parametrize("on_mandate", [None, "drop_after_commit"])
async def test_its_row_stands_before_the_link_and_the_pages_payment_settles_it_once(
    world: World, by_subscription: bool, on_mandate: str | None
) -> None:
    life = await with_a_page(world, "SUCCEEDED", by_subscription=by_subscription, on_mandate=on_mandate)
    before = await row(life)
    assert (before.number, before.obligation, before.method, before.status) == (1, "1", ON_PAGE, "unknown")
    await life.pass_time(20 * HOUR)
    assert await paid(life) == []
    await answer(life, "approve")
    state = await life.until(is_active)

    after = await row(life)
    assert (after.key, after.status, after.outcome.kind) == (before.key, "settled", OutcomeKind.SUCCEEDED)
    assert after.method.startswith("pm_")
    assert await paid(life) == [("succeeded", before.key, before.amount)]
    assert (state.obligation("1").status, state.page) == (CycleStatus.SUCCEEDED, None)


async def test_the_next_cycle_is_charged_by_the_engine_as_ever(world: World) -> None:
    life = await with_a_page(world, "SUCCEEDED", "SUCCEEDED")
    await answer(life, "approve")
    state = await life.until(lambda s: s.has("2") and s.obligation("2").status is CycleStatus.SUCCEEDED, step=DAY)

    rows = await world.ledger.attempts_of(ACCOUNT, life.name)
    assert [(r.obligation, r.number, r.status) for r in rows] == [("1", 1, "settled"), ("2", 1, "settled")]
    assert [key for _, key, _ in await paid(life)] == [r.key for r in rows]
    assert is_active(state)


@BOTH
async def test_a_page_that_nobody_completes_closes_the_attempt_as_absent(world: World, by_subscription: bool) -> None:
    life = await with_a_page(world, by_subscription=by_subscription, activation_timeout_days=2)
    await life.until(lambda s: s.is_ended)
    await life.closed()

    state = await life.state()
    assert (state.status, state.page) == (SubscriptionStatus.FAILED, None)
    closed = await row(life)
    assert (closed.status, closed.outcome.kind) == ("settled", OutcomeKind.ABSENT)
    assert await life.charges() == [] or {c["status"] for c in await life.charges()} == {"requires_payment_method"}


async def test_a_decline_on_it_fails_the_mandate_and_nothing_more_is_tried(world: World) -> None:
    life = await with_a_page(world, "STOLEN_CARD", "SUCCEEDED")
    await answer(life, "approve")
    await life.closed()

    assert (await life.state()).status is SubscriptionStatus.FAILED
    declined = await row(life)
    assert (declined.status, declined.outcome.raw_code) == ("settled", "STOLEN_CARD")
    assert [c["status"] for c in await life.charges()] == ["failed"]


async def test_a_payment_that_is_pending_there_is_awaited(world: World) -> None:
    life = await with_a_page(world, "PENDING/30h/SUCCEEDED")
    await answer(life, "approve")
    await life.pass_time(25 * HOUR)
    assert await paid(life) == []
    later = (await world.now() + DAY).isoformat()
    (await world.http.post("/_sandbox/advance", json={"business_now": later})).raise_for_status()
    state = await life.until(is_active)

    assert state.obligation("1").status is CycleStatus.SUCCEEDED
    assert len(await paid(life)) == 1


async def test_canceled_in_the_moment_of_paying_a_person_is_told_of_the_money(world: World) -> None:
    life = await with_a_page(world, "SUCCEEDED")
    await answer(life, "approve")
    assert (await life.command("cancel")).status == "done"
    await life.closed()

    state = await life.state()
    assert state.status is SubscriptionStatus.FAILED
    assert any("first price was paid" in one.what for one in state.attention)
    paid_row = await row(life)
    assert paid_row.outcome.kind is OutcomeKind.SUCCEEDED

    # A refund finds the order, though the state never had a cycle of it.
    asked = RefundInput(
        account=ACCOUNT, subscription=life.name, generation=1, customer=paid_row.customer_id, key="rf_1",
        command_id="back-1", order="1", currency="IDR", business_at=state.latest,
    )  # fmt: skip
    refund = (await world.ledger.admit_refund(asked, owner="test")).row
    assert refund is not None
    assert (refund.payment_id, refund.amount) == (paid_row.provider_payment_id, paid_row.amount)
