"""How much may be under way: one charge per customer, so many per account, so many requests a second.

SPEC 14. Only live leases hold slots; what is pending or unknown blocks its own obligation alone. Throttling
uses no rung.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import Field
from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import func

from dunning.domain.base import Value
from dunning.ledger.models import ChargeInput
from dunning.ledger.schema import account_gates, attempts, customer_gates


class Limits(Value):
    """The limits of one merchant account."""

    max_in_flight: int = Field(default=10, ge=1)
    requests_per_second: float = Field(default=20.0, gt=0)

    @property
    def burst(self) -> float:
        """How many requests may leave at once after a quiet time."""
        return max(1.0, self.requests_per_second)


class Bucket(NamedTuple):
    """An account's bucket of requests as its gate held it."""

    tokens: float
    refilled_at: datetime


async def lock_account(connection: AsyncConnection, account: str, limits: Limits) -> Bucket:
    """The account's gate, locked until the transaction ends."""
    gate = await connection.execute(_ACCOUNT_GATE, {"account": account, "tokens": limits.burst})
    return Bucket(*gate.one())


async def lock_customer(connection: AsyncConnection, account: str, customer: str) -> datetime:
    """The customer's gate, locked until the transaction ends; always after the account's.

    Returns the database's clock once both are ours: leases are counted from it.
    """
    gate = await connection.execute(_CUSTOMER_GATE, {"account": account, "customer_id": customer})
    now: datetime = gate.scalar_one()
    return now


# An update that changes nothing: the row is made or locked, and read, in one round trip.
_ACCOUNT_GATE = (
    insert(account_gates)
    .values(refilled_at=func.clock_timestamp())
    .on_conflict_do_update(index_elements=["account"], set_={"tokens": account_gates.c.tokens})
    .returning(account_gates.c.tokens, account_gates.c.refilled_at)
)
_CUSTOMER_GATE = (
    insert(customer_gates)
    .on_conflict_do_update(
        index_elements=["account", "customer_id"], set_={"customer_id": customer_gates.c.customer_id}
    )
    .returning(func.clock_timestamp())
)


async def free_slot(
    connection: AsyncConnection, request: ChargeInput, limits: Limits, bucket: Bucket, now: datetime
) -> tuple[datetime, str] | None:
    """None when the charge may go, its request taken from the bucket; else when to ask again, and why."""
    asked = {"account": request.account, "now": now, "key": request.attempt.key}
    holders = (await connection.execute(_HOLDERS, asked)).all()
    of_customer = [h.lease_until for h in holders if h.customer_id == request.customer]
    if of_customer:
        return min([*of_customer, now + _ASK_AGAIN]), "another charge of this customer is under way"
    if len(holders) >= limits.max_in_flight:
        until = min([h.lease_until for h in holders] + [now + _ASK_AGAIN])
        return until, f"{len(holders)} charges of the account are under way, as many as it may have"
    return await _take_token(connection, request.account, limits, bucket, now)


_ASK_AGAIN = timedelta(seconds=5)
"""A holder usually ends long before its lease does."""


async def _take_token(
    connection: AsyncConnection, account: str, limits: Limits, bucket: Bucket, now: datetime
) -> tuple[datetime, str] | None:
    elapsed = max(0.0, (now - bucket.refilled_at).total_seconds())
    tokens = min(limits.burst, bucket.tokens + elapsed * limits.requests_per_second)
    if tokens < 1.0:
        wait = timedelta(seconds=(1.0 - tokens) / limits.requests_per_second)
        return now + wait, f"the account sends {limits.requests_per_second:g} requests a second at most"
    await connection.execute(_SPEND, {"of": account, "tokens": tokens - 1.0, "refilled_at": now})
    return None


_HOLDERS = select(attempts.c.customer_id, attempts.c.lease_until).where(
    attempts.c.account == bindparam("account"),
    attempts.c.status.in_(("started", "sent")),
    attempts.c.lease_until > bindparam("now"),
    attempts.c.key != bindparam("key"),
)
_SPEND = update(account_gates).where(account_gates.c.account == bindparam("of"))
