"""What follows from a step of the state, in one transaction, once. SPEC 10."""

from __future__ import annotations

import hashlib

from sqlalchemy import Update, bindparam, tuple_, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.sql import func

from dunning.domain.commands import CommandResult
from dunning.domain.messages import EventDraft, NoticeStatus, PlannedNotice
from dunning.ledger.base import NewEvent, Part, event_calls
from dunning.ledger.followed import write_followed
from dunning.ledger.models import Record
from dunning.ledger.schema import commands, notices, snapshots, subscriptions
from dunning.ledger.trips import Call, Statement


class Records(Part):
    """Writing what the state says."""

    async def record(self, record: Record) -> None:
        """Write events, notices, command results, the snapshot and its mirror; again changes nothing."""
        if not record.followed:
            await self._at_once(*record_calls(record))
            return
        async with self._begin() as connection:
            await write_followed(connection, record)
            await self._finish(connection, *record_calls(record))


def record_calls(record: Record) -> list[Call]:
    """All of a record but the tries that the provider made by itself (`write_followed`)."""
    events = [NewEvent(_event_id(record, e, n), e.type.value, e.at, e.data) for n, e in enumerate(record.events)]
    return [
        *event_calls(record.account, record.subscription, events),
        *(_notice_call(record, notice, channel.value) for notice in record.notices for channel in notice.channels),
        *(_answer_call(record, result) for result in record.command_results),
        _snapshot_call(record),
    ]


def _event_id(record: Record, event: EventDraft, index: int) -> str:
    """Derived from the step that the event follows from.

    Not from the record: a workflow task that was lost is done again with the facts that came meanwhile, and then one
    record holds what were two.
    """
    place = (event.key,) if event.key is not None else (str(record.revision), str(index))
    parts = (record.account, record.subscription, str(record.generation), *place)
    return "evt_" + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def _snapshot_call(record: Record) -> Call:
    return _SNAPSHOT(
        new_account=record.account,
        new_subscription=record.subscription,
        new_generation=record.generation,
        new_revision=record.revision,
        new_state=record.snapshot,
        new_status=record.status,
        new_is_open=record.is_open,
        new_reference=record.reference,
    )


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
_SNAPSHOT = Statement(_snapshot())


def _notice_call(record: Record, notice: PlannedNotice, channel: str) -> Call:
    """One row for each channel. Only what is still planned is moved or dropped; sending owns its rows."""
    return _NOTICE(
        new_account=record.account,
        new_subscription=record.subscription,
        new_key=notice.key,
        new_channel=channel,
        new_occasion=notice.occasion.value,
        new_planned_at=notice.at,
        new_status="dropped" if notice.status is NoticeStatus.DROPPED else "planned",
        new_because=notice.because,
        new_outcome=notice.outcome,
    )


def _notice() -> Insert:
    moved = ("planned_at", "status", "because", "outcome")
    names = ("account", "subscription", "key", "channel", "occasion", *moved)
    new = insert(notices).values({name: bindparam(f"new_{name}") for name in names})
    return new.on_conflict_do_update(
        index_elements=["account", "subscription", "key", "channel"],
        set_={name: new.excluded[name] for name in moved},
        where=notices.c.status == "planned",
    )


def _answer_call(record: Record, result: CommandResult) -> Call:
    return _ANSWER(of_account=record.account, of_command=result.command_id, new_result=result.model_dump(mode="json"))


_NOTICE = Statement(_notice())
_ANSWER = Statement(
    update(commands)
    .where(
        commands.c.account == bindparam("of_account"),
        commands.c.command_id == bindparam("of_command"),
        commands.c.result.is_(None),
    )
    .values(result=bindparam("new_result"))
)
"""The first answer stays."""
