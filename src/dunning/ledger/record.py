"""What follows from a step of the state, in one transaction, once. SPEC 10."""

from __future__ import annotations

import hashlib

from sqlalchemy import and_, or_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from dunning.domain.messages import NoticeStatus, PlannedNotice
from dunning.ledger.base import Part, append_event
from dunning.ledger.models import Record
from dunning.ledger.schema import commands, notices, snapshots, subscriptions


class Records(Part):
    """Writing what the state says."""

    async def record(self, record: Record) -> None:
        """Write events, notices, command results, the snapshot and its mirror; again changes nothing."""
        async with self._begin() as connection:
            await write_record(connection, record)


async def write_record(connection: AsyncConnection, record: Record) -> None:
    """The same inside a transaction that is open already."""
    for index, event in enumerate(record.events):
        await append_event(
            connection,
            account=record.account,
            subscription=record.subscription,
            event_id=_event_id(record, index),
            type_=event.type.value,
            at=event.at,
            data=event.data,
        )
    for notice in record.notices:
        await _write_notice(connection, record, notice)
    for result in record.command_results:
        answered = and_(commands.c.account == record.account, commands.c.command_id == result.command_id)
        await connection.execute(
            update(commands).where(answered, commands.c.result.is_(None)).values(result=result.model_dump(mode="json"))
        )
    await _write_snapshot(connection, record)


def _event_id(record: Record, index: int) -> str:
    parts = (record.account, record.subscription, str(record.generation), str(record.revision), str(index))
    return "evt_" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


async def _write_snapshot(connection: AsyncConnection, record: Record) -> None:
    values = {"generation": record.generation, "revision": record.revision, "state": record.snapshot}
    upsert = insert(snapshots).values(account=record.account, subscription=record.subscription, **values)
    is_newer = or_(
        snapshots.c.generation < record.generation,
        and_(snapshots.c.generation == record.generation, snapshots.c.revision < record.revision),
    )
    upsert = upsert.on_conflict_do_update(index_elements=["account", "subscription"], set_=values, where=is_newer)
    written = await connection.execute(upsert.returning(snapshots.c.revision))
    if written.first() is None:
        return
    mirror = {"status": record.status, "is_open": record.is_open}
    if record.reference is not None:
        mirror["reference"] = record.reference
    ours = and_(
        subscriptions.c.account == record.account,
        subscriptions.c.id == record.subscription,
        subscriptions.c.generation == record.generation,
    )
    await connection.execute(update(subscriptions).where(ours).values(**mirror))


async def _write_notice(connection: AsyncConnection, record: Record, notice: PlannedNotice) -> None:
    """One row for each channel. Only what is still planned is moved or dropped; sending owns its rows."""
    status = "dropped" if notice.status is NoticeStatus.DROPPED else "planned"
    for channel in notice.channels:
        values = {
            "planned_at": notice.at,
            "status": status,
            "because": notice.because,
            "outcome": notice.outcome,
        }
        upsert = insert(notices).values(
            account=record.account,
            subscription=record.subscription,
            key=notice.key,
            channel=channel.value,
            occasion=notice.occasion.value,
            **values,
        )
        upsert = upsert.on_conflict_do_update(
            index_elements=["account", "subscription", "key", "channel"],
            set_=values,
            where=notices.c.status == "planned",
        )
        await connection.execute(upsert)
