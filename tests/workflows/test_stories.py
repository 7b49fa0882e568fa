"""Whole lives on the time-skipping server: what the workflow does is what the core decides."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dunning.domain.tables import CycleStatus, SubscriptionStatus
from tests.workflows.world import World

pytestmark = pytest.mark.server
MONTH = timedelta(days=28)


async def test_a_good_cycle_is_charged_once_at_its_instant(world: World) -> None:
    life = await world.begin("SUCCEEDED")

    state = await life.pass_time(timedelta(hours=2))

    assert state.status is SubscriptionStatus.ACTIVE
    assert state.next_number == 2
    (charge,) = await life.charges()
    assert (charge["status"], charge["amount"]) == ("succeeded", 100_000)


async def test_l1_the_full_ladder_is_run_and_the_subscription_stops(world: World) -> None:
    life = await world.begin(*["INSUFFICIENT_FUNDS"] * 4)

    state = await life.until(lambda s: s.status is SubscriptionStatus.INACTIVE, step=timedelta(days=1))

    cycle = state.obligation("1")
    days = [(a.planned_at - life.anchor).days for a in cycle.attempts]
    assert days == [0, 3, 10, 17]
    assert cycle.status is CycleStatus.FAILED
    assert len(await life.charges()) == 4
    subjects = [mail.row()["subject"] for mail in world.mail.mails]
    assert len(subjects) == 4


async def test_a_recovery_is_told_also_when_its_run_is_older_than_an_idle_one_may_become(world: World) -> None:
    life = await world.begin("SUCCEEDED", "INSUFFICIENT_FUNDS", "INSUFFICIENT_FUNDS", "SUCCEEDED")
    await life.pass_time(timedelta(days=1))

    state = await life.until(lambda s: s.last_success_at is not None and s.last_success_at > life.anchor + MONTH)
    await life.pass_time(timedelta(days=1))

    assert state.status is SubscriptionStatus.ACTIVE
    assert [mail.row()["subject"] for mail in world.mail.mails][-1] == "Thank you: your payment to Kopi Club arrived"
