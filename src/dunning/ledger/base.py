"""What the parts of the ledger share: the engine, and transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import and_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import func

from dunning.ledger.schema import outbox, sequences


class Part:
    """One part of the ledger; all of them share an engine."""

    _engine: AsyncEngine

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncConnection]:
        async with self._engine.begin() as connection:
            yield connection


async def machine_now(connection: AsyncConnection) -> datetime:
    """The database's clock: leases, rate limits and delivery are counted by it. SPEC 13."""
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


async def append_event(
    connection: AsyncConnection,
    *,
    account: str,
    subscription: str,
    event_id: str,
    type_: str,
    at: datetime,
    data: dict[str, Any],
) -> bool:
    """Write one event with the next sequence number of its subscription; a known id is written once.

    The counter's row is locked first: two workers with the same event wait for each other instead of failing.
    """
    counter = and_(sequences.c.account == account, sequences.c.subscription == subscription)
    start = insert(sequences).values(account=account, subscription=subscription, last=0)
    await connection.execute(start.on_conflict_do_nothing())
    last = await connection.execute(select(sequences.c.last).where(counter).with_for_update())
    number = last.scalar_one() + 1
    known = await connection.execute(select(outbox.c.id).where(outbox.c.id == event_id))
    if known.first() is not None:
        return False
    await connection.execute(update(sequences).where(counter).values(last=number))
    await connection.execute(
        outbox.insert().values(
            id=event_id,
            account=account,
            subscription=subscription,
            sequence=number,
            type=type_,
            data=data,
            created_at=at,
        )
    )
    return True
