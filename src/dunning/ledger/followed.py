"""Tries that a provider made by its own calendar, as rows of the same book: refunds and disputes find them. SPEC 12."""

from __future__ import annotations

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from dunning.domain.attempts import SETTLED_KINDS, Outcome
from dunning.domain.declines import DeclineClass
from dunning.ledger.models import FollowedAttempt, Record
from dunning.ledger.schema import attempts, method_verdicts
from dunning.ledger.settling import columns

OWNER = "provider"
"""Nobody of ours ever held these rows."""


async def write_followed(connection: AsyncConnection, record: Record) -> None:
    """Write what the provider's tries came to; again changes nothing.

    Nothing is told here: the events of these payments follow from the state, and travel in the same record.
    """
    for one in record.followed:
        outcome = one.attempt.outcome
        if outcome is not None:
            await _write(connection, record, one, outcome)


async def _write(connection: AsyncConnection, record: Record, one: FollowedAttempt, outcome: Outcome) -> None:
    attempt = one.attempt
    is_settled = outcome.kind in SETTLED_KINDS
    at = attempt.started_at or attempt.planned_at
    known = {
        **columns(outcome),
        "status": "settled" if is_settled else "pending",
        "settled_at": func.now() if is_settled else None,
    }
    row = insert(attempts).values(
        key=attempt.key,
        account=record.account,
        subscription=record.subscription,
        generation=record.generation,
        obligation=one.obligation,
        number=attempt.number,
        customer_id=one.customer,
        amount=one.amount,
        currency=one.currency,
        method=attempt.method,
        trigger=attempt.trigger.value,
        planned_at=attempt.planned_at,
        business_at=at,
        owner=OWNER,
        epoch=0,
        lease_until=func.now(),
        **known,
    )
    await connection.execute(row.on_conflict_do_update(index_elements=["key"], set_=known))
    if outcome.klass is DeclineClass.HARD:
        verdict = insert(method_verdicts).values(
            account=record.account,
            customer_id=one.customer,
            token=attempt.method,
            raw_code=outcome.raw_code,
            attempt_key=attempt.key,
        )
        await connection.execute(verdict.on_conflict_do_nothing())
