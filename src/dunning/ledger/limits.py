"""How much may be under way: one charge per customer, so many per account, so many requests a second.

SPEC 14. Only live leases hold slots; what is pending or unknown blocks its own obligation alone. Throttling
uses no rung.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from pydantic import Field
from sqlalchemy import bindparam, literal_column, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import func

from dunning.domain.base import Value
from dunning.ledger.models import ChargeInput
from dunning.ledger.schema import account_gates, attempts, customer_gates
from dunning.ledger.trips import Call, Statement, trip


class Limits(Value):
    """The limits of one merchant account."""

    max_in_flight: int = Field(default=10, ge=1)
    requests_per_second: float = Field(default=20.0, gt=0)

    @property
    def burst(self) -> float:
        """How many requests may leave at once after a quiet time."""
        return max(1.0, self.requests_per_second)


class Standing(NamedTuple):
    """How an account stands once its gate and the customer's are locked, by the database's clock.

    Attributes:
        tokens, refilled_at: the account's bucket of requests as its gate held it.
        now: when both gates were ours; leases are counted from it.
        held, first_free: how many other charges of the account are under way, and when the first lease ends.
        customer_free: when the lease of another charge of the same customer ends; None: there is none.
    """

    tokens: float
    refilled_at: datetime
    now: datetime
    held: int
    first_free: datetime | None
    customer_free: datetime | None


def account_gate(account: str, limits: Limits) -> Call:
    """Lock the account's gate until the transaction ends, and read its bucket."""
    return _ACCOUNT_GATE(new_account=account, new_tokens=limits.burst)


def customer_gate(account: str, customer: str) -> Call:
    """Lock the customer's gate until the transaction ends, always after the account's, and read the clock."""
    return _CUSTOMER_GATE(new_account=account, new_customer_id=customer)


def holders(request: ChargeInput) -> Call:
    """Who else holds a slot; asked once the gates are locked."""
    return _HOLDERS(account=request.account, customer=request.customer, key=request.attempt.key)


async def lock_customer(connection: AsyncConnection, account: str, customer: str) -> datetime:
    """The customer's gate by itself; returns the database's clock once it is ours."""
    [gate] = await trip(connection, customer_gate(account, customer))
    now: datetime = gate[0].now
    return now


# An update that changes nothing: the row is made or locked, and read, by one statement.
_ACCOUNT_GATE = Statement(
    insert(account_gates)
    .values(account=bindparam("new_account"), tokens=bindparam("new_tokens"), refilled_at=func.clock_timestamp())
    .on_conflict_do_update(index_elements=["account"], set_={"tokens": account_gates.c.tokens})
    .returning(account_gates.c.tokens, account_gates.c.refilled_at)
)
_CUSTOMER_GATE = Statement(
    insert(customer_gates)
    .values(account=bindparam("new_account"), customer_id=bindparam("new_customer_id"))
    .on_conflict_do_update(
        index_elements=["account", "customer_id"], set_={"customer_id": customer_gates.c.customer_id}
    )
    .returning(func.clock_timestamp().label("now"))
)


def free_slot(request: ChargeInput, limits: Limits, standing: Standing) -> Call | tuple[datetime, str]:
    """The statement that takes a request from the bucket when the charge may go; else when to ask again, and why."""
    soon = standing.now + _ASK_AGAIN
    if standing.customer_free is not None:
        return min(standing.customer_free, soon), "another charge of this customer is under way"
    if standing.held >= limits.max_in_flight:
        until = min(standing.first_free or soon, soon)
        return until, f"{standing.held} charges of the account are under way, as many as it may have"
    return _taken_token(request.account, limits, standing)


_ASK_AGAIN = timedelta(seconds=5)
"""A holder usually ends long before its lease does."""


def _taken_token(account: str, limits: Limits, standing: Standing) -> Call | tuple[datetime, str]:
    elapsed = max(0.0, (standing.now - standing.refilled_at).total_seconds())
    tokens = min(limits.burst, standing.tokens + elapsed * limits.requests_per_second)
    if tokens < 1.0:
        wait = timedelta(seconds=(1.0 - tokens) / limits.requests_per_second)
        return standing.now + wait, f"the account sends {limits.requests_per_second:g} requests a second at most"
    return _SPEND(of=account, new_tokens=tokens - 1.0, new_refilled_at=standing.now)


_HOLDERS = Statement(
    select(
        func.count().label("held"),
        func.min(attempts.c.lease_until).label("first_free"),
        func.min(attempts.c.lease_until).filter(attempts.c.customer_id == bindparam("customer")).label("customer_free"),
    ).where(
        attempts.c.account == bindparam("account"),
        # Written out, so that the server sees that the index of the rows with a slot holds all of them.
        attempts.c.status.in_([literal_column("'started'"), literal_column("'sent'")]),
        attempts.c.lease_until > func.clock_timestamp(),
        attempts.c.key != bindparam("key"),
    )
)
_SPEND = Statement(
    update(account_gates)
    .where(account_gates.c.account == bindparam("of"))
    .values(tokens=bindparam("new_tokens"), refilled_at=bindparam("new_refilled_at"))
)
