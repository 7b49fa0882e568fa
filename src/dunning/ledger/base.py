"""What the parts of the ledger share: the engine, and transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import func

from dunning.ledger.schema import outbox, sequences

_shared: ContextVar[AsyncConnection | None] = ContextVar("shared_transaction", default=None)


class Part:
    """One part of the ledger; all of them share an engine."""

    _engine: AsyncEngine

    _single: AsyncEngine
    """The same engine and the same connections, every statement on its own."""

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncConnection]:
        shared = _shared.get()
        if shared is not None:
            yield shared
            return
        async with self._engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def _once(self) -> AsyncIterator[AsyncConnection]:
        """For one statement, which is whole by itself: no round trips for the start and the end of a transaction."""
        shared = _shared.get()
        if shared is not None:
            yield shared
            return
        async with self._single.connect() as connection:
            yield connection

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """All that this task asks of the ledger inside the block is one transaction: one commit, or nothing at all."""
        async with self._engine.begin() as connection:
            before = _shared.set(connection)
            try:
                yield
            finally:
                _shared.reset(before)


async def machine_now(connection: AsyncConnection) -> datetime:
    """The database's clock: leases, rate limits and delivery are counted by it. SPEC 13."""
    now: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return now


# A statement that every charge sends is built once, here and in the files beside this one: building it anew each time
# costs about half of what sending it does.


class NewEvent(NamedTuple):
    """An event that has no sequence number yet. `id` follows from what happened, so that it is written once."""

    id: str
    type: str
    at: datetime
    data: dict[str, Any]


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
    """Write one event with the next sequence number of its subscription; a known id is written once."""
    event = NewEvent(event_id, type_, at, data)
    return await append_events(connection, account=account, subscription=subscription, events=[event]) == 1


async def append_events(
    connection: AsyncConnection, *, account: str, subscription: str, events: Sequence[NewEvent]
) -> int:
    """Write events with the next sequence numbers of their subscription; how many of them were new.

    The counter's row is locked first: two workers with the same event wait for each other instead of failing.
    """
    if not events:
        return 0
    key = {"account": account, "subscription": subscription}
    last = (await connection.execute(_COUNT_ON, {**key, "last": len(events)})).scalar_one() - len(events)
    known = set(await connection.scalars(_KNOWN, {"ids": [event.id for event in events]}))
    new = [event for event in events if event.id not in known]
    if known:
        await connection.execute(_COUNT_TO, {"of": account, "whose": subscription, "last": last + len(new)})
    rows = [
        {"id": e.id, **key, "sequence": number, "type": e.type, "data": e.data, "created_at": e.at}
        for number, e in enumerate(new, start=last + 1)
    ]
    if rows:
        await connection.execute(_APPEND, rows)
    return len(rows)


_counter = insert(sequences)
_COUNT_ON = _counter.on_conflict_do_update(
    index_elements=["account", "subscription"], set_={"last": sequences.c.last + _counter.excluded.last}
).returning(sequences.c.last)
"""Make or lock the counter's row, and take so many numbers, in one round trip."""

_COUNT_TO = update(sequences).where(
    sequences.c.account == bindparam("of"), sequences.c.subscription == bindparam("whose")
)
"""Give back the numbers of events that were written before."""

_KNOWN = select(outbox.c.id).where(outbox.c.id.in_(bindparam("ids", expanding=True)))
_APPEND = insert(outbox)
