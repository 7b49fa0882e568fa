"""Stories about one cycle."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from dunning.domain.attempts import OutcomeKind as K
from dunning.domain.declines import DeclineClass as D
from tests.workflows import telling
from tests.workflows.stories import walks
from tests.workflows.telling import A_MINUTE, cycle_is, done, is_, unclear
from tests.workflows.world import Life, World

SOFT, HARD, ACTION = "INSUFFICIENT_FUNDS", "DO_NOT_HONOR", "INCORRECT_CVC"
TECHNICAL, MERCHANT = "NETWORK_ERROR", "INVALID_REQUEST"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATER = "PENDING/90d/SUCCEEDED"
EXPIRED = {"token": "pm_1", "expires": "2020-01"}
TWO = ("pm_1", "pm_2")


async def stands(world: World, status: str, *outcomes: str, **changes: Any) -> Life:
    """A life whose first cycle stands there."""
    life = await world.begin(*outcomes, **changes)
    await cycle_is(life, status)
    return life


async def end_of_month(world: World) -> tuple[str, datetime]:
    """The month of the server's clock, and its last instant."""
    now = await world.now()
    first = (now.replace(day=1, hour=0, minute=0, second=0, microsecond=0) + timedelta(days=32)).replace(day=1)
    return f"{now:%Y-%m}", first


async def expiring(world: World, *outcomes: str) -> Life:
    """The only card expires two hours after the due instant."""
    month, end = await end_of_month(world)
    methods = [{"token": "pm_1", "expires": month}]
    return await world.begin(*outcomes, payment_methods=methods, due_in=end - HOUR * 2 - await world.now())


@walks("C attempting no_usable_method")
async def the_card_expires_during_an_outage(world: World) -> None:
    life = await expiring(world, "OUTAGE/36h")
    await cycle_is(life, "awaiting_method", step=HOUR * 2)


@walks("C pending declined_needs_customer")
async def the_card_expires_while_the_payment_is_pending_and_then_declined(world: World) -> None:
    life = await expiring(world, f"PENDING/36h/{SOFT}")
    await cycle_is(life, "awaiting_method", step=HOUR * 2)


@walks("C retrying no_usable_method")
async def the_card_expires_between_two_technical_tries(world: World) -> None:
    life = await expiring(world, SOFT)
    await cycle_is(life, "awaiting_method", step=HOUR * 6)


@walks("C scheduled no_usable_method", "C awaiting_method method_updated")
async def the_only_card_expired_long_ago(world: World) -> None:
    life = await stands(world, "awaiting_method", payment_methods=[EXPIRED], methods=TWO)
    await done(life, "update_payment_method", token="pm_2")
    await cycle_is(life, "succeeded", step=A_MINUTE)


@walks("C attempting declined_needs_customer", "C awaiting_method tried_by_person")
async def a_person_tries_after_an_action_decline(world: World) -> None:
    life = await stands(world, "awaiting_method", ACTION)
    await done(life, "retry_now")
    await cycle_is(life, "succeeded", step=A_MINUTE)


@walks("C awaiting_method paid")
async def paid_by_link_while_a_method_is_awaited(world: World) -> None:
    life = await stands(world, "awaiting_method", HARD)
    await telling.payment(life)
    await cycle_is(life, "succeeded", step=A_MINUTE)


@walks("C awaiting_method given_up")
async def no_method_is_ever_given(world: World) -> None:
    life = await stands(world, "awaiting_method", HARD)
    await is_(life, "inactive", step=DAY)
    assert len(await life.charges()) == 1


@walks("C awaiting_method canceled")
async def canceled_while_a_method_is_awaited(world: World) -> None:
    life = await stands(world, "awaiting_method", HARD)
    await done(life, "cancel")


@walks("C attempting declined_technical")
async def a_technical_decline_is_tried_again(world: World) -> None:
    life = await stands(world, "succeeded", TECHNICAL)
    assert len(await life.charges()) == 2


@walks("C attempting declined_merchant", "C awaiting_operator fixed")
async def our_configuration_is_fixed(world: World) -> None:
    life = await stands(world, "awaiting_operator", MERCHANT)
    await done(life, "mark_fixed")
    await cycle_is(life, "succeeded", step=A_MINUTE)


@walks("C awaiting_operator tried_by_person")
async def a_person_tries_our_configuration(world: World) -> None:
    life = await stands(world, "awaiting_operator", MERCHANT)
    await done(life, "retry_now")
    await cycle_is(life, "succeeded", step=A_MINUTE)


@walks("C awaiting_operator paid")
async def paid_while_an_operator_is_awaited(world: World) -> None:
    life = await stands(world, "awaiting_operator", MERCHANT)
    await telling.payment(life)
    await cycle_is(life, "succeeded", step=A_MINUTE)


@walks("C awaiting_operator given_up")
async def our_configuration_is_never_fixed(world: World) -> None:
    life = await stands(world, "awaiting_operator", MERCHANT)
    await is_(life, "inactive", step=DAY)


@walks("C awaiting_operator canceled")
async def canceled_while_an_operator_is_awaited(world: World) -> None:
    life = await stands(world, "awaiting_operator", MERCHANT)
    await done(life, "cancel")


@walks("C attempting paid")
async def paid_by_link_during_an_outage(world: World) -> None:
    life = await stands(world, "attempting", "OUTAGE/36h")
    await telling.payment(life)
    await cycle_is(life, "succeeded", step=A_MINUTE)
    await life.pass_time(timedelta(days=3))
    assert [c for c in await life.charges() if c["status"] == "succeeded"] == []


@walks("C retrying tried_by_person")
async def a_person_tries_between_two_rungs(world: World) -> None:
    life = await stands(world, "retrying", SOFT)
    await done(life, "retry_now")
    await cycle_is(life, "succeeded", step=A_MINUTE)


@walks("C retrying method_updated")
async def a_new_method_between_two_rungs(world: World) -> None:
    life = await stands(world, "retrying", SOFT, methods=TWO)
    await done(life, "update_payment_method", token="pm_2")
    await cycle_is(life, "succeeded", step=A_MINUTE)


@walks("C retrying paid")
async def paid_by_link_between_two_rungs(world: World) -> None:
    life = await stands(world, "retrying", SOFT)
    await telling.payment(life)
    await cycle_is(life, "succeeded", step=A_MINUTE)
    await life.pass_time(timedelta(days=4))
    assert len(await life.charges()) == 1


@walks("C canceled paid")
async def a_success_is_found_after_the_pause(world: World) -> None:
    life = await stands(world, "retrying", SOFT)
    await done(life, "pause")
    await telling.outcome(life, K.SUCCEEDED)
    state = await cycle_is(life, "succeeded", step=A_MINUTE)
    assert state.attention


@walks("C attempting pending", "C pending succeeded")
async def pending_then_paid(world: World) -> None:
    life = await stands(world, "pending", LATER)
    await telling.outcome(life, K.SUCCEEDED)
    await cycle_is(life, "succeeded", step=A_MINUTE)


@walks("C pending paid")
async def paid_by_link_while_pending(world: World) -> None:
    life = await stands(world, "pending", LATER)
    await telling.payment(life)
    await cycle_is(life, "succeeded", step=A_MINUTE)


@walks("C pending declined_after_stop")
async def canceled_while_pending_then_declined(world: World) -> None:
    life = await stands(world, "pending", LATER)
    assert (await life.command("cancel")).status == "accepted"
    await telling.outcome(life, klass=D.SOFT)
    state = await is_(life, "inactive", step=A_MINUTE)
    assert state.obligation("1").status == "canceled"


@walks("C pending given_up")
async def the_first_payment_is_pending_then_declined(world: World) -> None:
    life = await stands(world, "pending", LATER, immediate_action="FULL_AMOUNT", due_in=-HOUR)
    await telling.outcome(life, klass=D.SOFT)
    await is_(life, "failed", step=A_MINUTE)


@walks("C unknown given_up")
async def the_first_payment_is_unclear_then_proved_declined(world: World) -> None:
    life = await unclear(world, immediate_action="FULL_AMOUNT", due_in=HOUR)
    await telling.outcome(life, klass=D.SOFT)
    await is_(life, "failed", step=A_MINUTE)


@walks("C unknown declined_after_stop")
async def canceled_while_unclear_then_proved_declined(world: World) -> None:
    life = await unclear(world)
    assert (await life.command("cancel")).status == "accepted"
    await telling.outcome(life, klass=D.SOFT)
    await is_(life, "inactive", step=A_MINUTE)


@walks("C unknown paid")
async def paid_by_link_while_unclear(world: World) -> None:
    life = await unclear(world)
    await telling.payment(life)
    await cycle_is(life, "succeeded", step=A_MINUTE)


@walks("C attempting outcome_unknown", "C unknown proved_absent")
async def the_lost_charge_is_proved_absent_after_a_day(world: World) -> None:
    life = await unclear(world)
    state = await cycle_is(life, "succeeded", step=HOUR * 2)
    assert len(state.obligation("1").attempts) == 2
    assert len(await life.charges()) == 1


@walks("C unknown proved_paid")
async def the_answer_is_lost_and_the_look_up_finds_the_payment(world: World) -> None:
    life = await stands(world, "succeeded", "TIMEOUT_COMMITTED")
    assert len(await life.charges()) == 1


def told(start: str, kind: K, klass: D | None, row: str, target: str) -> None:
    """A story in which a message tells what an undecided attempt came to."""

    async def tell(world: World) -> None:
        life = await unclear(world) if start == "unknown" else await stands(world, "pending", LATER)
        await telling.outcome(life, kind, klass)
        await cycle_is(life, target, step=A_MINUTE)

    tell.__name__ = f"{start}_then_{row}"
    walks(f"C {start} {row}")(tell)


told("pending", K.DECLINED, D.SOFT, "declined_retryable", "retrying")
told("pending", K.DECLINED, D.HARD, "declined_needs_customer", "awaiting_method")
told("pending", K.DECLINED, D.MERCHANT, "declined_merchant", "awaiting_operator")
told("pending", K.DECLINED, D.TECHNICAL, "declined_technical", "attempting")
told("pending", K.UNKNOWN, None, "outcome_unknown", "pending")  # a look-up finds it pending again
told("unknown", K.PENDING, None, "proved_pending", "pending")
told("unknown", K.DECLINED, D.SOFT, "proved_declined_retryable", "retrying")
told("unknown", K.DECLINED, D.HARD, "proved_declined_needs_customer", "awaiting_method")
told("unknown", K.DECLINED, D.MERCHANT, "proved_declined_merchant", "awaiting_operator")
told("unknown", K.DECLINED, D.TECHNICAL, "proved_declined_technical", "attempting")


async def in_flight(world: World, life: Life) -> asyncio.Task[None]:
    """The first charge is at the provider; the server's clock goes on in the task that is returned."""
    moving = asyncio.create_task(world.sleep(HOUR + A_MINUTE))
    async with asyncio.timeout(20):
        while not ((state := await life.state()).has("1") and state.obligation("1").in_flight is not None):
            continue
    return moving


async def slow_charge(life: Life, seconds: float) -> None:
    fault = {"on": "charge", "kind": "slow", "seconds": seconds, "subscription": life.reference}
    (await life.world.http.post("/_sandbox/faults", json=fault)).raise_for_status()


@walks("C attempting declined_after_stop", is_apart=True)
async def canceled_while_the_charge_is_at_the_provider_then_declined(world: World) -> None:
    life = await world.begin(SOFT)
    await slow_charge(life, 2)
    moving = await in_flight(world, life)
    canceling = asyncio.create_task(life.command("cancel"))
    await moving
    assert (await canceling).status == "done"
    state = await is_(life, "inactive", step=A_MINUTE)
    assert state.obligation("1").status == "canceled"


@walks("C attempting deferred", is_apart=True)
async def a_second_charge_of_the_customer_waits_for_the_first(world: World) -> None:
    customer = {"id": "cust-two", "email": "two@example.com"}
    first = await world.begin(customer=customer)
    await slow_charge(first, 2)
    soon_after = first.anchor + timedelta(seconds=1) - await world.now()
    second = await world.begin(customer=customer, due_in=soon_after)
    await cycle_is(first, "succeeded")
    await cycle_is(second, "succeeded")
    assert (len(await first.charges()), len(await second.charges())) == (1, 1)
