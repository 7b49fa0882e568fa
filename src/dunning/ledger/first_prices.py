"""Rows of attempts that the customer pays on the mandate's own page. SPEC 12, 13."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import func

from dunning.domain.attempts import Trigger
from dunning.domain.first_price import FirstPrice
from dunning.domain.page import ON_PAGE
from dunning.errors import Conflict
from dunning.ledger.base import Part
from dunning.ledger.followed import write_followed
from dunning.ledger.models import ChargeInput
from dunning.ledger.record import record_calls
from dunning.ledger.schema import attempts


class FirstPrices(Part):
    """An attempt whose sender is the customer: its row is never claimed, only looked up and settled."""

    async def open_first_price(
        self,
        first: FirstPrice,
        *,
        account: str,
        subscription: str,
        generation: int,
        customer: str,
        business_at: datetime,
    ) -> None:
        """Write the row before the page exists; again, it changes nothing.

        It stands as sent and unclear from the start, so whoever finds it looks it up and never sends.

        Raises:
            Conflict: the key stands for another price.
        """
        values = {
            "key": first.key,
            "account": account,
            "subscription": subscription,
            "generation": generation,
            "obligation": first.obligation,
            "number": 1,
            "customer_id": customer,
            "amount": first.amount,
            "currency": first.currency,
            "method": ON_PAGE,
            "trigger": Trigger.DUE.value,
            "planned_at": first.planned_at,
            "business_at": business_at,
            "status": "unknown",
            "owner": "",
            "epoch": 0,
        }
        now = func.statement_timestamp()
        opening = insert(attempts).values(**values, lease_until=now, first_sent_at=now, sent_at=now)
        async with self._begin() as connection:
            await connection.execute(opening.on_conflict_do_nothing(index_elements=["key"]))
            found = select(attempts.c.amount, attempts.c.currency).where(attempts.c.key == first.key)
            row = (await connection.execute(found)).one()
        asked, stored = (first.amount, first.currency), (row.amount, row.currency)
        if asked != stored:
            raise Conflict(f"attempt {first.key}: {asked} differs from {stored}, which this key stands for")

    async def take_first_price(self, request: ChargeInput) -> None:
        """The mandate stands: the row learns its method, and what goes before it is recorded. One transaction."""
        waiting = (attempts.c.key == request.attempt.key) & (attempts.c.method == ON_PAGE)
        async with self._begin() as connection:
            await connection.execute(update(attempts).where(waiting).values(method=request.attempt.method))
            if request.carry is not None:
                await write_followed(connection, request.carry)
                await self._finish(connection, *record_calls(request.carry))
