"""What operators see: attributes, a summary in one line, details in Markdown. SPEC 15.

No contacts and nothing secret: everything here is readable by whoever may open the Temporal UI.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dunning.domain.access import ItemAccess, access, item_access
from dunning.domain.attempts import Attempt
from dunning.domain.base import Value
from dunning.domain.decide import Decision, Do
from dunning.domain.money import format_amount
from dunning.domain.plans import PlanPhase
from dunning.domain.state import Obligation, PlannedAttempt, State


class Shown(Value):
    """The values of the search attributes; None means unset."""

    status: str
    provider: str
    merchant_account: str
    customer: str
    decline_class: str | None
    next_action_at: datetime | None
    past_due_since: datetime | None
    attempt: int | None
    amount_due: int | None
    attention: bool


def shown(state: State, decision: Decision | None) -> Shown:
    """What the list of workflows shows about a subscription."""
    owed = [o for o in state.open_obligations if o.past_due_since is not None]
    numbers = [o.next.number if o.next is not None else len(o.attempts) for o in owed]
    return Shown(
        status=state.status.value,
        provider=state.terms.provider.value,
        merchant_account=state.account,
        customer=state.terms.customer.id,
        decline_class=state.last_decline.value if state.last_decline is not None and owed else None,
        next_action_at=decision.at if decision is not None and decision.do is not Do.FINISH else None,
        past_due_since=state.past_due_since,
        attempt=numbers[0] if numbers else None,
        amount_due=sum(o.amount for o in owed) if owed else None,
        attention=bool(state.attention),
    )


def stamp(instant: datetime) -> str:
    """An instant as operators read it."""
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def summary(state: State, decision: Decision) -> str:
    """One line for a timer or an activity: what, how much, when. At most 200 bytes."""
    text = f"{_what(state, decision)}, {stamp(decision.at)}"
    return text.encode()[:200].decode(errors="ignore")


def _what(state: State, decision: Decision) -> str:
    obligation = _find(state, decision.obligation)
    if obligation is not None and decision.do is Do.CHARGE and obligation.next is not None:
        return f"{attempt_words(state, obligation.next)}, {format_amount(obligation.amount, obligation.currency)}"
    if obligation is not None:
        what = _LABELS.get(decision.do, decision.do.value)
        return f"{what}: {obligation_words(obligation)}, {format_amount(obligation.amount, obligation.currency)}"
    if decision.do is Do.OPEN_CYCLE:
        return f"cycle {state.next_number} due, {format_amount(state.terms.amount, state.terms.currency)}"
    if decision.do is Do.SEND_NOTICE:
        notice = next((n for n in state.notices if n.key == decision.notice), None)
        return f"notice {notice.occasion.value}" if notice is not None else "notice"
    return _LABELS.get(decision.do, decision.do.value.replace("_", " "))


def attempt_words(state: State, attempt: PlannedAttempt | Attempt) -> str:
    """`retry 2 of 3`, `first attempt`, `backup method`, ..."""
    if attempt.retry_of is not None:
        return f"repeat of attempt {attempt.retry_of} after a technical fault"
    if attempt.rung is not None:
        return f"retry {attempt.rung} of {len(state.terms.retry.days)}"
    return {
        "due": "first attempt",
        "on_demand": "charge on demand",
        "backup": "try of a backup method",
        "payment_method_updated": "try of the new method",
        "operator": "try by an operator",
    }.get(attempt.trigger.value, attempt.trigger.value)


def obligation_words(obligation: Obligation) -> str:
    """`cycle 3`, or `charge od-...`."""
    return f"cycle {obligation.number}" if obligation.is_cycle else f"charge {obligation.id}"


def details(state: State, decision: Decision | None, now: datetime) -> str:
    """The current details of a run, in Markdown.

    One flat list: the Temporal UI shows the lines of a list in a list as one paragraph.
    """
    granted = access(state, now)
    price = format_amount(state.terms.amount, state.terms.currency)
    lines = [
        f"**{state.status.value}** · {state.terms.description} · {price} via {state.terms.provider.value}",
        "",
        f"- **Access:** {'yes' if granted.is_granted else 'no'}"
        + (f", until {stamp(granted.until)}" if granted.until is not None else "")
        + f" ({granted.because})",
    ]
    lines += [_item_line(one) for one in item_access(state, now)]
    if state.plan is not None and state.plan.phase is not None:
        lines.append(f"- **The provider says:** {_stated_words(state.plan.phase, state.plan.next_due)}")
    if decision is not None and decision.do is not Do.FINISH:
        lines.append(f"- **Next:** {summary(state, decision)} — {decision.because}")
    elif decision is None:
        lines.append("- **Next:** waiting for the customer, the provider or a command")
    for obligation in state.obligations:
        lines.extend(_obligation_lines(state, obligation))
    lines += [f"- **Attention** ({stamp(a.at)}): {a.what}" for a in state.attention[-3:]]
    return "\n".join(lines)


def _stated_words(phase: PlanPhase, next_due: Sequence[datetime]) -> str:
    """`hold, it does not say until when`, `grace, next 2026-09-01 00:00 UTC`, ..."""
    if phase in (PlanPhase.HOLD, PlanPhase.PENDING):
        return f"{phase.value}, it does not say until when"  # what is due next is our own look
    return f"{phase.value}, next {stamp(min(next_due))}" if next_due else phase.value


def _item_line(item: ItemAccess) -> str:
    until = f", until {stamp(item.until)}" if item.is_granted and item.until is not None else ""
    renews = "renews" if item.is_renewing else "does not renew"
    return f"- **Item {item.product_id}:** {'yes' if item.is_granted else 'no'}{until}; {renews}"


def _obligation_lines(state: State, obligation: Obligation) -> list[str]:
    head = (
        f"- **{obligation_words(obligation).capitalize()}**, due {stamp(obligation.due_at)}: {obligation.status.value}"
    )
    if obligation.window_end is not None:
        head += f", given up at the latest {stamp(obligation.window_end)}"
    lines = [head]
    for attempt in obligation.attempts:
        came_to = attempt.outcome.kind.value if attempt.outcome is not None else "on its way"
        code = attempt.outcome.raw_code if attempt.outcome is not None else None
        klass = attempt.outcome.klass if attempt.outcome is not None else None
        told = f" ({code}, {klass.value})" if code and klass is not None else ""
        what = f"**{obligation_words(obligation).capitalize()}, attempt {attempt.number}**"
        lines.append(f"- {what}: {attempt_words(state, attempt)}, {stamp(attempt.planned_at)}: {came_to}{told}")
    return lines


def _find(state: State, obligation_id: str | None) -> Obligation | None:
    if obligation_id is None or not state.has(obligation_id):
        return None
    return state.obligation(obligation_id)


_LABELS = {
    Do.LOOK_UP: "ask the provider",
    Do.REFUND: "refund",
    Do.LOOK_UP_REFUND: "ask the provider about a refund",
    Do.GIVE_UP: "give up",
    Do.END_GRACE: "grace ends",
    Do.TIME_OUT_ACTIVATION: "mandate link expires",
    Do.READ_MANDATE: "ask whether the mandate link was completed",
    Do.CREATE_MANDATE: "create the mandate link",
    Do.END_PAUSE: "pause ends",
    Do.SKIP_CYCLE: "cycle skipped",
    Do.END_PERIOD: "paid period ends",
    Do.END_CALENDAR: "calendar ends",
    Do.RAISE_ATTENTION: "raise attention",
    Do.END_MANDATE: "give the mandate back",
    Do.CLOSE_PAGE: "ask what became of the mandate's page",
    Do.CREATE_PLAN: "have the provider run the calendar",
    Do.READ_PLAN: "ask the provider where it stands",
    Do.CHANGE_PLAN: "ask the provider for a change",
    Do.END_PLAN: "end it at the provider",
}
