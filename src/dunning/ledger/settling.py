"""What is written when an attempt's outcome is known, or is not. SPEC 10, 13.

Everything here runs inside the transaction of its caller, which holds the attempt's row.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

from sqlalchemy import Integer, Row, Text, bindparam, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import func

from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.messages import EventType
from dunning.ledger.base import NewEvent, append_event, event_calls
from dunning.ledger.models import Claim, StoredAttempt
from dunning.ledger.schema import attempts, method_verdicts
from dunning.ledger.trips import Call, Statement, trip


def columns(outcome: Outcome) -> dict[str, Any]:
    """An outcome as columns. A payment's id that is known already is not taken away."""
    values: dict[str, Any] = {
        "outcome": outcome.model_dump(mode="json"),
        "raw_code": outcome.raw_code,
        "decline_class": outcome.klass.value if outcome.klass is not None else None,
        "rule": outcome.rule,
    }
    if outcome.provider_payment_id is not None:
        values["provider_payment_id"] = outcome.provider_payment_id
    return values


def settled(key: str, outcome: Outcome, latency_ms: int | None, method: str) -> Call:
    """What settles an attempt's row for good. The lease ends with it. `method`: what was charged."""
    values = columns(outcome)
    return _SETTLE(
        of=key,
        new_method=method,
        new_outcome=values["outcome"],
        new_raw_code=values["raw_code"],
        new_class=values["decline_class"],
        new_rule=values["rule"],
        new_payment_id=outcome.provider_payment_id,
        new_latency=latency_ms,
    )


_SETTLE = Statement(
    update(attempts)
    .where(attempts.c.key == bindparam("of"))
    .values(
        method=bindparam("new_method"),
        outcome=bindparam("new_outcome"),
        raw_code=bindparam("new_raw_code"),
        decline_class=bindparam("new_class"),
        rule=bindparam("new_rule"),
        provider_payment_id=func.coalesce(bindparam("new_payment_id", type_=Text), attempts.c.provider_payment_id),
        latency_ms=func.coalesce(bindparam("new_latency", type_=Integer), attempts.c.latency_ms),
        status="settled",
        settled_at=func.clock_timestamp(),
        lease_until=func.clock_timestamp(),
    )
)


async def unsettled(connection: AsyncConnection, row: Row[Any], outcome: Outcome, claim: Claim | None) -> Outcome:
    """Pending and unknown hold no slot: the lease ends. SPEC 13."""
    if claim is not None and (row.owner, row.epoch) != (claim.owner, claim.epoch):
        return outcome
    status = "pending" if outcome.kind is OutcomeKind.PENDING else "unknown"
    if row.status == "pending" and status == "unknown":
        return outcome
    values = {**columns(outcome), "status": status, "lease_until": func.clock_timestamp()}
    await connection.execute(update(attempts).where(attempts.c.key == row.key).values(**values))
    return outcome


async def settle_late(connection: AsyncConnection, row: Row[Any], outcome: Outcome) -> Outcome:
    """A word about a settled attempt: only a payment that was not known changes anything. SPEC 8."""
    recorded = Outcome.model_validate(row.late_outcome or row.outcome)
    if is_known(recorded, outcome):
        return recorded
    if recorded.kind is OutcomeKind.SUCCEEDED:
        await _tell_second_payment(connection, row, recorded, outcome)
        return recorded
    values: dict[str, Any] = {"late_outcome": outcome.model_dump(mode="json")}
    if outcome.provider_payment_id is not None:
        values["provider_payment_id"] = outcome.provider_payment_id
    await connection.execute(update(attempts).where(attempts.c.key == row.key).values(**values))
    await trip(connection, *payment_calls(row, outcome, is_late=True))
    return outcome


def is_known(recorded: Outcome, outcome: Outcome) -> bool:
    """Whether a word about an attempt that is settled says nothing that has to be written down."""
    if outcome.kind is not OutcomeKind.SUCCEEDED:
        return True
    if recorded.kind is not OutcomeKind.SUCCEEDED:
        return False
    one, other = recorded.provider_payment_id, outcome.provider_payment_id
    return other is None or one == other


async def condemn(connection: AsyncConnection, row: Row[Any], outcome: Outcome, method: str) -> None:
    """Never again with this method, by any subscription of that customer. SPEC 7."""
    verdict = insert(method_verdicts).values(
        account=row.account,
        customer_id=row.customer_id,
        token=method,
        raw_code=outcome.raw_code,
        attempt_key=row.key,
    )
    await connection.execute(verdict.on_conflict_do_nothing())


def payment_calls(row: Row[Any], outcome: Outcome, *, is_late: bool) -> tuple[Call, ...]:
    """`payment.*`, for the transaction that settles the attempt. SPEC 10."""
    event = payment_event(row, outcome, is_late=is_late)
    return event_calls(row.account, row.subscription, [event]) if event is not None else ()


def payment_event(row: Row[Any] | StoredAttempt, outcome: Outcome, *, is_late: bool) -> NewEvent | None:
    """What is told of an attempt that was settled; of one that was never made, nothing."""
    if outcome.kind is OutcomeKind.ABSENT:
        return None
    is_paid = outcome.kind is OutcomeKind.SUCCEEDED
    type_ = (EventType.PAYMENT_SUCCEEDED if is_paid else EventType.PAYMENT_FAILED).value
    data = {
        "obligation": row.obligation,
        "attempt": row.number,
        "trigger": row.trigger,
        "key": row.key,
        "amount": row.amount,
        "currency": row.currency,
        "payment_id": outcome.provider_payment_id or row.provider_payment_id,
        "decline_class": outcome.klass.value if outcome.klass is not None else None,
        "code": outcome.raw_code,
        "late": is_late,
    }
    return NewEvent(_event_id(row.key, type_), type_, outcome.at, data)


async def attend(
    connection: AsyncConnection, *, account: str, subscription: str, key: str, at: datetime, because: str
) -> None:
    """Tell the backend that a person should look at an attempt; the same words about it are told once."""
    await append_event(
        connection,
        account=account,
        subscription=subscription,
        event_id=_event_id(key, because),
        type_=EventType.ATTENTION.value,
        at=at,
        data={"what": because, "key": key},
    )


async def _tell_second_payment(connection: AsyncConnection, row: Row[Any], first: Outcome, second: Outcome) -> None:
    """Two payments under one key are money taken twice: never passed over in silence."""
    because = f"two payments for one attempt: {first.provider_payment_id} and {second.provider_payment_id}"
    await attend(
        connection,
        account=row.account,
        subscription=row.subscription,
        key=row.key,
        at=second.at,
        because=because,
    )


def _event_id(key: str, what: str) -> str:
    return "evt_" + hashlib.sha256(f"{key}/{what}".encode()).hexdigest()[:32]
