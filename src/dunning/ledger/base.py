"""What the parts of the ledger share: the engine, and transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import DateTime, Insert, Integer, Text, bindparam, column, exists, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import func

from dunning.ledger.schema import outbox, sequences
from dunning.ledger.trips import Call, Rows, Statement, lone_trip, trip

_shared: ContextVar[AsyncConnection | None] = ContextVar("shared_transaction", default=None)


class Part:
    """One part of the ledger; all of them share an engine."""

    _engine: AsyncEngine

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[AsyncConnection]:
        shared = _shared.get()
        if shared is not None:
            yield shared
            return
        async with self._engine.begin() as connection:
            yield connection

    async def _finish(self, connection: AsyncConnection, *calls: Call) -> list[Rows]:
        """The last round trip of a method: the commit goes with it, unless the transaction is a shared one."""
        return await trip(connection, *calls, commit=_shared.get() is None)

    async def _at_once(self, *calls: Call) -> list[Rows]:
        """A method that is one round trip."""
        shared = _shared.get()
        if shared is not None:
            return await trip(shared, *calls)
        async with self._engine.connect() as connection:
            return await lone_trip(connection, *calls)

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
    calls = event_calls(account, subscription, [NewEvent(event_id, type_, at, data)])
    *_, written = await trip(connection, *calls)
    return len(written) == 1


def event_calls(account: str, subscription: str, events: Sequence[NewEvent]) -> tuple[Call, ...]:
    """Write events with the next sequence numbers of their subscription; known ones are left as they are.

    The counter's row is locked first: two workers with the same event wait for each other, and the one that comes
    second sees it. That is why these are two statements: the second one looks after the lock is ours.
    """
    if not events:
        return ()
    rows = [
        {"place": place, "id": e.id, "type": e.type, "data": e.data, "created_at": e.at.isoformat()}
        for place, e in enumerate(events)
    ]
    whose = {"whose_account": account, "whose": subscription}
    return _LOCK_COUNTER(**whose), _APPEND(**whose, events=rows)


def _append() -> Insert:
    """Those events that are new, numbered on from the counter, which moves by as many: no number is left out."""
    whose_account, whose = bindparam("whose_account", type_=Text), bindparam("whose", type_=Text)
    given = (
        func.jsonb_to_recordset(bindparam("events", type_=JSONB))
        .table_valued(
            column("place", Integer),
            column("id", Text),
            column("type", Text),
            column("data", JSONB),
            column("created_at", DateTime(timezone=True)),
            name="given",
        )
        .render_derived(with_types=True)
    )
    step = func.row_number().over(order_by=given.c.place).label("step")
    is_known = exists(select(outbox.c.id).where(outbox.c.id == given.c.id))
    new = select(given.c.id, given.c.type, given.c.data, given.c.created_at, step).where(~is_known).cte("new")
    how_many = select(func.count()).select_from(new).scalar_subquery()
    counted = (
        update(sequences)
        .where(sequences.c.account == whose_account, sequences.c.subscription == whose)
        .values(last=sequences.c.last + how_many)
        .returning((sequences.c.last - how_many).label("before"))
        .cte("counted")
    )
    rows = select(
        new.c.id, whose_account, whose, counted.c.before + new.c.step, new.c.type, new.c.data, new.c.created_at
    )
    names = ["id", "account", "subscription", "sequence", "type", "data", "created_at"]
    return insert(outbox).from_select(names, rows, include_defaults=False).returning(outbox.c.id)


_LOCK_COUNTER = Statement(
    insert(sequences)
    .values(account=bindparam("whose_account"), subscription=bindparam("whose"), last=0)
    .on_conflict_do_update(index_elements=["account", "subscription"], set_={"last": sequences.c.last})
)
_APPEND = Statement(_append())
