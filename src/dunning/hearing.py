"""A provider's message in the core's words. SPEC 8, 12.

The gateway settled the attempt in the ledger already where the message carried our key; what is left is to
tell the state.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.contract import NoticeHeard, ProviderFact
from dunning.domain import facts
from dunning.domain.attempts import Attempt, OutcomeKind
from dunning.domain.state import Obligation, State
from dunning.providers.base import MandateStatus, MessageKind, PaymentStatus, RefundStatus

CREDIBLE_SKEW = timedelta(days=1)
"""A provider's clock is believed within a day of ours; beyond it (a test clock, say) the arrival counts."""


def facts_of(state: State, heard: ProviderFact, now: datetime) -> list[facts.Fact]:
    """The facts that a message amounts to in this state; a message seen before amounts to none.

    Args:
        now: business time, taken where the provider's own instant lies in the future or far away.
    """
    if heard.message_id in state.seen:
        return []
    is_credible = now - CREDIBLE_SKEW <= heard.occurred_at <= now
    heard = heard if is_credible else heard.but(occurred_at=now)
    found: list[facts.Fact] = [facts.Heard(message_id=heard.message_id)]
    if heard.kind is MessageKind.PAYMENT:
        found.extend(_payment(state, heard))
    elif heard.kind is MessageKind.MANDATE and heard.mandate is not None:
        found.extend(_mandate(heard))
    elif heard.kind is MessageKind.METHOD_UPDATED and heard.method_token is not None:
        found.append(facts.MethodUpdated(at=heard.occurred_at, token=heard.method_token))
    elif heard.kind is MessageKind.DISPUTE and heard.payment is not None:
        fact = facts.DisputeOpened if heard.dispute_is_open else facts.DisputeClosed
        found.append(fact(at=heard.occurred_at, payment_id=heard.payment.payment_id))
    elif heard.kind is MessageKind.REFUND:
        found.extend(_refund(heard))
    elif heard.kind is MessageKind.PLAN:
        told = facts.PlanRead(standing=heard.plan) if heard.plan is not None else facts.PlanHinted()
        found.append(told)
    elif heard.kind is MessageKind.NOTICE and heard.notice is not None:
        found.append(_undelivered(heard.notice))
    return found


def _undelivered(told: NoticeHeard) -> facts.NoticeUndelivered:
    return facts.NoticeUndelivered(
        key=told.key, at=told.at, because=told.because, attention=told.attention, is_told=told.is_told
    )


def _refund(heard: ProviderFact) -> list[facts.Fact]:
    """A refund of ours by its key; one made at the provider, where it was made."""
    if heard.refund_key is not None and heard.refund_outcome is not None:
        return [facts.RefundConcluded(key=heard.refund_key, outcome=heard.refund_outcome)]
    refund = heard.refund
    if refund is None or refund.payment_id is None or refund.status is not RefundStatus.SUCCEEDED:
        return []
    return [
        facts.RefundObserved(
            refund_id=refund.refund_id,
            payment_id=refund.payment_id,
            amount=refund.amount,
            currency=refund.currency,
            at=heard.occurred_at,
        )
    ]


def _payment(state: State, heard: ProviderFact) -> list[facts.Fact]:
    if heard.attempt_key is not None and heard.outcome is not None:
        match = find_attempt(state, heard.attempt_key)
        if match is None:
            is_paid = heard.is_page and heard.outcome.kind is OutcomeKind.SUCCEEDED
            return [facts.PagePaid(key=heard.attempt_key)] if is_paid else []
        obligation, attempt = match
        concluded = facts.AttemptConcluded(obligation=obligation.id, number=attempt.number, outcome=heard.outcome)
        return [concluded]
    payment = heard.payment
    if heard.attempt_key is None and payment is not None and payment.status is PaymentStatus.SUCCEEDED:
        if is_known_payment(state, payment.payment_id):
            return []
        return [
            facts.PaymentObserved(
                payment_id=payment.payment_id,
                amount=payment.amount,
                currency=payment.currency,
                at=heard.occurred_at,
                by_provider=payment.is_method_update,
            )
        ]
    return []


def is_known_payment(state: State, payment_id: str) -> bool:
    """Whether one of our attempts adopted this payment already."""
    return any(
        a.outcome is not None
        and a.outcome.kind is OutcomeKind.SUCCEEDED
        and a.outcome.provider_payment_id == payment_id
        for o in state.obligations
        for a in o.attempts
    )


def _mandate(heard: ProviderFact) -> list[facts.Fact]:
    mandate = heard.mandate
    if mandate is None:
        return []
    if mandate.status is MandateStatus.AUTHORIZED:
        return [
            facts.MandateAuthorized(
                at=heard.occurred_at, reference=mandate.reference, method_token=mandate.method_token
            )
        ]
    if mandate.status is MandateStatus.FAILED:
        return [facts.MandateFailed(at=heard.occurred_at)]
    if mandate.status is MandateStatus.ENDED:
        return [facts.MandateEnded(at=heard.occurred_at)]
    return []


def find_attempt(state: State, key: str) -> tuple[Obligation, Attempt] | None:
    """The attempt with this key."""
    for obligation in state.obligations:
        for attempt in obligation.attempts:
            if attempt.key == key:
                return obligation, attempt
    return None
