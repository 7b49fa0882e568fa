"""How much may be under way: one charge per customer, so many per account, so many requests a second.

SPEC 14. Only live leases hold slots; what is pending or unknown blocks its own obligation alone. Throttling
uses no rung.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import Field
from sqlalchemy import and_, select, update
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


async def lock_account(connection: AsyncConnection, account: str, limits: Limits) -> None:
    """The account's gate, locked until the transaction ends."""
    gate = insert(account_gates).values(account=account, tokens=limits.burst, refilled_at=func.clock_timestamp())
    await connection.execute(gate.on_conflict_do_nothing())
    await connection.execute(
        select(account_gates.c.account).where(account_gates.c.account == account).with_for_update()
    )


async def lock_customer(connection: AsyncConnection, account: str, customer: str) -> None:
    """The customer's gate, locked until the transaction ends; always after the account's."""
    gate = insert(customer_gates).values(account=account, customer_id=customer)
    await connection.execute(gate.on_conflict_do_nothing())
    found = and_(customer_gates.c.account == account, customer_gates.c.customer_id == customer)
    await connection.execute(select(customer_gates.c.account).where(found).with_for_update())


async def free_slot(
    connection: AsyncConnection, request: ChargeInput, limits: Limits, now: datetime
) -> tuple[datetime, str] | None:
    """None when the charge may go, its request taken from the bucket; else when to ask again, and why."""
    live = select(attempts.c.customer_id, attempts.c.lease_until).where(
        attempts.c.account == request.account,
        attempts.c.status.in_(("started", "sent")),
        attempts.c.lease_until > now,
        attempts.c.key != request.attempt.key,
    )
    holders = (await connection.execute(live)).all()
    of_customer = [h.lease_until for h in holders if h.customer_id == request.customer]
    if of_customer:
        return min([*of_customer, now + _ASK_AGAIN]), "another charge of this customer is under way"
    if len(holders) >= limits.max_in_flight:
        until = min([h.lease_until for h in holders] + [now + _ASK_AGAIN])
        return until, f"{len(holders)} charges of the account are under way, as many as it may have"
    return await _take_token(connection, request.account, limits, now)


_ASK_AGAIN = timedelta(seconds=5)
"""A holder usually ends long before its lease does."""


async def _take_token(
    connection: AsyncConnection, account: str, limits: Limits, now: datetime
) -> tuple[datetime, str] | None:
    gate = (await connection.execute(select(account_gates).where(account_gates.c.account == account))).one()
    elapsed = max(0.0, (now - gate.refilled_at).total_seconds())
    tokens = min(limits.burst, gate.tokens + elapsed * limits.requests_per_second)
    if tokens < 1.0:
        wait = timedelta(seconds=(1.0 - tokens) / limits.requests_per_second)
        return now + wait, f"the account sends {limits.requests_per_second:g} requests a second at most"
    spent = update(account_gates).where(account_gates.c.account == account)
    await connection.execute(spent.values(tokens=tokens - 1.0, refilled_at=now))
    return None
