"""What comes in and what goes out: commands, the provider's messages, events to the backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import func

from dunning.domain.commands import CommandResult
from dunning.domain.messages import EventType
from dunning.ledger.base import Part, append_event, machine_now
from dunning.ledger.models import Begun, InboxRow, OutboxRow
from dunning.ledger.schema import commands, inbox, outbox

BACK_OFF = tuple(timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600, 7200, 14400))
"""Between deliveries of one event; the last one repeats. SPEC 10."""

GIVEN_UP_AFTER = timedelta(days=3)
"""An event that could not be delivered for so long is marked, and later ones go on. SPEC 10."""


class Commands(Part):
    """Commands by id, kept as long as an order can be refunded: for ever."""

    async def begin_command(
        self, account: str, subscription: str, *, command_id: str, name: str, command: dict[str, Any]
    ) -> Begun:
        """Write a command down before it is executed; a known id gives its first result."""
        async with self._begin() as connection:
            new = insert(commands).values(
                account=account, command_id=command_id, subscription=subscription, name=name, command=command
            )
            written = await connection.execute(new.on_conflict_do_nothing().returning(commands.c.name))
            if written.first() is not None:
                return Begun(is_new=True)
            known = and_(commands.c.account == account, commands.c.command_id == command_id)
            row = (await connection.execute(select(commands).where(known))).one()
        if (row.subscription, row.command) != (subscription, command):
            return Begun(is_new=False, is_conflict=True)
        result = CommandResult.model_validate(row.result) if row.result is not None else None
        return Begun(is_new=False, result=result)

    async def result_of(
        self, account: str, subscription: str, *, command_id: str, command: dict[str, Any]
    ) -> CommandResult | None:
        """The final result of exactly this command, if it was carried out before; writes nothing."""
        known = and_(commands.c.account == account, commands.c.command_id == command_id)
        async with self._begin() as connection:
            row = (await connection.execute(select(commands).where(known))).first()
        if row is None or row.result is None or (row.subscription, row.command) != (subscription, command):
            return None
        return CommandResult.model_validate(row.result)

    async def command_result(self, account: str, command_id: str) -> CommandResult | None:
        """The final result of a command, if there is one."""
        known = and_(commands.c.account == account, commands.c.command_id == command_id)
        async with self._begin() as connection:
            row = (await connection.execute(select(commands.c.result).where(known))).first()
        return CommandResult.model_validate(row.result) if row is not None and row.result is not None else None


class Inbox(Part):
    """Provider's messages: stored before they are acknowledged, then signalled. SPEC 15."""

    async def receive(
        self,
        account: str,
        *,
        message_id: str,
        kind: str,
        raw_type: str,
        reference: str | None,
        subscription: str | None,
        fact: dict[str, Any],
    ) -> bool:
        """Store one message; False when its id is known. Without a subscription there is nobody to signal."""
        values: dict[str, Any] = {
            "account": account,
            "message_id": message_id,
            "kind": kind,
            "raw_type": raw_type,
            "reference": reference,
            "subscription": subscription,
            "fact": fact,
        }
        if subscription is None:
            values["signalled_at"] = func.clock_timestamp()
        async with self._begin() as connection:
            new = insert(inbox).values(**values).on_conflict_do_nothing()
            return (await connection.execute(new.returning(inbox.c.id))).first() is not None

    @asynccontextmanager
    async def unsignalled(self, limit: int = 50) -> AsyncIterator[Signalling]:
        """Rows to signal, oldest first, locked against other processes while the block runs.

        Rows for which `done` is called leave the queue when the block ends.
        """
        query = (
            select(inbox)
            .where(inbox.c.signalled_at.is_(None))
            .order_by(inbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        done: list[int] = []
        async with self._begin() as connection:
            rows = [
                InboxRow(
                    id=row.id,
                    account=row.account,
                    message_id=row.message_id,
                    subscription=row.subscription,
                    fact=row.fact,
                    received_at=row.received_at,
                )
                for row in await connection.execute(query)
            ]
            claimed = Signalling(rows, done)
            yield claimed
            if done:
                signalled = update(inbox).where(inbox.c.id.in_(done))
                await connection.execute(signalled.values(signalled_at=func.clock_timestamp()))

    async def mark_signalled(self, account: str, message_id: str) -> None:
        """The workflow has it."""
        row = and_(inbox.c.account == account, inbox.c.message_id == message_id)
        async with self._begin() as connection:
            await connection.execute(update(inbox).where(row).values(signalled_at=func.clock_timestamp()))

    async def last_message_at(self, account: str) -> datetime | None:
        """When the account's latest message arrived (machine clock)."""
        query = select(func.max(inbox.c.received_at)).where(inbox.c.account == account)
        async with self._begin() as connection:
            found: datetime | None = (await connection.execute(query)).scalar_one()
        return found


class Signalling(list[InboxRow]):
    """Claimed inbox rows; `done(row)` takes one out of the queue when the block ends."""

    def __init__(self, rows: list[InboxRow], done: list[int]) -> None:
        super().__init__(rows)
        self._done = done

    def done(self, row: InboxRow) -> None:
        """The row was signalled."""
        self._done.append(row.id)


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

    async def mark_failed(self, event_id: str) -> bool:
        """The backend did not take it: later again. True when it is given up now."""
        async with self._begin() as connection:
            now = await machine_now(connection)
            row = (await connection.execute(select(outbox).where(outbox.c.id == event_id))).one()
            wait = BACK_OFF[min(row.tries, len(BACK_OFF) - 1)]
            values: dict[str, Any] = {"tries": row.tries + 1, "next_at": now + wait}
            is_given_up: bool = now - row.recorded_at >= GIVEN_UP_AFTER
            if is_given_up:
                values["undelivered_at"] = now
            await connection.execute(update(outbox).where(outbox.c.id == event_id).values(**values))
            if is_given_up and _UNDELIVERED not in row.data:
                await _tell_undelivered(connection, row, now)
        return is_given_up

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
        event_id=f"{row.id}_undelivered",
        type_=EventType.ATTENTION.value,
        at=now,
        data={
            "what": f"event {row.sequence} ({row.type}) could not be delivered for three days",
            _UNDELIVERED: row.id,
            "sequence": row.sequence,
        },
    )
