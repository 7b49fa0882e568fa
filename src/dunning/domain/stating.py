"""Providers that state access themselves (Play): what was read is repeated, nothing is computed. SPEC 8, 12.

A renewal that was declined opens a cycle here and a paid one closes it, as everywhere; but grace, hold, pause and the
end come only from what the provider says, and access lasts until what it says.
"""

from __future__ import annotations

from dunning.domain import lifecycle, stated_changes, telling
from dunning.domain.commands import CancelType, Command
from dunning.domain.expecting import rules_of
from dunning.domain.messages import EventType
from dunning.domain.plans import CycleStanding, PlanPhase, PlanStanding, PlanStatus
from dunning.domain.state import State
from dunning.domain.step import Step
from dunning.domain.tables import CycleFact, SubscriptionFact, SubscriptionStatus

_S = SubscriptionStatus
_LIVE = (PlanPhase.ACTIVE, PlanPhase.GRACE, PlanPhase.HOLD)
MAX_SEEN = 200
BOUGHT_AGAIN = "the customer bought again at the provider, where nothing had begun: start it anew with the new token"


def is_stated(state: State) -> bool:
    """Whether access is the provider's own statement."""
    return state.plan is not None and rules_of(state).owns_access


def numbered(step: Step, standing: PlanStanding) -> PlanStanding:
    """The standing with our numbers on its cycles; those that were taken in and closed before are left out.

    The provider counts none. What is paid goes to the cycle that is open, else to the next one.
    """
    state, plan = step.s, step.s.plan
    if plan is None or state.calendar is None:
        return standing.but(cycles=())
    ours = {o.provider_cycle: o for o in state.obligations if o.provider_cycle}
    open_one = next((o for o in state.obligations if o.is_followed and o.is_open), None)
    number, found = state.next_number, list[CycleStanding]()
    for cycle in standing.cycles:
        known = ours.get(cycle.cycle_id)
        if known is not None:
            found.append(cycle.but(number=known.number))
        elif cycle.cycle_id in plan.cycles_seen:
            continue
        elif open_one is not None and open_one.number is not None:
            found.append(cycle.but(number=open_one.number, cycle_id=open_one.provider_cycle))
            open_one = None
        else:
            found.append(cycle.but(number=number))
            number += 1
    seen = dict.fromkeys((*plan.cycles_seen, *(one.cycle_id for one in standing.cycles)))
    step.set(plan=plan.but(cycles_seen=tuple(seen)[-MAX_SEEN:]))
    return standing.but(cycles=tuple(found))


def follow_purchase(step: Step, standing: PlanStanding) -> None:
    """A purchase made anew takes the place of the one that we know: from now on it is the plan."""
    plan = step.s.plan
    if plan is None or standing.takes_place_of is None or standing.takes_place_of != plan.plan_id:
        return
    if step.s.status is _S.FAILED:
        step.attend(BOUGHT_AGAIN)
        return
    followed = plan.but(plan_id=standing.plan_id, status=PlanStatus.PENDING, is_released=False, is_replaced=True)
    # What the old purchase had paid for, and what became of its last renewal, says nothing about the new one.
    step.set(plan=followed.but(paid_items=(), decline=None), reference=standing.plan_id)


def before(step: Step, standing: PlanStanding) -> None:
    """What ended a pause or took a cancel back, before cycles are looked at."""
    plan = step.s.plan
    if plan is None or standing.phase is None:
        return
    stated_changes.take_changes(step, standing)
    plan = step.s.plan or plan
    step.set(
        plan=plan.but(
            phase=standing.phase,
            items=standing.items,
            next_due=standing.next_due,
            region=standing.region or plan.region,
            base=stated_changes.base_of(plan, standing, step.s.terms.base_item.product_id),
            is_replaced=False,
        )
    )
    if standing.phase not in _LIVE:
        return
    if step.s.status is _S.PAUSED:
        step.turn(SubscriptionFact.RESUME)
        step.emit(EventType.RESUMED)
    elif step.s.status is _S.CANCELED:
        step.set(cancel_type=None, plan=(step.s.plan or plan).but(is_released=False, status=PlanStatus.ACTIVE))
        step.turn(SubscriptionFact.RESTORE)
        step.emit(EventType.RESTORED)
    elif step.s.status is _S.INACTIVE and plan.status is not PlanStatus.ENDED:
        _resubscribe(step)


def _resubscribe(step: Step) -> None:
    """The customer bought again after the end, where the provider lets them: the same subscription goes on."""
    step.set(stopped_at=None, cancel_type=None, canceled_by_calendar=False, is_mandate_ended=False)
    step.turn(SubscriptionFact.RESUBSCRIBED)
    step.emit(EventType.ACTIVE, because="the customer subscribed again at the provider")


def after(step: Step, standing: PlanStanding) -> None:
    """What the provider says of the whole, after its cycles were taken in."""
    plan = step.s.plan
    if plan is None or standing.phase is None:
        return
    step.set(paid_until=standing.access_until, plan=plan.but(access_until=standing.access_until))
    if standing.phase is PlanPhase.OVER and step.s.is_ended:
        # Over before it began, or told again: there is nothing to be asked about any more.
        _release(step)
    if step.s.status in (_S.REQUIRES_ACTION, _S.ACTIVATING, _S.FAILED, _S.INACTIVE):
        return
    if standing.phase is PlanPhase.HOLD and step.s.status is _S.PAST_DUE:
        _hold(step)
    elif standing.phase is PlanPhase.PAUSED and step.s.status in (_S.ACTIVE, _S.PAST_DUE):
        lifecycle.cancel_open(step, "paused at the provider")
        step.turn(SubscriptionFact.PAUSE)
        step.set(past_due_since=None)
        step.emit(EventType.PAUSED, until=min(standing.next_due).isoformat() if standing.next_due else None)
    elif standing.phase is PlanPhase.ENDING:
        _ending(step, standing)
    elif standing.phase is PlanPhase.OVER:
        _over(step, standing)


def shown(step: Step, command: Command, standing: PlanStanding | None) -> dict[str, str]:
    """What a command came to, as it was read back; nothing where the provider states no access."""
    plan = step.s.plan
    if plan is None or not is_stated(step.s):
        return {}
    told = {"status": step.s.status.value, "until": plan.access_until.isoformat() if plan.access_until else ""}
    given = [one for one in step.s.refunds if one.command_id == command.command_id]
    if given:
        told |= {"refunded": str(sum(one.amount or 0 for one in given)), "currency": given[0].currency or ""}
    if standing is not None and standing.because:
        told["because"] = standing.because
    return told


def _hold(step: Step) -> None:
    step.turn(SubscriptionFact.GRACE_ENDED)
    step.emit(EventType.ON_HOLD, because="the provider holds the purchase")
    owed = next((o for o in step.s.obligations if o.is_followed and o.is_open), None)
    if owed is not None:
        telling.tell_on_hold(step, owed)


def _ending(step: Step, standing: PlanStanding) -> None:
    """It renews no more. What was declined is lost; what is left of the other items is had to its end."""
    if step.s.status is _S.CANCELED:
        return
    was_owing = step.s.status in (_S.PAST_DUE, _S.ON_HOLD)
    if standing.access_until is None or standing.access_until <= step.now:
        _over(step, standing)
        return
    _give_up(step)
    was_paused = step.s.status is _S.PAUSED
    if was_paused:
        step.turn(SubscriptionFact.RESUME)
    step.turn(SubscriptionFact.ENDED_WITH_TIME_LEFT if was_owing else SubscriptionFact.CANCEL)
    kind = CancelType.USER_REQUESTED_STOP_RENEWALS
    step.set(cancel_type=(kind if standing.is_by_user else CancelType.DEVELOPER_REQUESTED_STOP_PAYMENTS).value)
    step.emit(EventType.CANCELED, because=standing.because, until=standing.access_until.isoformat())
    telling.tell_canceled(step, standing.because)


def _over(step: Step, standing: PlanStanding) -> None:
    """Nothing gives access any more."""
    _give_up(step)
    if step.s.status is _S.PAUSED:
        step.turn(SubscriptionFact.CANCEL)
    elif step.s.status in (_S.PAST_DUE, _S.ON_HOLD):
        step.turn(SubscriptionFact.PROVIDER_ENDED)
    elif step.s.status is _S.ACTIVE:
        step.turn(SubscriptionFact.REVOKE)
    elif step.s.status is _S.CANCELED:
        step.turn(SubscriptionFact.PERIOD_ENDED)
    _release(step)
    step.emit(EventType.PLAN_INACTIVATED, because=standing.because)
    lifecycle.end(step, standing.because or "the purchase is over at the provider")


def _release(step: Step) -> None:
    if step.s.plan is not None:
        step.set(plan=step.s.plan.but(is_released=True, status=PlanStatus.ENDED), is_mandate_ended=True)


def _give_up(step: Step) -> None:
    for obligation in step.s.open_obligations:
        because = "the provider gave it up"
        step.move(obligation, CycleFact.GIVEN_UP, next=None, closed_at=step.now, closed_because=because)
        step.emit(EventType.CYCLE_FAILED, cycle=obligation.number, amount=obligation.amount, because=because)
        step.drop_notices(because, obligation=obligation.id)
    step.set(past_due_since=None)
