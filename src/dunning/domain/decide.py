"""What to do next, and when: `decide(state, now)`. SPEC 3, 8.

A decision is a value with its reason. Interpreters (the workflow, `preview`) wait until `at`, do it, and
give the result back through `apply`. They have no rule of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from dunning.domain import expecting, first_price, planning
from dunning.domain.access import ends_at
from dunning.domain.command_table import waits
from dunning.domain.messages import NoticeStatus
from dunning.domain.refunds import RefundStatus
from dunning.domain.state import Obligation, State
from dunning.domain.tables import ENDED, OPEN_CYCLE, UNSETTLED_CYCLE, CycleStatus, SubscriptionStatus


class Do(StrEnum):
    """Everything that an interpreter can be asked to do. The order is the order at one instant. SPEC 8."""

    RUN_COMMAND = "run_command"
    CREATE_MANDATE = "create_mandate"
    CREATE_PLAN = "create_plan"
    END_PLAN = "end_plan"
    CHANGE_PLAN = "change_plan"
    CHARGE = "charge"
    LOOK_UP = "look_up"
    REFUND = "refund"
    LOOK_UP_REFUND = "look_up_refund"
    READ_MANDATE = "read_mandate"
    READ_PLAN = "read_plan"
    RAISE_ATTENTION = "raise_attention"
    ACTIVATE = "activate"
    TIME_OUT_ACTIVATION = "time_out_activation"
    END_PAUSE = "end_pause"
    END_GRACE = "end_grace"
    GIVE_UP = "give_up"
    SKIP_CYCLE = "skip_cycle"
    OPEN_CYCLE = "open_cycle"
    END_CALENDAR = "end_calendar"
    END_PERIOD = "end_period"
    SEND_NOTICE = "send_notice"
    END_MANDATE = "end_mandate"
    CLOSE_PAGE = "close_page"
    FINISH = "finish"


_ORDER = {do: rank for rank, do in enumerate(Do)}

TIME_FACTS = frozenset(
    {
        Do.RAISE_ATTENTION,
        Do.ACTIVATE,
        Do.TIME_OUT_ACTIVATION,
        Do.END_PAUSE,
        Do.END_GRACE,
        Do.GIVE_UP,
        Do.SKIP_CYCLE,
        Do.OPEN_CYCLE,
        Do.END_CALENDAR,
        Do.END_PERIOD,
    }
)
"""Decisions that need nothing from the world: the interpreter just applies `TimeCame`."""

_BEGINNING = frozenset({SubscriptionStatus.REQUIRES_ACTION, SubscriptionStatus.ACTIVATING})
"""Not active yet: the calendar does not run."""

_SKIPPING = frozenset({SubscriptionStatus.PAUSED, SubscriptionStatus.ON_HOLD})
"""No new cycle opens: those that fall due are skipped."""


class Decision(NamedTuple):
    """The next thing to do. `because` is for operators; `summary` is short enough for a timer in the UI."""

    do: Do
    at: datetime
    because: str
    obligation: str | None = None
    notice: str | None = None
    refund: str | None = None


def decide(state: State, now: datetime) -> Decision | None:
    """The earliest thing to do; None when only a message from outside can change anything.

    Args:
        state: the subscription.
        now: business time; decisions whose instant has passed are to be carried out at once.
    """
    first: Decision | None = None
    for one in _candidates(state):
        # Of two at one instant the first one in the order of `Do`.
        if first is None or one.at < first.at or (one.at == first.at and _ORDER[one.do] < _ORDER[first.do]):
            first = one
    return first


def _candidates(state: State) -> list[Decision]:
    found: list[Decision] = []
    if state.queue:
        found += _commands(state)
    if state.status in _BEGINNING:
        found += _activation(state)
    for obligation in state.obligations:
        if obligation.status in OPEN_CYCLE:
            found += _collection(state, obligation)
    if state.plan is not None:
        found += _plan(state)
    if (state.plan is None or state.plan.is_released) and state.is_settled:
        found += _cycles(state)
    if state.notices:
        found += _notices(state)
    if state.refunds:
        found += _refunds(state)
    if state.is_ended:
        found += _ending(state)
    return found


def _commands(state: State) -> Iterator[Decision]:
    command = state.queue[0]
    if expecting.is_put_off(state, command):
        return
    if state.is_settled or not waits(state, command):
        yield Decision(do=Do.RUN_COMMAND, at=state.latest, because=f"command {command.name} was received")


def _activation(state: State) -> Iterator[Decision]:
    if state.status is SubscriptionStatus.REQUIRES_ACTION:
        if expecting.begins_with_plan(state):
            pass  # the plan is the authorisation
        elif state.mandate_link is None and state.reference is None:
            at = state.mandate_wait_until or state.created_at
            yield Decision(do=Do.CREATE_MANDATE, at=at, because="the customer has to authorise charging")
        else:
            age = planning.age_of_look(planning.MANDATE_LOOKS, planning.MANDATE_CAP, state.mandate_looks)
            because = "the customer may have authorised charging without a message reaching us"
            paid_look = first_price.mandate_look_at(state.page) if state.page is not None else None
            yield Decision(do=Do.READ_MANDATE, at=paid_look or state.created_at + age, because=because)
        limit = state.created_at + timedelta(days=state.terms.activation_timeout_days)
        if state.mandate_expires_at is not None:
            limit = min(limit, state.mandate_expires_at)
        yield Decision(do=Do.TIME_OUT_ACTIVATION, at=limit, because="the mandate link was not completed in time")
    is_ready = state.open_cycle is None and state.is_settled and not expecting.is_plan_starting(state)
    if state.status is SubscriptionStatus.ACTIVATING and is_ready:
        yield Decision(do=Do.ACTIVATE, at=state.latest, because="the mandate is authorised")


def _collection(state: State, obligation: Obligation) -> Iterator[Decision]:
    if obligation.in_flight is not None:
        return
    if obligation.status in UNSETTLED_CYCLE:
        yield from _clearing(obligation)
        return
    may_charge = state.plan is None or expecting.may_charge(state, obligation)
    planned = obligation.next if may_charge else None
    if planned is not None and (at := planning.charge_at(state, obligation, planned)) is not None:
        because = planned.because
        if at > planned.at:
            because = f"{because}; {state.terms.notice_before_charge_hours} hours after its notice"
        yield Decision(do=Do.CHARGE, at=at, because=because, obligation=obligation.id)
    if obligation.status is CycleStatus.ATTEMPTING:
        return
    is_in_grace = obligation.is_cycle and state.status is SubscriptionStatus.PAST_DUE
    if is_in_grace and obligation.grace_ends_at is not None:
        yield Decision(
            do=Do.END_GRACE,
            at=obligation.grace_ends_at,
            because=f"the grace of {state.terms.grace_days or 0} days is over",
            obligation=obligation.id,
        )
    # A rung that waits for the end of the provider's plan is made before anything is given up.
    is_held = obligation.is_followed or (not may_charge and obligation.next is not None)
    if obligation.window_end is not None and not is_held:
        because = "the recovery window is over"
        yield Decision(do=Do.GIVE_UP, at=obligation.window_end, because=because, obligation=obligation.id)


def _clearing(obligation: Obligation) -> Iterator[Decision]:
    attempt = obligation.last
    if attempt is None or attempt.unclear_since is None:
        return
    if obligation.status is CycleStatus.UNKNOWN:
        age = planning.age_of_look(planning.LOOK_UPS, planning.LOOK_UP_CAP, attempt.looks)
        because = "the outcome is unclear: asking the provider, never charging again blindly"
        attention_at = attempt.unclear_since + planning.ATTENTION_AFTER
        if UNCLEAR_FLAG not in obligation.flagged:
            yield Decision(do=Do.RAISE_ATTENTION, at=attention_at, because=UNCLEAR_FLAG, obligation=obligation.id)
    else:
        age = planning.age_of_look(planning.PENDING_LOOKS, planning.PENDING_CAP, attempt.looks)
        because = "the provider has not settled the payment yet: asking it"
    if obligation.window_end is not None and WINDOW_FLAG not in obligation.flagged:
        yield Decision(do=Do.RAISE_ATTENTION, at=obligation.window_end, because=WINDOW_FLAG, obligation=obligation.id)
    yield Decision(do=Do.LOOK_UP, at=attempt.unclear_since + age, because=because, obligation=obligation.id)


UNCLEAR_FLAG = "the outcome of an attempt has been unclear for an hour"
WINDOW_FLAG = "the recovery window is over while a charge is on its way"


def _plan(state: State) -> Iterator[Decision]:
    """What the provider's own calendar asks of us, and what it leaves of ours."""
    for one in expecting.plan_expectations(state):
        yield Decision(do=Do(one.what), at=one.at, because=one.because)
    if state.plan is not None and not state.plan.is_released and state.is_settled:
        for one in expecting.cycle_expectations(state):
            yield Decision(do=Do(one.what), at=one.at, because=one.because)


def _cycles(state: State) -> Iterator[Decision]:
    calendar, status, number = state.calendar, state.status, state.next_number
    if calendar is None or status in _BEGINNING or status in ENDED:
        return
    if status is SubscriptionStatus.PAUSED and state.pause_until is not None:
        yield Decision(do=Do.END_PAUSE, at=state.pause_until, because="the pause is over")
    has_open_cycle, skips = state.open_cycle is not None, status in _SKIPPING
    if has_open_cycle and not skips:
        return
    due = calendar.due_if_any(number)
    if due is not None:
        due += planning.spread(state)
    if due is not None and skips:
        because = "the subscription is paused" if status is SubscriptionStatus.PAUSED else "it is on hold"
        yield Decision(do=Do.SKIP_CYCLE, at=due, because=because)
    if has_open_cycle:
        return
    opens = status is SubscriptionStatus.ACTIVE or (
        status is SubscriptionStatus.CANCELED and number <= (state.terms.schedule.commitment_cycles or 0)
    )
    if due is not None and opens:
        after = state.last_first_at + timedelta(hours=24) if state.last_first_at is not None else due
        yield Decision(do=Do.OPEN_CYCLE, at=max(due, after), because=f"cycle {number} is due")
    if due is None and status in (SubscriptionStatus.ACTIVE, SubscriptionStatus.PAUSED):
        yield Decision(do=Do.END_CALENDAR, at=state.latest, because="no further cycle is to open")
    if status is SubscriptionStatus.CANCELED and not (due is not None and opens):
        yield Decision(do=Do.END_PERIOD, at=ends_at(state) or state.latest, because="the paid period is over")


def _notices(state: State) -> Iterator[Decision]:
    for notice in state.notices:
        if notice.status is NoticeStatus.PLANNED:
            yield Decision(do=Do.SEND_NOTICE, at=notice.at, because=notice.because, notice=notice.key)


def _refunds(state: State) -> Iterator[Decision]:
    """A refund is made at once; one that is not clear is asked for, never made again blindly. SPEC 13."""
    for refund in state.open_refunds:
        if refund.status is RefundStatus.PLANNED or refund.since is None:
            because = f"order {refund.order} is to be given back"
            yield Decision(do=Do.REFUND, at=refund.wait_until or refund.at, because=because, refund=refund.key)
        elif refund.status is RefundStatus.UNKNOWN:
            age = planning.age_of_look(planning.LOOK_UPS, planning.LOOK_UP_CAP, refund.looks)
            because = "what became of a refund is unclear: asking the provider, never refunding again blindly"
            yield Decision(do=Do.LOOK_UP_REFUND, at=refund.since + age, because=because, refund=refund.key)
        else:
            age = planning.age_of_look(planning.PENDING_LOOKS, planning.PENDING_CAP, refund.looks)
            because = "the provider has not settled a refund yet: asking it"
            yield Decision(do=Do.LOOK_UP_REFUND, at=refund.since + age, because=because, refund=refund.key)


def _ending(state: State) -> Iterator[Decision]:
    if not state.is_settled or any(True for _ in expecting.plan_expectations(state)):
        return
    if state.reference is not None and not state.is_mandate_ended:
        yield Decision(do=Do.END_MANDATE, at=state.latest, because="nothing is collected any more")
    elif state.page is not None:
        because = "what became of the first price on the mandate's page"
        yield Decision(do=Do.CLOSE_PAGE, at=first_price.close_at(state, state.page), because=because)
    elif not state.live_notices and not state.queue and not state.open_refunds:
        yield Decision(do=Do.FINISH, at=state.latest, because=f"the subscription is {state.status.value}")
