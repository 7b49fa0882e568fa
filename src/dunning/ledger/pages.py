"""Lists by pages for the HTTP API: each page begins after the last entry of the one before. SPEC 18.

Every query names the account: one account can never see another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, literal, select, tuple_

from dunning.domain.base import Value
from dunning.ledger.attempts import stored_attempt
from dunning.ledger.base import Part
from dunning.ledger.models import Stored, StoredAttempt, StoredNotice
from dunning.ledger.schema import attempts, commands, notices, outbox, snapshots, subscriptions
from dunning.ledger.subscriptions import stored_subscription


class Wanted(Value):
    """Which subscriptions; what is None does not matter. Instants of creation, the end not included."""

    status: str | None = None
    customer: str | None = None
    is_open: bool | None = None
    attention: bool | None = None
    created_from: datetime | None = None
    created_until: datetime | None = None


class StoredEvent(Value):
    """One event for the backend and what became of it. Instants but `created_at` are the database's clock."""

    id: str
    sequence: int
    type: str
    data: dict[str, Any]
    created_at: datetime
    delivered_at: datetime | None
    undelivered_at: datetime | None
    tries: int
    last_error: str | None


class StoredCommand(Value):
    """A command that was carried out or waits; `result` is None until there is a final one."""

    command_id: str
    subscription: str
    name: str
    command: dict[str, Any]
    result: dict[str, Any] | None
    recorded_at: datetime


class Pages(Part):
    """Reading in parts, in an order that never changes."""

    async def page_of_subscriptions(
        self, account: str, wanted: Wanted, *, after: str | None, limit: int
    ) -> list[Stored]:
        """Subscriptions by id, with their snapshots."""
        query = (
            select(subscriptions, snapshots.c.state)
            .select_from(subscriptions.outerjoin(snapshots, _latest_snapshot()))
            .where(subscriptions.c.account == account, *_conditions(wanted))
            .order_by(subscriptions.c.id)
            .limit(limit)
        )
        if after is not None:
            query = query.where(subscriptions.c.id > after)
        async with self._begin() as connection:
            return [stored_subscription(row, row.state) for row in await connection.execute(query)]

    async def page_of_attempts(
        self, account: str, subscription: str, *, after: Sequence[Any] | None, limit: int
    ) -> list[StoredAttempt]:
        """Attempts by generation and planned instant, oldest first."""
        order = (attempts.c.generation, attempts.c.planned_at, attempts.c.key)
        query = _page(attempts, order, (account, subscription), after=after, limit=limit)
        async with self._begin() as connection:
            return [stored_attempt(row) for row in await connection.execute(query)]

    async def page_of_notices(
        self, account: str, subscription: str, *, after: Sequence[Any] | None, limit: int
    ) -> list[StoredNotice]:
        """Notices by planned instant."""
        order = (notices.c.planned_at, notices.c.key, notices.c.channel)
        query = _page(notices, order, (account, subscription), after=after, limit=limit)
        names = StoredNotice.model_fields
        async with self._begin() as connection:
            rows = (await connection.execute(query)).all()
        return [StoredNotice(**{name: getattr(row, name) for name in names}) for row in rows]

    async def page_of_events(
        self, account: str, subscription: str, *, after: Sequence[Any] | None, limit: int
    ) -> list[StoredEvent]:
        """Events by sequence number."""
        query = _page(outbox, (outbox.c.sequence,), (account, subscription), after=after, limit=limit)
        names = StoredEvent.model_fields
        async with self._begin() as connection:
            rows = (await connection.execute(query)).all()
        return [StoredEvent(**{name: getattr(row, name) for name in names}) for row in rows]

    async def stored_command(self, account: str, command_id: str) -> StoredCommand | None:
        """A command by its id, whichever subscription of the account it was for."""
        query = select(commands).where(commands.c.account == account, commands.c.command_id == command_id)
        async with self._begin() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        return StoredCommand(**{name: getattr(row, name) for name in StoredCommand.model_fields})


def _latest_snapshot() -> ColumnElement[bool]:
    return and_(
        snapshots.c.account == subscriptions.c.account,
        snapshots.c.subscription == subscriptions.c.id,
        snapshots.c.generation == subscriptions.c.generation,
    )


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    table = subscriptions.c
    found: list[ColumnElement[bool]] = []
    if wanted.status is not None:
        found.append(table.status == wanted.status)
    if wanted.customer is not None:
        found.append(table.customer_id == wanted.customer)
    if wanted.is_open is not None:
        found.append(table.is_open.is_(wanted.is_open))
    if wanted.created_from is not None:
        found.append(table.created_at >= wanted.created_from)
    if wanted.created_until is not None:
        found.append(table.created_at < wanted.created_until)
    if wanted.attention is not None:
        raised = func.coalesce(func.jsonb_array_length(snapshots.c.state["attention"]), 0)
        found.append(raised > 0 if wanted.attention else raised == 0)
    return found


def _page(
    table: Any, order: Sequence[Any], whose: tuple[str, str], *, after: Sequence[Any] | None, limit: int
) -> Select[Any]:
    account, subscription = whose
    query = select(table).where(table.c.account == account, table.c.subscription == subscription)
    if after is not None:
        given = [literal(value, column.type) for value, column in zip(after, order, strict=True)]
        query = query.where(tuple_(*order) > tuple_(*given))
    return query.order_by(*order).limit(limit)
