"""Stories about where a subscription stands."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dunning.client import DunningClient
from dunning.domain.commands import Reinstate
from dunning.domain.tables import SubscriptionStatus as S
from dunning.providers.base import MandateStatus
from tests.workflows import telling
from tests.workflows.stories import walks
from tests.workflows.telling import A_MINUTE, LINK, cycle_is, done, is_
from tests.workflows.world import ACCOUNT, Life, World

SOFT = "INSUFFICIENT_FUNDS"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOLD = {"grace_days": 1, "hold_days": 5}


@walks("S requires_action mandate_authorized", "S activating nothing_due_now")
async def the_link_is_completed(world: World) -> None:
    life = await world.begin(**LINK)
    await life.until(lambda s: s.mandate_link is not None, step=A_MINUTE)
    await telling.mandate(life, MandateStatus.AUTHORIZED)
    await is_(life, "active", step=A_MINUTE)


@walks("S requires_action mandate_failed")
async def the_link_fails(world: World) -> None:
    life = await world.begin(**LINK)
    await life.until(lambda s: s.mandate_link is not None, step=A_MINUTE)
    await telling.mandate(life, MandateStatus.FAILED)
    await is_(life, "failed", step=A_MINUTE)


@walks("S requires_action activation_timed_out")
async def the_link_is_never_completed(world: World) -> None:
    life = await world.begin(**LINK)
    state = await is_(life, "failed", step=DAY, steps=10)
    assert state.stopped_at is not None
    assert state.stopped_at - state.created_at < timedelta(days=7, minutes=1)


@walks("S requires_action cancel")
async def canceled_before_the_link_is_completed(world: World) -> None:
    life = await world.begin(**LINK)
    await life.until(lambda s: s.mandate_link is not None, step=A_MINUTE)
    await done(life, "cancel")
    await is_(life, "failed", step=A_MINUTE)


@walks("S activating first_payment_succeeded", "C scheduled due", "C attempting succeeded")
async def the_first_payment_is_made_at_once(world: World) -> None:
    life = await world.begin("SUCCEEDED", immediate_action="FULL_AMOUNT", due_in=-HOUR)
    await is_(life, "active", step=A_MINUTE)
    assert len(await life.charges()) == 1


@walks("S activating first_payment_failed", "C attempting given_up")
async def the_first_payment_is_declined(world: World) -> None:
    life = await world.begin(SOFT, immediate_action="FULL_AMOUNT", due_in=-HOUR)
    await is_(life, "failed", step=A_MINUTE)
    assert len(await life.charges()) == 1


@walks("S activating cancel", "C attempting outage", "C attempting canceled")
async def canceled_while_the_first_payment_waits_for_an_outage(world: World) -> None:
    life = await world.begin("OUTAGE/36h", immediate_action="FULL_AMOUNT", due_in=-HOUR)
    await life.until(lambda s: s.has("1") and s.obligation("1").next is not None, step=A_MINUTE)
    await life.pass_time(timedelta(minutes=3))
    await done(life, "cancel")
    await is_(life, "failed", step=A_MINUTE)


async def past_due(world: World, *more: str, **changes: Any) -> Life:
    life = await world.begin(SOFT, *more, **changes)
    await is_(life, "past_due", step=HOUR)
    return life


async def on_hold(world: World, *more: str, **changes: Any) -> Life:
    life = await world.begin(SOFT, *more, **{**HOLD, **changes})
    await is_(life, "on_hold", step=HOUR)
    return life


@walks("S active cycle_past_due", "S past_due no_cycle_owed", "C attempting declined_retryable", "C retrying rung_due")
async def recovered_at_the_first_rung(world: World) -> None:
    life = await past_due(world)
    await is_(life, "active")
    assert len(await life.charges()) == 2


@walks("S past_due given_up_stop", "C retrying given_up")
async def the_ladder_is_exhausted_and_it_stops(world: World) -> None:
    life = await world.begin(*[SOFT] * 4)
    await is_(life, "inactive", step=DAY)


@walks("S past_due given_up_resume", "C failed tried_by_person")
async def the_ladder_is_exhausted_and_it_goes_on(world: World) -> None:
    life = await world.begin(*[SOFT] * 5, failed_cycle_action="RESUME")
    await life.until(lambda s: s.has("1") and s.obligation("1").status.value == "failed", step=DAY)
    assert (await life.state()).status is S.ACTIVE
    await done(life, "retry_now")
    state = await life.until(lambda s: len(s.obligation("1").attempts) == 5, step=A_MINUTE)
    state = await cycle_is(life, "failed", step=A_MINUTE)
    assert state.status is S.ACTIVE


@walks("S past_due grace_ended", "S on_hold no_cycle_owed")
async def recovered_while_on_hold(world: World) -> None:
    life = await on_hold(world)
    await is_(life, "active")


@walks("S on_hold given_up_stop")
async def given_up_at_the_end_of_the_hold(world: World) -> None:
    life = await on_hold(world, *[SOFT] * 3)
    await is_(life, "inactive")


@walks("S on_hold given_up_resume")
async def goes_on_after_the_hold(world: World) -> None:
    life = await on_hold(world, *[SOFT] * 3, failed_cycle_action="RESUME")
    await is_(life, "active")


@walks("S past_due cancel", "C retrying canceled")
async def canceled_while_past_due(world: World) -> None:
    life = await past_due(world)
    await done(life, "cancel")
    await is_(life, "inactive", step=A_MINUTE)


@walks("S on_hold cancel")
async def canceled_while_on_hold(world: World) -> None:
    life = await on_hold(world)
    await done(life, "cancel")
    await is_(life, "inactive", step=A_MINUTE)


@walks("S past_due provider_ended")
async def the_mandate_ends_while_past_due(world: World) -> None:
    life = await past_due(world)
    await telling.mandate(life, MandateStatus.ENDED)
    await is_(life, "inactive", step=A_MINUTE)


@walks("S on_hold provider_ended")
async def the_mandate_ends_while_on_hold(world: World) -> None:
    life = await on_hold(world)
    await telling.mandate(life, MandateStatus.ENDED)
    await is_(life, "inactive", step=A_MINUTE)


@walks("S past_due pause", "S paused cancel")
async def paused_while_past_due_then_canceled(world: World) -> None:
    life = await past_due(world)
    await done(life, "pause")
    await is_(life, "paused", step=A_MINUTE)
    await done(life, "cancel")
    await is_(life, "inactive", step=A_MINUTE)


async def paid(world: World, **changes: Any) -> Life:
    life = await world.begin(**changes)
    await cycle_is(life, "succeeded")
    return life


@walks("S active cancel", "S canceled restore", "S canceled period_ended")
async def canceled_restored_and_canceled_again(world: World) -> None:
    life = await paid(world)
    asked = {"type": "USER_REQUESTED_STOP_RENEWALS"}
    await done(life, "cancel", **asked)
    await done(life, "restore")
    await done(life, "cancel", **asked)
    await is_(life, "inactive", step=DAY)
    assert len(await life.charges()) == 1


@walks("S active calendar_ended")
async def the_calendar_ends(world: World) -> None:
    life = await paid(world, schedule={"total_cycles": 1})
    await is_(life, "canceled", step=A_MINUTE)


@walks("S active provider_ended")
async def the_mandate_ends_while_active(world: World) -> None:
    life = await paid(world)
    await telling.mandate(life, MandateStatus.ENDED)
    await is_(life, "canceled", step=A_MINUTE)


@walks("S active pause", "S paused resume", "S paused pause_ended", "C scheduled skipped")
async def paused_twice(world: World) -> None:
    life = await paid(world)
    await done(life, "pause")
    await life.until(lambda s: s.next_number == 3, step=DAY)
    await done(life, "resume")
    until = await world.now() + timedelta(days=2)
    await done(life, "pause", until=until.isoformat())
    await is_(life, "active", step=HOUR)
    assert len(await life.charges()) == 1


@walks("S paused calendar_ended")
async def the_calendar_ends_in_a_pause(world: World) -> None:
    life = await paid(world, schedule={"total_cycles": 2})
    await done(life, "pause")
    await is_(life, "inactive", step=DAY)


@walks("S paused provider_ended")
async def the_mandate_ends_in_a_pause(world: World) -> None:
    life = await paid(world)
    await done(life, "pause")
    await telling.mandate(life, MandateStatus.ENDED)
    await is_(life, "inactive", step=A_MINUTE)


async def committed(world: World, *outcomes: str) -> Life:
    life = await world.begin("SUCCEEDED", *outcomes, schedule={"commitment_cycles": 2})
    await cycle_is(life, "succeeded")
    await done(life, "cancel", type="USER_REQUESTED_STOP_RENEWALS")
    return life


@walks("S canceled cycle_past_due", "S canceled no_cycle_owed")
async def a_committed_cycle_is_collected_after_the_cancel(world: World) -> None:
    life = await committed(world, SOFT, "SUCCEEDED")
    await cycle_is(life, "succeeded", cycle="2", step=DAY)
    assert (await life.state()).status is S.CANCELED


@walks("S canceled cycle_closed_unpaid")
async def a_committed_cycle_is_never_paid(world: World) -> None:
    life = await committed(world, *[SOFT] * 4)
    await is_(life, "inactive", step=DAY)


@walks("C failed paid", "S inactive reinstate")
async def paid_late_and_reinstated(world: World) -> None:
    life = await world.begin(*[SOFT] * 4)
    await is_(life, "inactive", step=DAY)
    await life.closed()
    dunning = DunningClient(world.client, world.ledger, task_queue=world.task_queue)
    await dunning.signal_fact(ACCOUNT, life.name, await telling.payment_of(life))
    await life.closed()
    assert (await dunning.command(ACCOUNT, life.name, Reinstate(command_id="late"))).status == "done"
    await is_(life, "canceled", step=A_MINUTE)
    assert (await life.state()).obligation("1").status == "succeeded"
