"""The commands `refund` and `revoke`, and what comes of a refund. SPEC 8, 9.

The ledger decides how much is left of a payment and who may send; here stands what a refund is about, and what
follows from it.
"""

from __future__ import annotations

from datetime import datetime

from dunning.domain import facts, lifecycle, telling
from dunning.domain.commands import Command, CommandResult, Refund, Revoke, RevokeType
from dunning.domain.messages import EventType
from dunning.domain.orders import cost, ordered, payment_id, running
from dunning.domain.planning import ATTENTION_AFTER, OUTAGE_CAP, OUTAGE_DELAYS, backoff
from dunning.domain.prorate import prorated_at
from dunning.domain.refunds import Refund as RefundState
from dunning.domain.refunds import RefundKind, RefundOutcome, RefundStatus, refund_key
from dunning.domain.state import Obligation, State
from dunning.domain.step import Step
from dunning.domain.tables import SUBSCRIPTION_TABLE, CycleFact, CycleStatus, SubscriptionFact

MANY = 3
"""Outages in a row after which a person is asked to look."""


# --- the commands ---------------------------------------------------------------------------------


def refund(step: Step, command: Refund) -> None:
    """Plan the refund; the command is answered when it is known what came of it."""
    obligation = ordered(step.s, command.order)
    _plan(step, command, command.order, obligation, amount=command.amount, ends_access=command.revoke)


def revoke(step: Step, command: Revoke) -> dict[str, str]:
    """Access ends now, whatever becomes of the money; what is given back is planned."""
    paid = running(step.s, step.now)
    if command.type is RevokeType.ITEM and len(step.s.terms.items) > 1:
        return _revoke_item(step, command, paid)
    amount = None if paid is None else _worth(step.s, paid, command, step.now)
    if paid is not None and amount:
        order = payment_id(paid) or paid.id
        _plan(step, command, order, paid, amount=amount, may_be_less=True)
    end_access(step, f"revoked ({command.type.value.lower()})", command_id=command.command_id)
    return {"refund": str(amount or 0), "currency": step.s.terms.currency}


def _worth(state: State, paid: Obligation, command: Revoke, now: datetime) -> int:
    """What a revoke gives back of the running period, minor units: never more than is left."""
    left = paid.amount - paid.refunded
    if command.type is not RevokeType.PRORATED or paid.period_end is None:
        return left
    zone = state.terms.schedule.anchor_at.tzinfo
    if now < paid.due_at or zone is None:
        return left
    return min(prorated_at(paid.amount, paid.due_at, paid.period_end, now, zone), left)


def _revoke_item(step: Step, command: Revoke, paid: Obligation | None) -> dict[str, str]:
    """The item goes, with its price; the rest of the subscription goes on."""
    gone = command.item or ""
    amount = next((cost(i) for i in step.s.terms.items if i.product_id == gone), 0)
    if paid is not None and amount:
        order = payment_id(paid) or paid.id
        _plan(step, command, order, paid, amount=amount, may_be_less=True, item=gone)
    else:
        amount = 0
    kept = tuple(i for i in step.s.terms.items if i.product_id != gone)
    step.set(terms=step.s.terms.but(items=kept))
    if step.s.next_terms is not None:
        later = tuple(i for i in step.s.next_terms.items if i.product_id != gone)
        step.set(next_terms=step.s.next_terms.but(items=later))
    step.emit(EventType.REVOKED, because="an item was given back", item=gone, command_id=command.command_id)
    return {"refund": str(amount), "currency": step.s.terms.currency, "item": gone}


def end_access(step: Step, because: str, *, command_id: str) -> None:
    """Access ends at once, and with it the paid period. What is being collected is canceled."""
    lifecycle.cancel_open(step, because)
    step.turn(SubscriptionFact.REVOKE)
    for obligation in step.s.obligations:
        if obligation.period_end is not None and obligation.period_end > step.now:
            step.put(obligation, period_end=step.now)
    step.set(paid_until=step.now if step.s.paid_until is not None else None)
    step.emit(EventType.REVOKED, because=because, command_id=command_id)
    lifecycle.end(step, because)
    telling.tell_canceled(step, because)


def _plan(
    step: Step,
    command: Refund | Revoke,
    order: str,
    obligation: Obligation | None,
    *,
    amount: int | None,
    may_be_less: bool = False,
    item: str | None = None,
    ends_access: bool = False,
) -> None:
    terms = step.s.terms
    is_priced = obligation is not None and obligation.is_cycle and obligation.amount == terms.amount
    planned = RefundState(
        key=refund_key(step.s.account, step.s.id, command.command_id),
        command_id=command.command_id,
        order=order,
        by=command.name,
        at=step.now,
        payment_id=payment_id(obligation) if obligation is not None else None,
        obligation=obligation.id if obligation is not None else None,
        paid=obligation.amount if obligation is not None else None,
        amount=amount,
        currency=obligation.currency if obligation is not None else terms.currency,
        may_be_less=may_be_less,
        item=item,
        items={i.product_id: cost(i) for i in terms.items} if is_priced else {},
        ends_access=ends_access,
    )
    step.set(refunds=(*step.s.refunds, planned))


# --- what came of it ------------------------------------------------------------------------------


def conclude(step: Step, fact: facts.RefundConcluded) -> None:
    """Take in what a refund of ours came to; what is settled is changed only by the provider's own later word."""
    refund = step.s.refund(fact.key)
    if refund is None:
        if fact.outcome.kind is RefundKind.SUCCEEDED:
            step.attend(f"a refund arrived that nothing here asks for: {fact.outcome.refund_id}")
        return
    if fact.is_look_up:
        refund = _put(step, refund, looks=refund.looks + 1)
    kind = fact.outcome.kind
    if kind in (RefundKind.OUTAGE, RefundKind.DEFERRED):
        _put_off(step, refund, fact.outcome)
    elif kind in (RefundKind.PENDING, RefundKind.UNKNOWN):
        _await(step, refund, fact.outcome)
    elif kind is RefundKind.SUCCEEDED:
        _succeed(step, refund, fact.outcome)
    else:
        _fail(step, refund, fact.outcome)


def observe(step: Step, fact: facts.RefundObserved) -> None:
    """A refund that was made at the provider: recorded and told; access stays as it is."""
    if any(one.refund_id == fact.refund_id for one in step.s.refunds):
        return
    obligation = ordered(step.s, fact.payment_id)
    made = RefundState(
        key=f"seen_{fact.refund_id}",
        command_id="",
        order=fact.payment_id,
        by="provider",
        at=fact.at,
        payment_id=fact.payment_id,
        obligation=obligation.id if obligation is not None else None,
        amount=fact.amount,
        currency=fact.currency,
        refund_id=fact.refund_id,
        status=RefundStatus.SUCCEEDED,
    )
    step.set(refunds=(*step.s.refunds, made))
    _record(step, made)


def read_back(
    step: Step,
    *,
    order: str,
    amount: int,
    total: int,
    currency: str,
    at: datetime,
    parts: dict[str, int],
    command: Command | None,
) -> None:
    """Money that the provider says it gave back of an order: recorded and told. Access is its own statement.

    Args:
        amount, total: now, and in all so far; minor units.
        command: ours that asked for it; None: it was given back there.
    """
    obligation = ordered(step.s, order)
    made = RefundState(
        key=f"seen_{order}/{total}",
        command_id=command.command_id if command is not None else "",
        order=order,
        by=command.name if command is not None else "provider",
        at=at,
        payment_id=order,
        obligation=obligation.id if obligation is not None else None,
        amount=amount,
        currency=currency,
        refund_id=f"{order}/refund",
        parts=parts,
        status=RefundStatus.SUCCEEDED,
    )
    if step.s.refund(made.key) is None:
        step.set(refunds=(*step.s.refunds, made))
        _record(step, made)


def dispute(step: Step, payment: str, *, is_open: bool) -> None:
    """Remember which payments are disputed; the obligation that it paid is marked. SPEC 8."""
    others = tuple(one for one in step.s.disputed if one != payment)
    step.set(disputed=(*others, payment) if is_open else others)
    obligation = ordered(step.s, payment)
    if is_open and obligation is not None and obligation.status in (CycleStatus.SUCCEEDED, CycleStatus.CANCELED):
        step.move(obligation, CycleFact.DISPUTED)


def _put(step: Step, refund: RefundState, **changes: object) -> RefundState:
    new = refund.but(**changes)
    step.set(refunds=tuple(new if one.key == new.key else one for one in step.s.refunds))
    return new


def _put_off(step: Step, refund: RefundState, outcome: RefundOutcome) -> None:
    """Nothing was sent: the same refund, under the same key, is put again later."""
    if refund.status is not RefundStatus.PLANNED:
        if refund.status is RefundStatus.UNKNOWN:
            # The look-up proved that the first byte never left.
            _put(step, refund, status=RefundStatus.PLANNED, since=None, wait_until=step.now, because=outcome.because)
        return
    delay = backoff(OUTAGE_DELAYS, OUTAGE_CAP, refund.tries)
    advised = outcome.retry_after_seconds
    at = outcome.until or step.now + delay
    if advised is not None:
        at = max(at, step.now + type(delay)(seconds=advised))
    tries = refund.tries + (outcome.kind is RefundKind.OUTAGE)
    _put(step, refund, tries=tries, wait_until=at, because=outcome.because)
    if tries >= MANY and not refund.is_flagged:
        _put(step, _now(step, refund), is_flagged=True)
        step.attend(f"a refund of order {refund.order} cannot be made yet: {outcome.because}")


def _await(step: Step, refund: RefundState, outcome: RefundOutcome) -> None:
    if not refund.is_open:
        return
    is_pending = outcome.kind is RefundKind.PENDING
    status = RefundStatus.PENDING if is_pending or refund.status is RefundStatus.PENDING else RefundStatus.UNKNOWN
    is_new = status is not refund.status
    changes = _known(refund, outcome)
    if is_new:
        changes |= {"since": step.now, "looks": 0}
    refund = _put(step, refund, status=status, because=outcome.because, **changes)
    if is_pending and refund.ends_access:
        _end(step, refund)
    is_old = refund.since is not None and step.now - refund.since >= ATTENTION_AFTER
    if status is RefundStatus.UNKNOWN and is_old and not refund.is_flagged:
        _put(step, _now(step, refund), is_flagged=True)
        step.attend(f"what became of a refund of order {refund.order} has been unclear for an hour")


def _known(refund: RefundState, outcome: RefundOutcome) -> dict[str, object]:
    """What an outcome tells of the refund; what it does not tell stays."""
    names = ("amount", "currency", "payment_id", "refund_id", "obligation")
    told: dict[str, object] = {name: value for name in names if (value := getattr(outcome, name)) is not None}
    return {**told, "parts": dict(outcome.parts) or refund.parts}


def _succeed(step: Step, refund: RefundState, outcome: RefundOutcome) -> None:
    if refund.status is RefundStatus.SUCCEEDED:
        return
    was_failed = refund.status is RefundStatus.FAILED
    refund = _put(step, refund, status=RefundStatus.SUCCEEDED, because=outcome.because, **_known(refund, outcome))
    if was_failed:
        step.attend(f"a refund that counted as failed was made: {refund.refund_id}")
    _record(step, refund)
    if refund.ends_access:
        _end(step, refund)
    if refund.by == "refund" and not was_failed:
        detail = {
            "refund": refund.refund_id or "",
            "amount": str(refund.amount or 0),
            "currency": refund.currency or "",
            "payment": refund.payment_id or "",
        }
        step.answer(CommandResult(command_id=refund.command_id, status="done", detail=detail))


def _fail(step: Step, refund: RefundState, outcome: RefundOutcome) -> None:
    """Nothing was given back. Money that came back after a refund counted as made is shown to a person."""
    if refund.status is RefundStatus.FAILED:
        return
    was_made = refund.status is RefundStatus.SUCCEEDED
    _put(step, refund, status=RefundStatus.FAILED, because=outcome.because, **_known(refund, outcome))
    if was_made:
        obligation = ordered(step.s, refund.obligation or refund.order)
        if obligation is not None:
            step.put(obligation, refunded=max(obligation.refunded - (refund.amount or 0), 0))
    if was_made or refund.by == "revoke" or outcome.kind is RefundKind.ABSENT:
        step.attend(f"a refund of order {refund.order} failed: {outcome.because}")
    if refund.by == "refund" and not was_made:
        result = CommandResult(command_id=refund.command_id, status="refused", reason=outcome.because)
        step.answer(result)


def _record(step: Step, refund: RefundState) -> None:
    """It was given back: noted with what it had paid, told to the backend and to the customer."""
    obligation = ordered(step.s, refund.obligation or refund.payment_id or refund.order)
    if obligation is not None:
        refunded = obligation.refunded + (refund.amount or 0)
        if obligation.status in (CycleStatus.SUCCEEDED, CycleStatus.CANCELED):
            step.move(obligation, CycleFact.REFUNDED, refunded=refunded)
        else:
            step.put(obligation, refunded=refunded)
    step.emit(
        EventType.REFUNDED,
        refund_id=refund.refund_id,
        payment_id=refund.payment_id,
        obligation=refund.obligation,
        amount=refund.amount,
        currency=refund.currency,
        parts=dict(refund.parts),
        by=refund.by,
        command_id=refund.command_id or None,
    )
    told_about = obligation.description if obligation is not None else ""
    telling.tell_refunded(
        step,
        amount=refund.amount or 0,
        currency=refund.currency or step.s.terms.currency,
        description=told_about or step.s.terms.description,
        because="money was given back",
    )


def _end(step: Step, refund: RefundState) -> None:
    """`refund` with `revoke`: the provider has taken it, so access ends, once."""
    _put(step, _now(step, refund), ends_access=False)
    if SubscriptionFact.REVOKE in SUBSCRIPTION_TABLE[step.s.status]:
        end_access(step, f"order {refund.order} was given back", command_id=refund.command_id)


def _now(step: Step, refund: RefundState) -> RefundState:
    return step.s.refund(refund.key) or refund
