"""From the ledger's rows and from states to what the API answers."""

from __future__ import annotations

from dunning.domain.access import access, item_access
from dunning.domain.attempts import Attempt
from dunning.domain.decide import Do
from dunning.domain.showing import summary
from dunning.domain.state import Obligation, State
from dunning.domain.tables import SubscriptionStatus
from dunning.gateway.api.views import (
    AccessView,
    AttemptView,
    AttentionView,
    CustomerView,
    DroppedRungView,
    EventView,
    ItemAccessView,
    ItemView,
    MethodView,
    NextView,
    NoticeView,
    ObligationView,
    OutcomeView,
    PlannedTryView,
    SubscriptionSummary,
    SubscriptionView,
    TryView,
)
from dunning.ledger.models import Stored, StoredAttempt, StoredNotice
from dunning.ledger.pages import StoredEvent
from dunning.standing import Standing


def summary_view(stored: Stored) -> SubscriptionSummary:
    """A row of a list."""
    snapshot = stored.snapshot or {}
    return SubscriptionSummary(
        id=stored.id,
        merchant_account=stored.account,
        generation=stored.generation,
        status=SubscriptionStatus(stored.status),
        is_open=stored.is_open,
        customer_id=stored.customer_id,
        provider=stored.terms.provider,
        amount=stored.terms.amount,
        currency=stored.terms.currency,
        description=stored.terms.description,
        past_due_since=snapshot.get("past_due_since"),
        attention=bool(snapshot.get("attention")),
        reference=stored.reference,
        created_at=stored.created_at,
    )


def subscription_view(found: Standing) -> SubscriptionView:
    """A subscription whole, from its state."""
    state, granted = found.state, access(found.state, found.now)
    terms = state.terms
    return SubscriptionView(
        id=state.id,
        merchant_account=state.account,
        generation=state.generation,
        status=state.status,
        customer=CustomerView(**terms.customer.model_dump()),
        provider=terms.provider,
        collection=terms.collection,
        reference=state.reference,
        description=terms.description,
        items=[ItemView(**item.model_dump()) for item in terms.items],
        amount=terms.amount,
        currency=terms.currency,
        metadata=dict(terms.metadata),
        access=AccessView(
            granted=granted.is_granted,
            until=granted.until,
            reason=granted.because,
            items=[
                ItemAccessView(product_id=i.product_id, granted=i.is_granted, until=i.until, renews=i.is_renewing)
                for i in item_access(state, found.now)
            ],
        ),
        mandate_link=state.mandate_link if state.status is SubscriptionStatus.REQUIRES_ACTION else None,
        payment_methods=_methods(state),
        next=_next(found),
        obligations=[_obligation(one) for one in state.obligations],
        paid_until=state.paid_until,
        past_due_since=state.past_due_since,
        attention=[AttentionView(at=one.at, what=one.what) for one in state.attention],
        created_at=state.created_at,
        business_now=found.now,
        source=found.source,
    )


def _methods(state: State) -> list[MethodView]:
    return [
        MethodView(
            token=m.token,
            is_current=m.token == state.current,
            expires=m.expires,
            verdict=m.verdict,
            code=m.verdict_code,
        )
        for m in state.methods
    ]


def _next(found: Standing) -> NextView | None:
    decision = found.decision
    if decision is None or decision.do is Do.FINISH:
        return None
    return NextView(
        do=decision.do,
        at=decision.at,
        summary=summary(found.state, decision),
        reason=decision.because,
        obligation=decision.obligation,
    )


def _obligation(owed: Obligation) -> ObligationView:
    planned = owed.next
    return ObligationView(
        id=owed.id,
        number=owed.number,
        status=owed.status,
        amount=owed.amount,
        currency=owed.currency,
        due_at=owed.due_at,
        window_end=owed.window_end,
        grace_ends_at=owed.grace_ends_at,
        attempts=[_try(one) for one in owed.attempts],
        next=PlannedTryView(
            number=planned.number,
            trigger=planned.trigger,
            rung=planned.rung,
            method=planned.method,
            planned_at=planned.planned_at,
            at=planned.at,
            because=planned.because,
        )
        if planned is not None
        else None,
        dropped_rungs=[DroppedRungView(rung=d.rung, days=d.days, at=d.at, because=d.because) for d in owed.dropped],
    )


def _try(attempt: Attempt) -> TryView:
    return TryView(
        number=attempt.number,
        trigger=attempt.trigger,
        rung=attempt.rung,
        retry_of=attempt.retry_of,
        method=attempt.method,
        planned_at=attempt.planned_at,
        started_at=attempt.started_at,
        because=attempt.because,
        outcome=_outcome(attempt),
    )


def _outcome(attempt: Attempt | StoredAttempt) -> OutcomeView | None:
    outcome = attempt.outcome
    if outcome is None:
        return None
    return OutcomeView(
        kind=outcome.kind,
        at=outcome.at,
        raw_code=outcome.raw_code,
        decline_class=outcome.klass,
        rule=outcome.rule,
        payment_id=outcome.provider_payment_id,
        because=outcome.because,
    )


def attempt_view(row: StoredAttempt) -> AttemptView:
    """A row of the ledger."""
    return AttemptView.model_validate(
        {
            **row.model_dump(include=set(AttemptView.model_fields) - {"outcome", "payment_id"}),
            "outcome": _outcome(row),
            "payment_id": row.provider_payment_id,
        }
    )


def notice_view(row: StoredNotice) -> NoticeView:
    """A row of the ledger."""
    return NoticeView.model_validate(row.model_dump(include=set(NoticeView.model_fields)))


def event_view(row: StoredEvent, account: str, subscription: str) -> EventView:
    """A row of the ledger, with whom it is about."""
    return EventView.model_validate({**row.model_dump(), "subscription_id": subscription, "merchant_account": account})
