"""What is to be done about a calendar that the provider runs, and when: `decide`'s side of following. SPEC 9, 12."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

from dunning.domain import planning
from dunning.domain.commands import Command
from dunning.domain.plan_rules import PLAN_RULES, Means, PlanRules, Way
from dunning.domain.plans import CancelCycle, PlanChange, PlanState, PlanStatus
from dunning.domain.state import Obligation, State
from dunning.domain.tables import CycleStatus, SubscriptionStatus

_S = SubscriptionStatus

PLAN_LOOKS = tuple(timedelta(hours=h) for h in (0, 1, 6, 24))
PLAN_LOOK_CAP = timedelta(hours=24)
"""How long after a fact is late the provider is asked: at once, then at these ages, then daily. SPEC 12."""

START_LOOKS = tuple(timedelta(minutes=m) for m in (1, 5, 15, 60))
START_LOOK_CAP = timedelta(hours=1)
"""A plan that was asked for and does not run yet is asked about at these ages."""

VERIFY_AFTER = timedelta(hours=1)
"""After an unclear creation: when to see whether a second plan appeared."""

REPLACE_AHEAD = timedelta(days=2)
"""A plan is replaced only when the next due instant is farther away: time enough to end the old one."""


class Expectation(NamedTuple):
    """Something to do about the plan; `what` is the name of a `Do`."""

    what: str
    at: datetime
    because: str
    obligation: str | None = None


def rules_of(state: State) -> PlanRules:
    """What the plans of this subscription's provider can do."""
    return PLAN_RULES[state.terms.provider.value]


def is_following(state: State) -> bool:
    """Whether the provider runs calendar and retries now."""
    return state.plan is not None and not state.plan.is_taken_over


def may_charge(state: State, obligation: Obligation) -> bool:
    """Whether the engine may charge it: never what the provider collects, nor while its plan could. SPEC 12."""
    if state.plan is None or not obligation.is_cycle:
        return True
    return state.plan.is_released and not obligation.is_followed


def native_days(state: State) -> tuple[int, ...]:
    """Days after the due day on which the provider tries again."""
    days = rules_of(state).native_days
    return state.terms.retry.days if days is None else days


def way_of(state: State, command: Command) -> Way | None:
    """How a command is carried out where the provider runs the calendar; None where the engine does."""
    return rules_of(state).way(command.name) if is_following(state) else None


def begins_with_plan(state: State) -> bool:
    """Whether the plan itself is the authorisation that is to be completed, or an adopted one is looked at first."""
    plan = state.plan
    return plan is not None and (rules_of(state).is_mandate or plan.plan_id is not None)


def is_plan_starting(state: State) -> bool:
    """Whether activation waits for the provider: until the plan runs, and (immediate) its first payment is in."""
    plan = state.plan
    if plan is None or plan.is_released:
        return False
    is_immediate = state.calendar is not None and state.calendar.immediate_at is not None and state.next_number == 1
    return plan.status is not PlanStatus.ACTIVE or is_immediate


def has_open_window(state: State) -> bool:
    """Whether the provider is collecting a cycle just now."""
    return any(o.is_followed and o.is_open for o in state.obligations)


def is_put_off(state: State, command: Command) -> bool:
    """Whether a command waits until the plan is read back as ended. SPEC 9, "taken over by the engine"."""
    way = way_of(state, command)
    plan = state.plan
    if way is None or plan is None:
        return False
    if plan.change is not None:
        return True
    return way.means is Means.TAKE_OVER and not plan.is_released


def waits_for_plan(state: State, command: Command) -> str | None:
    """Why a command that was taken is answered later; None when its answer comes at once."""
    plan = state.plan
    if plan is None:
        return None
    pending = plan.change
    if pending is not None and pending.command.command_id == command.command_id and pending.tries:
        return "the provider cannot be reached; the command is carried out when it can"
    if not any(c.command_id == command.command_id for c in state.queue) or not is_put_off(state, command):
        return None
    if has_open_window(state):
        return "the provider is collecting a cycle; the command is carried out when that is over"
    return "the provider's own calendar has to be ended first" if plan.tries else None


def expected_at(state: State) -> datetime | None:
    """The next instant at which the provider has something to tell; None when nothing is to come."""
    plan = state.plan
    if plan is None or plan.is_released or plan.plan_id is None:
        return None
    if rules_of(state).owns_access:
        return min(plan.next_due, default=None)
    awaited = [_awaited(o) for o in state.obligations if o.is_followed and o.is_open]
    if awaited:
        return min(awaited)
    if state.calendar is None or plan.is_taken_over or state.is_ended:
        return None
    return state.calendar.due_if_any(state.next_number)


def _awaited(obligation: Obligation) -> datetime:
    if obligation.next is not None:
        return obligation.next.planned_at
    last = obligation.last
    return last.started_at or last.planned_at if last is not None else obligation.due_at


# --- decisions -------------------------------------------------------------------------------------


def plan_expectations(state: State) -> Iterator[Expectation]:
    """Everything that is to be done about the plan."""
    plan = state.plan
    if plan is None:
        return
    ending = end_because(state, plan)
    if ending is not None:
        yield from _ending(state, plan, ending)
        return
    if plan.plan_id is None:
        yield from _making(state, plan)
        return
    if plan.old_plan_id is not None:
        at = plan.wait_until or state.latest
        yield Expectation("end_plan", at, "a new plan has taken its place")
    elif plan.replaces is not None and _may_replace(state):
        yield Expectation("create_plan", plan.wait_until or state.latest, plan.replaces)
    if plan.change is not None:
        at = plan.change.wait_until or state.latest
        yield Expectation("change_plan", at, f"command {plan.change.command.name} is carried out at the provider")
    elif (at_pause := _pausing_at(state)) is not None:
        yield Expectation("change_plan", max(at_pause, plan.wait_until or at_pause), "the subscription is paused")
    if not plan.is_released or plan.is_hinted:
        yield from _reading(state, plan)


def end_because(state: State, plan: PlanState) -> str | None:
    """Why the plan has to be ended at the provider now; None while it is to go on, or when it is over."""
    if plan.is_released:
        return None
    if plan.ends_because is not None or rules_of(state).owns_access:
        return plan.ends_because  # where the provider states access, ending it is a command of its own
    if state.is_ended:
        return f"the subscription is {state.status.value}"
    if state.status is _S.CANCELED and not _is_committed(state):
        return "the subscription is canceled"
    command = state.queue[0] if state.queue else None
    way = way_of(state, command) if command is not None else None
    if way is not None and way.means is Means.TAKE_OVER and not has_open_window(state):
        return "the engine takes the calendar over"
    return None


def _is_committed(state: State) -> bool:
    committed = state.terms.schedule.commitment_cycles or 0
    return state.next_number <= committed or has_open_window(state)


def _ending(state: State, plan: PlanState, because: str) -> Iterator[Expectation]:
    at = plan.wait_until or state.latest
    if plan.is_unclear:
        yield Expectation("create_plan", at, "a plan that was asked for may exist: it is looked for, to be ended")
    elif plan.plan_id is not None:
        yield Expectation("end_plan", at, because)


def _making(state: State, plan: PlanState) -> Iterator[Expectation]:
    is_mandate = rules_of(state).is_mandate and state.status is _S.REQUIRES_ACTION
    if is_mandate or state.status is _S.ACTIVATING:
        yield Expectation("create_plan", plan.wait_until or state.latest, "the provider is to run the calendar")


def _reading(state: State, plan: PlanState) -> Iterator[Expectation]:
    if plan.is_hinted:
        yield Expectation("read_plan", state.latest, "a message says that there is something to read")
    if plan.verify_at is not None:
        yield Expectation("read_plan", plan.verify_at, "an unanswered request may have made a second plan")
    if plan.created is None:
        yield Expectation("read_plan", state.latest, "the provider runs it already: where it stands is read first")
        return
    if state.status is _S.REQUIRES_ACTION:
        age = planning.age_of_look(planning.MANDATE_LOOKS, planning.MANDATE_CAP, plan.looks)
        because = "the customer may have authorised charging without a message reaching us"
        yield Expectation("read_plan", plan.created + age, because)
        return
    if state.status is _S.ACTIVATING and is_plan_starting(state):
        age = planning.age_of_look(START_LOOKS, START_LOOK_CAP, plan.looks)
        yield Expectation("read_plan", plan.created + age, "the plan does not run yet")
        return
    expected = expected_at(state)
    if expected is None:
        return
    looks = plan.looks if plan.expected == expected else 0
    age = planning.age_of_look(PLAN_LOOKS, PLAN_LOOK_CAP, looks)
    because = "unless a message tells of it before"
    yield Expectation("read_plan", expected + rules_of(state).lateness + age, because)


def current_change(state: State) -> PlanChange | None:
    """What the provider is to change now: what a command asked for, or the next cycle that a pause leaves out."""
    plan = state.plan
    if plan is None:
        return None
    if plan.change is not None:
        return plan.change.change
    due = state.calendar.due_if_any(state.next_number) if state.calendar is not None else None
    return CancelCycle(due_at=due) if due is not None and _pausing_at(state) is not None else None


def _pausing_at(state: State) -> datetime | None:
    """When the next cycle of a paused subscription is canceled: one by one, each after the one before is over."""
    plan = state.plan
    is_theirs = plan is not None and not plan.is_released and is_following(state)
    if state.status is not _S.PAUSED or not is_theirs or rules_of(state).way("pause").means is not Means.PLAN:
        return None
    if state.calendar is None or not state.calendar.has_cycle(state.next_number):
        return None
    if is_after_pause(state, state.pause_until):
        return None
    before = state.calendar.due_if_any(state.next_number - 1)
    return max(before, state.latest) if before is not None else state.latest


def is_after_pause(state: State, until: datetime | None) -> bool:
    """Whether the next cycle is due when a pause to `until` is over: it is collected as ever."""
    due = state.calendar.due_if_any(state.next_number) if state.calendar is not None else None
    return until is not None and due is not None and due >= until


def _may_replace(state: State) -> bool:
    """No cycle is being collected, and the next one is far enough away: no day is charged twice or missed."""
    if has_open_window(state) or state.calendar is None or not state.is_settled:
        return False
    due = state.calendar.due_if_any(state.next_number)
    return due is not None and due - state.latest > REPLACE_AHEAD


def cycle_expectations(state: State) -> Iterator[Expectation]:
    """What remains of the calendar's own decisions where the provider opens the cycles."""
    calendar, status = state.calendar, state.status
    if calendar is None or status in (_S.REQUIRES_ACTION, _S.ACTIVATING) or state.is_ended:
        return
    if status is _S.PAUSED and state.pause_until is not None:
        yield Expectation("end_pause", state.pause_until, "the pause is over")
    if state.open_cycle is not None:
        return
    due = calendar.due_if_any(state.next_number)
    if due is None and status in (_S.ACTIVE, _S.PAUSED):
        yield Expectation("end_calendar", state.latest, "no further cycle is to open")


def unpaid_cycle(state: State) -> Obligation | None:
    """The cycle that the provider is collecting."""
    return next((o for o in state.obligations if o.is_followed and o.status in _UNPAID), None)


_UNPAID = (CycleStatus.ATTEMPTING, CycleStatus.PENDING, CycleStatus.RETRYING)
