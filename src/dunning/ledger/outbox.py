"""Events for the product backend: waiting, delivered, given up, and delivered again. SPEC 10."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, func, literal, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from dunning.domain.messages import EventType
from dunning.ledger.base import Part, append_event, machine_now
from dunning.ledger.models import OutboxRow
from dunning.ledger.schema import outbox

BACK_OFF = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600, 7200, 14400))
"""Between deliveries of one event; the last one repeats. SPEC 10."""

GIVEN_UP_AFTER = timedelta(days=3)
"""An event that could not be delivered for so long is marked, and later ones go on. SPEC 10."""


class UndeliveredEvent(OutboxRow):
    """An event that the backend did not take for three days. Instants but `created_at` are the database's clock."""

    recorded_at: datetime
    undelivered_at: datetime
    last_error: str | None


class Outbox(Part):
    """Events for the product backend, in order per subscription. SPEC 10."""

    async def due_events(self, account: str, limit: int = 50) -> list[OutboxRow]:
        """The oldest waiting event of each subscription whose turn has come."""
        waiting = and_(outbox.c.delivered_at.is_(None), outbox.c.undelivered_at.is_(None))
        heads = (
            select(outbox.c.subscription, func.min(outbox.c.sequence).label("sequence"))
            .where(outbox.c.account == account, waiting)
            .group_by(outbox.c.subscription)
            .subquery()
        )
        query = (
            select(outbox)
            .join(
                heads,
                and_(outbox.c.subscription == heads.c.subscription, outbox.c.sequence == heads.c.sequence),
            )
            .where(outbox.c.account == account, outbox.c.next_at <= func.clock_timestamp())
            .order_by(outbox.c.recorded_at)
            .limit(limit)
        )
        names = OutboxRow.model_fields
        async with self._begin() as connection:
            rows = (await connection.execute(query)).all()
        return [OutboxRow(**{name: getattr(row, name) for name in names}) for row in rows]

    async def mark_delivered(self, event_id: str) -> None:
        """The backend has it."""
        async with self._begin() as connection:
            values = {"delivered_at": func.clock_timestamp(), "tries": outbox.c.tries + 1}
            await connection.execute(update(outbox).where(outbox.c.id == event_id).values(**values))

    async def mark_failed(self, event_id: str, *, because: str = "") -> bool:
        """The backend did not take it: later again. True when it is given up now."""
        async with self._begin() as connection:
            now = await machine_now(connection)
            row = (await connection.execute(select(outbox).where(outbox.c.id == event_id))).one()
            wait = BACK_OFF[min(row.tries, len(BACK_OFF) - 1)]
            values: dict[str, Any] = {"tries": row.tries + 1, "next_at": now + wait, "last_error": because or None}
            is_given_up: bool = now - row.waiting_since >= GIVEN_UP_AFTER
            if is_given_up:
                values["undelivered_at"] = now
            await connection.execute(update(outbox).where(outbox.c.id == event_id).values(**values))
            if is_given_up and _UNDELIVERED not in row.data:
                await _tell_undelivered(connection, row, now)
        return is_given_up

    async def redeliver_event(self, account: str, event_id: str) -> bool:
        """Deliver one event again, before the later ones that wait; False when the account has no such event."""
        one = and_(outbox.c.account == account, outbox.c.id == event_id)
        return await self._redeliver(one) == 1

    async def redeliver_since(
        self, account: str, since: datetime, *, subscription: str | None = None, is_undelivered: bool = False
    ) -> int:
        """Deliver again what was written since then (machine clock); returns how many events that is.

        Args:
            subscription: only this one's.
            is_undelivered: only those that were given up.
        """
        chosen = [outbox.c.account == account, outbox.c.recorded_at >= since]
        if subscription is not None:
            chosen.append(outbox.c.subscription == subscription)
        if is_undelivered:
            chosen.append(outbox.c.undelivered_at.is_not(None))
        return await self._redeliver(and_(*chosen))

    async def _redeliver(self, chosen: ColumnElement[bool]) -> int:
        # An event that waits anyway keeps its turn.
        is_over = outbox.c.delivered_at.is_not(None) | outbox.c.undelivered_at.is_not(None)
        again = {
            "delivered_at": None,
            "undelivered_at": None,
            "tries": 0,
            "next_at": func.clock_timestamp(),
            "waiting_since": func.clock_timestamp(),
        }
        async with self._begin() as connection:
            found = (await connection.execute(select(func.count()).select_from(outbox).where(chosen))).scalar_one()
            await connection.execute(update(outbox).where(chosen, is_over).values(**again))
        return int(found)

    async def page_of_undelivered(
        self, account: str, *, after: Sequence[Any] | None, limit: int
    ) -> list[UndeliveredEvent]:
        """Events that were given up, oldest first."""
        order = (outbox.c.undelivered_at, outbox.c.id)
        query = select(outbox).where(outbox.c.account == account, outbox.c.undelivered_at.is_not(None))
        if after is not None:
            given = [literal(value, column.type) for value, column in zip(after, order, strict=True)]
            query = query.where(tuple_(*order) > tuple_(*given))
        names = UndeliveredEvent.model_fields
        async with self._begin() as connection:
            rows = (await connection.execute(query.order_by(*order).limit(limit))).all()
        return [UndeliveredEvent(**{name: getattr(row, name) for name in names}) for row in rows]

    async def events_of(self, account: str, subscription: str) -> list[dict[str, Any]]:
        """Every event of a subscription, in order."""
        query = (
            select(outbox)
            .where(outbox.c.account == account, outbox.c.subscription == subscription)
            .order_by(outbox.c.sequence)
        )
        async with self._begin() as connection:
            return [dict(row._mapping) for row in await connection.execute(query)]


_UNDELIVERED = "undelivered_event"
"""Marks the event about an event that was given up; of that one nothing more is told."""


async def _tell_undelivered(connection: AsyncConnection, row: Row[Any], now: datetime) -> None:
    """Attention: the backend misses an event, as the gap in `sequence` shows. SPEC 10."""
    await append_event(
        connection,
        account=row.account,
        subscription=row.subscription,
        event_id=f"{row.id}_undelivered_{int(row.waiting_since.timestamp())}",
        type_=EventType.ATTENTION.value,
        at=now,
        data={
            "what": f"event {row.sequence} ({row.type}) could not be delivered for three days",
            _UNDELIVERED: row.id,
            "sequence": row.sequence,
        },
    )
