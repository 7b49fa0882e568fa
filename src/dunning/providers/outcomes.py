"""A provider's payment as the outcome that is recorded: class and rule are decided here, once. SPEC 3, 7."""

from __future__ import annotations

from datetime import datetime

from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.declines import DeclineTable, classify, customer_reason
from dunning.providers.base import Payment, PaymentStatus


def outcome_of(payment: Payment, table: DeclineTable, at: datetime) -> Outcome:
    """What an attempt came to, by the provider's payment. `at`: business time."""
    if payment.status is PaymentStatus.SUCCEEDED:
        return Outcome(kind=OutcomeKind.SUCCEEDED, at=at, provider_payment_id=payment.payment_id)
    if payment.status is PaymentStatus.PENDING:
        because = "the provider has not decided yet"
        return Outcome(kind=OutcomeKind.PENDING, at=at, provider_payment_id=payment.payment_id, because=because)
    return declined(
        payment.code_field,
        payment.code,
        table,
        at,
        message=payment.message,
        retry_after_seconds=payment.retry_after_seconds,
        payment_id=payment.payment_id,
    )


def declined(
    field: str,
    code: str | None,
    table: DeclineTable,
    at: datetime,
    *,
    message: str | None = None,
    retry_after_seconds: int | None = None,
    payment_id: str | None = None,
) -> Outcome:
    """A definitive "no", classified. A decline without any code counts as an unknown one."""
    found = classify(table, field, code)
    raw = code or "UNKNOWN"
    return Outcome(
        kind=OutcomeKind.DECLINED,
        at=at,
        raw_code=raw,
        message=message,
        klass=found.klass,
        rule=found.rule_id,
        soft_cap=found.cap,
        reason_key=customer_reason(found.klass, raw).value,
        retry_after_seconds=retry_after_seconds,
        provider_payment_id=payment_id,
        because=f"{raw} is not in the table" if found.is_unknown else "",
    )
