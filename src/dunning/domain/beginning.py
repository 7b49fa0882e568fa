"""The first state of a subscription, and a re-opened one. SPEC 4, 8."""

from __future__ import annotations

from datetime import datetime

from dunning.domain import lifecycle
from dunning.domain.messages import EventType, NoticeStatus
from dunning.domain.plans import PlanState
from dunning.domain.state import MethodState, State
from dunning.domain.step import Applied, Step
from dunning.domain.tables import SubscriptionFact, SubscriptionStatus
from dunning.domain.terms import Collection, ImmediateAction, Terms


def new_state(
    *,
    account: str,
    subscription: str,
    generation: int,
    terms: Terms,
    created_at: datetime,
    reference: str | None = None,
) -> Applied:
    """The state at creation. Methods that are given are an authorised mandate; else the customer has to act."""
    methods = tuple(
        MethodState(token=m.token, expires=m.expires, network=m.network, fingerprint=m.fingerprint)
        for m in terms.payment_methods
    )
    state = State(
        account=account,
        id=subscription,
        generation=generation,
        terms=terms,
        created_at=created_at,
        latest=created_at,
        status=SubscriptionStatus.REQUIRES_ACTION,
        reference=reference,
        methods=methods,
        plan=PlanState(plan_id=terms.adopted_plan) if terms.collection is Collection.PROVIDER else None,
    )
    step = Step(state, created_at)
    if methods:
        given = terms.payment_methods[0].authorized_at
        step.set(current=methods[0].token, attached=methods[0].token)
        step.turn(SubscriptionFact.MANDATE_AUTHORIZED)
        lifecycle.start_calendar(step, given or created_at)
    _tell_trial(step)
    return step.done()


def _tell_trial(step: Step) -> None:
    """A trial gives access before anything is authorised or paid. SPEC 8.

    Where nothing is due and a method is there, the subscription becomes active at once, and that event says it.
    """
    trial = step.s.terms.schedule.trial_ends_at
    is_waiting = not step.s.methods or step.s.terms.immediate_action is ImmediateAction.FULL_AMOUNT
    if trial is not None and step.now < trial and is_waiting:
        step.emit(EventType.ACTIVE, because="the trial runs; the plan is not active yet")


def reopened(state: State) -> State:
    """The state of a run that goes on from the ledger's snapshot.

    What became of notices is not written into snapshots; those that were on their way are handed over again, and the
    ledger's own rows of each keep them from being sent twice. SPEC 11.
    """
    again = tuple(n.but(status=NoticeStatus.PLANNED) if n.status is NoticeStatus.SENDING else n for n in state.notices)
    return state.but(notices=again)
