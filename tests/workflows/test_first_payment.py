"""An immediate first payment behind a mandate's link: the engine charges it, once. SPEC 8, 12, 13."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dunning.domain.tables import CycleStatus, SubscriptionStatus
from tests.workflows.world import ACCOUNT, Life, World

pytestmark = pytest.mark.server
A_MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


async def with_a_link(world: World, *script: str, on_mandate: str | None = None) -> Life:
    """A subscription whose customer has the link in hand; nothing has been charged."""
    if on_mandate is not None:
        faults = [{"on": "mandate", "kind": on_mandate}]
        (await world.http.post("/_sandbox/faults", json=faults)).raise_for_status()
    life = await world.begin(
        payment_methods=[],
        provider_options={"country": "ID", "product_id": "pdt_1"},
        immediate_action="FULL_AMOUNT",
    )
    await life.until(lambda s: s.mandate_link is not None, step=A_MINUTE)
    body = {"subscription": life.name, "script": list(script)}
    (await world.http.post("/_sandbox/scripts", json=body)).raise_for_status()
    assert await life.charges() == []
    return life


async def complete(life: Life) -> None:
    """The customer opens the page and agrees. No message tells us: this world's provider has no address of ours."""
    link = (await life.state()).mandate_link
    assert link is not None
    (await life.world.http.post(link, data={"answer": "approve"})).raise_for_status()
    assert await life.charges() == []


@pytest.mark.parametrize("on_mandate", [None, "http_500_after_commit", "drop_after_commit"])
async def test_it_is_charged_once_whatever_became_of_the_links_creation_and_however_late_it_is_completed(
    world: World, on_mandate: str | None
) -> None:
    life = await with_a_link(world, "SUCCEEDED", on_mandate=on_mandate)
    await life.pass_time(3 * DAY)
    await complete(life)
    state = await life.until(lambda s: s.status is SubscriptionStatus.ACTIVE, step=6 * HOUR)

    assert state.obligation("1").status is CycleStatus.SUCCEEDED
    (row,) = await world.ledger.attempts_of(ACCOUNT, life.name)
    (charge,) = await life.charges()
    assert (charge["status"], charge["key"], charge["amount"]) == ("succeeded", row.key, row.amount)


async def test_a_decline_of_it_leaves_no_service_and_nothing_more_is_tried(world: World) -> None:
    life = await with_a_link(world, "INSUFFICIENT_FUNDS", "SUCCEEDED")
    await complete(life)
    state = await life.until(lambda s: s.is_ended, step=6 * HOUR)

    assert state.status is SubscriptionStatus.FAILED
    assert [charge["status"] for charge in await life.charges()] == ["failed"]
