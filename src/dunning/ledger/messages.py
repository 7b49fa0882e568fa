"""What comes in: commands and the provider's messages. Events: `dunning.ledger.outbox`, notices: `.notices`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import func

from dunning.domain.commands import CommandResult
from dunning.ledger.base import Part
from dunning.ledger.models import Begun, InboxRow, NewMessage
from dunning.ledger.schema import commands, inbox
from dunning.ledger.trips import Statement


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

    async def conclude_command(self, account: str, result: CommandResult) -> None:
        """Write the final result of a command down; the first one stays."""
        known = and_(commands.c.account == account, commands.c.command_id == result.command_id)
        first = update(commands).where(known, commands.c.result.is_(None))
        async with self._begin() as connection:
            await connection.execute(first.values(result=result.model_dump(mode="json")))

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

    async def receive_many(self, messages: Sequence[NewMessage]) -> set[tuple[str, str]]:
        """Store messages as they came, all of them or none, by one statement; which of them were new.

        They are settled later: `dunning.ledger.settlements`.
        """
        rows = f"[{','.join(one.as_json() for one in messages)}]"
        [stored] = await self._at_once(_RECEIVE(rows=rows))
        return {(row.account, row.message_id) for row in stored}

    async def count_waiting(self, limit: int = 100) -> int:
        """How many messages wait to be settled or signalled; counts no further than `limit`."""
        waiting = select(inbox.c.id).where(inbox.c.signalled_at.is_(None)).limit(limit).subquery()
        async with self._begin() as connection:
            return (await connection.execute(select(func.count()).select_from(waiting))).scalar_one()

    @asynccontextmanager
    async def unsignalled(self, limit: int = 50) -> AsyncIterator[Signalling]:
        """Rows to signal, oldest first, locked against other processes while the block runs.

        Rows for which `done` is called leave the queue when the block ends.
        """
        query = (
            select(inbox)
            .where(inbox.c.signalled_at.is_(None), inbox.c.to_settle.is_(None))
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
        async with self._begin() as connection:
            row = _is(account, message_id)
            await connection.execute(update(inbox).where(row).values(signalled_at=func.clock_timestamp()))

    async def last_message_at(self, account: str) -> datetime | None:
        """When the account's latest message arrived (machine clock)."""
        query = select(func.max(inbox.c.received_at)).where(inbox.c.account == account)
        async with self._begin() as connection:
            found: datetime | None = (await connection.execute(query)).scalar_one()
        return found


def _is(account: str, message_id: str) -> ColumnElement[bool]:
    return and_(inbox.c.account == account, inbox.c.message_id == message_id)


_RECEIVE = Statement(
    text(
        "insert into inbox (account, message_id, kind, raw_type, reference, fact, to_settle)"
        " select account, message_id, kind, raw_type, reference, fact, to_settle"
        " from rows from (jsonb_to_recordset(cast(:rows as jsonb)) as (account text, message_id text, kind text,"
        " raw_type text, reference text, fact jsonb, to_settle jsonb)) with ordinality as"
        " given (account, message_id, kind, raw_type, reference, fact, to_settle, place)"
        " order by place on conflict do nothing returning account, message_id"
    )
)
"""One statement, however many there are; the rows keep the order in which they came."""


class Signalling(list[InboxRow]):
    """Claimed inbox rows; `done(row)` takes one out of the queue when the block ends."""

    def __init__(self, rows: list[InboxRow], done: list[int]) -> None:
        super().__init__(rows)
        self._done = done

    def done(self, row: InboxRow) -> None:
        """The row was signalled."""
        self._done.append(row.id)
