"""What follows from a step of the state, in one transaction, once. SPEC 10."""

from __future__ import annotations

import hashlib

from sqlalchemy import Update, and_, bindparam, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import func

from dunning.domain.messages import EventDraft, NoticeStatus, PlannedNotice
from dunning.ledger.base import NewEvent, Part, append_events
from dunning.ledger.followed import write_followed
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
    events = [NewEvent(_event_id(record, e, n), e.type.value, e.at, e.data) for n, e in enumerate(record.events)]
    await append_events(connection, account=record.account, subscription=record.subscription, events=events)
    for notice in record.notices:
        await _write_notice(connection, record, notice)
    for result in record.command_results:
        answered = and_(commands.c.account == record.account, commands.c.command_id == result.command_id)
        await connection.execute(
            update(commands).where(answered, commands.c.result.is_(None)).values(result=result.model_dump(mode="json"))
        )
    if record.followed:
        await write_followed(connection, record)
    await _write_snapshot(connection, record)


def _event_id(record: Record, event: EventDraft, index: int) -> str:
    """Derived from the step that the event follows from.

    Not from the record: a workflow task that was lost is done again with the facts that came meanwhile, and then one
    record holds what were two.
    """
    place = (event.key,) if event.key is not None else (str(record.revision), str(index))
    parts = (record.account, record.subscription, str(record.generation), *place)
    return "evt_" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


async def _write_snapshot(connection: AsyncConnection, record: Record) -> None:
    given = {
        "new_account": record.account,
        "new_subscription": record.subscription,
        "new_generation": record.generation,
        "new_revision": record.revision,
        "new_state": record.snapshot,
        "new_status": record.status,
        "new_is_open": record.is_open,
        "new_reference": record.reference,
    }
    await connection.execute(_SNAPSHOT, given)


def _snapshot() -> Update:
    """The snapshot where it is newer, and then its mirror in the subscription's row too: one statement."""
    new = insert(snapshots).values({name: bindparam(f"new_{name}") for name in _SNAPSHOT_COLUMNS})
    is_newer = tuple_(snapshots.c.generation, snapshots.c.revision) < tuple_(
        new.excluded.generation, new.excluded.revision
    )
    written = (
        new.on_conflict_do_update(
            index_elements=["account", "subscription"],
            set_={name: new.excluded[name] for name in ("generation", "revision", "state")},
            where=is_newer,
        )
        .returning(snapshots.c.account, snapshots.c.subscription, snapshots.c.generation)
        .cte("written")
    )
    return (
        update(subscriptions)
        .where(
            subscriptions.c.account == written.c.account,
            subscriptions.c.id == written.c.subscription,
            subscriptions.c.generation == written.c.generation,
        )
        .values(
            status=bindparam("new_status"),
            is_open=bindparam("new_is_open"),
            reference=func.coalesce(bindparam("new_reference"), subscriptions.c.reference),
        )
    )


_SNAPSHOT_COLUMNS = ("account", "subscription", "generation", "revision", "state")
_SNAPSHOT = _snapshot()


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
