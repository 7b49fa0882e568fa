"""Commands where the provider runs the calendar: by which means each is carried out. SPEC 9."""

from __future__ import annotations

from datetime import timedelta

from dunning.domain import following
from dunning.domain.calendar import Interval
from dunning.domain.changing_items import wanted_items
from dunning.domain.commands import (
    Cancel,
    CancelType,
    ChangeItems,
    Command,
    CommandResult,
    Defer,
    Pause,
    Refund,
    RetryNow,
    Revoke,
    RevokeType,
    SetPolicy,
    SkipCycle,
    UpdatePaymentMethod,
)
from dunning.domain.expecting import is_after_pause, is_following, rules_of, unpaid_cycle, way_of
from dunning.domain.orders import ordered, payment_id
from dunning.domain.plan_rules import Means
from dunning.domain.plans import (
    CancelCycle,
    ChangeTerms,
    ForceAttempt,
    MoveNext,
    PendingChange,
    PlanChange,
    RefundOrder,
    ReplaceMethod,
    RevokeAccess,
    StopRenewals,
)
from dunning.domain.play_items import PlayItem, billing_flow, refuses_change, wanted_base
from dunning.domain.state import State
from dunning.domain.step import Step
from dunning.domain.terms import Role, Terms

TAKEN_OVER = "a command asks for what the provider's calendar cannot do"


def hand_over(step: Step, command: Command) -> bool:
    """Give a command to the provider, or take its calendar over; true when nothing else is to be done about it now."""
    way, plan = way_of(step.s, command), step.s.plan
    if way is None or plan is None:
        return False
    if way.means is Means.TAKE_OVER:
        following.take_over(step, TAKEN_OVER)
        return False
    if way.means is Means.APP and isinstance(command, ChangeItems):
        _hand_to_app(step, command)
        return True
    change = change_for(step.s, command) if way.means is Means.PLAN else None
    if change is None:
        return False
    step.set(plan=plan.but(change=PendingChange(change=change, command=command)))
    return True


def _hand_to_app(step: Step, command: ChangeItems) -> None:
    """Nothing changes: the customer buys in the app, and what was bought is read. What is wanted is remembered."""
    plan = step.s.plan
    if plan is None or plan.plan_id is None:
        raise LookupError("judge allows it only for a purchase that was read")
    wanted = _wanted(step.s, command)
    flow = billing_flow(plan.plan_id, _existing(step.s, command), wanted, command.replacement_mode)
    step.set(plan=plan.but(wanted_base=wanted_base(wanted)))
    detail = {"waits_for": "the customer's purchase in the app"}
    step.answer(CommandResult(command_id=command.command_id, status="done", detail=detail, billing_flow=flow))


_UNITS = {Interval.DAY: "D", Interval.WEEK: "W", Interval.MONTH: "M", Interval.YEAR: "Y"}


def _period(state: State) -> str:
    schedule = state.terms.schedule
    return f"P{schedule.interval_count}{_UNITS[schedule.interval]}"


def _wanted(state: State, command: ChangeItems) -> list[PlayItem]:
    return [
        PlayItem(
            product_id=item.product_id,
            is_base=item.role is Role.BASE,
            period=item.period or _period(state),
            is_prepaid=item.is_prepaid,
            base_plan_id=item.base_plan_id,
            offer_id=item.offer_id,
        )
        for item in command.items
    ]


def _existing(state: State, command: ChangeItems) -> list[PlayItem]:
    """What the purchase holds, as it was read last. An item that ends with its period counts if it is to be kept."""
    plan = state.plan
    asked = {item.product_id for item in command.items}
    held = [] if plan is None else [one for one in plan.items if one.is_renewing or one.product_id in asked]
    base = plan.base if plan is not None and plan.base in {one.product_id for one in held} else None
    return [
        PlayItem(
            product_id=one.product_id,
            is_base=one.product_id == base if base is not None else place == 0,
            period=_period(state),
            is_prepaid=one.is_prepaid,
            base_plan_id=one.base_plan_id,
        )
        for place, one in enumerate(held)
    ]


def refuse_items(state: State, command: ChangeItems) -> str | None:
    """Why the customer's app cannot change the items so; None: it can."""
    plan = state.plan
    if plan is None or plan.plan_id is None or not plan.items:
        return "the purchase was not read yet: ask again in a moment"
    many = next((index for index, item in enumerate(command.items) if item.quantity != 1), None)
    if many is not None:
        return f"items.{many}.quantity: must be 1 where the customer buys in the app"
    existing = _existing(state, command)
    if not existing:
        return "no item of the purchase renews: the customer buys anew"
    return refuses_change(existing, _wanted(state, command), command.replacement_mode, plan.region)


def change_for(state: State, command: Command) -> PlanChange | None:
    """What a command means for the plan; None when nothing changes there."""
    owed = unpaid_cycle(state)
    due = state.calendar.due_if_any(state.next_number) if state.calendar is not None else None
    if isinstance(command, RetryNow) and owed is not None:
        return ForceAttempt(cycle_id=owed.provider_cycle)
    if isinstance(command, UpdatePaymentMethod):
        return ReplaceMethod(token=command.token)
    if isinstance(command, Cancel | Refund | Revoke):
        return _ending(state, command)
    if rules_of(state).owns_access and state.plan is not None:
        due = state.plan.access_until
    if isinstance(command, Defer) and due is not None:
        return MoveNext(to=due + timedelta(days=command.days), days=command.days)
    if isinstance(command, Pause) and is_after_pause(state, command.until):
        return None
    if isinstance(command, SkipCycle | Pause):
        return CancelCycle(due_at=due) if due is not None else None
    if isinstance(command, SetPolicy):
        return ChangeTerms(terms=changed_terms(state, command))
    if isinstance(command, ChangeItems):
        return ChangeTerms(terms=(state.next_terms or state.terms).but(items=wanted_items(command)))
    return None


def _ending(state: State, command: Cancel | Refund | Revoke) -> PlanChange:
    """What ends renewals or access, or gives money back, where the provider does that itself."""
    if isinstance(command, Cancel):
        return StopRenewals(is_by_user=command.type is CancelType.USER_REQUESTED_STOP_RENEWALS)
    if isinstance(command, Revoke):
        return RevokeAccess(is_prorated=command.type is RevokeType.PRORATED, product_id=command.item)
    paid = ordered(state, command.order)
    order = (payment_id(paid) if paid is not None else None) or command.order
    return RefundOrder(order_id=order, amount=command.amount, revokes=command.revoke)


def changed_terms(state: State, command: SetPolicy) -> Terms:
    """The terms from the next cycle on: what is not given stays."""
    names = (
        "retry",
        "grace_days",
        "hold_days",
        "on_hard_decline",
        "failed_cycle_action",
        "failed_attempt_notifications",
    )
    changes = {n: v for n in names if (v := getattr(command, n)) is not None}
    return (state.next_terms or state.terms).but(**changes)


def refusal(state: State, command: Command) -> str | None:
    """Why the provider's calendar bars a command; None when it does not."""
    way = way_of(state, command)
    if way is None:
        return None
    if way.means is Means.REFUSED:
        link = state.terms.customer_link
        return way.because if link is None else f"{way.because}: {link}"
    if way.means is not Means.PLAN:
        return None
    if command.name == "pause" and unpaid_cycle(state) is not None:
        return "the provider is still collecting a cycle, and cannot be paused in between"
    if isinstance(command, SkipCycle) and command.number not in (None, state.next_number):
        return f"number: only the next cycle can be left out at the provider: {state.next_number}"
    return None


def bind_method(step: Step) -> None:
    """A new method needs a new plan where plans name what they charge and cannot be changed."""
    plan = step.s.plan
    if plan is not None and plan.plan_id is not None and is_following(step.s) and rules_of(step.s).is_immutable:
        step.set(plan=plan.but(replaces="another payment method is to be charged"))
