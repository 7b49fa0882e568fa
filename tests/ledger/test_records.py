"""What follows from a step is written once, in order, and the snapshot never goes back. SPEC 8, 10."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from dunning.domain.messages import EventDraft, EventType, NoticeStatus, PlannedNotice
from dunning.domain.terms import Channel, Occasion
from dunning.errors import Conflict, NotFound
from dunning.ledger.models import Record
from dunning.ledger.notices import NoticeToClaim
from tests.builders import subscription
from tests.ledger.till import AT, PAID, Till, charge

pytestmark = pytest.mark.server


def event(number: int) -> EventDraft:
    data = {"cycle": number, "due_at": AT.isoformat(), "amount": 100_000, "currency": "IDR"}
    return EventDraft(type=EventType.CYCLE_CREATED, at=AT, data=data)


def record(revision: int, **changes: Any) -> Record:
    values = {"status": "active", "is_open": True, "snapshot": {"revision": revision}, **changes}
    return Record(
        account="demo",
        subscription=values.pop("subscription", "sub-1"),
        generation=values.pop("generation", 1),
        revision=revision,
        **values,
    )


def notice(**changes: Any) -> PlannedNotice:
    values = {"occasion": Occasion.FAILED, "channels": (Channel.EMAIL, Channel.WHATSAPP), "at": AT, **changes}
    return PlannedNotice(key="1/1/1/failed", because="declined", **values)


async def created(till: Till, **changes: Any) -> Any:
    restart = changes.pop("restart", False)
    return await till.ledger.create_subscription(subscription(**changes), now=AT, restart=restart)


async def test_recording_again_changes_nothing(till: Till) -> None:
    one = record(1, events=(event(1), event(2)), notices=(notice(),))
    for _ in range(3):
        await till.ledger.record(one)
    assert [sequence for sequence, _ in await till.events()] == [1, 2]
    assert len(await till.ledger.notices_of("demo", "sub-1")) == 2


async def test_the_same_record_from_two_workers_at_once_is_written_once_and_fails_for_neither(till: Till) -> None:
    for revision in range(1, 6):
        one = record(revision, events=(event(1), event(2)))
        await asyncio.gather(*(till.ledger.record(one) for _ in range(8)))
    assert [sequence for sequence, _ in await till.events()] == list(range(1, 11))


async def test_a_record_carried_by_an_admission_is_the_same_record(till: Till) -> None:
    one = record(1, events=(event(1),))
    await till.claim(charge(carry=one))
    await till.ledger.record(one)
    assert len(await till.events()) == 1


async def test_sequences_have_no_gaps_however_many_write_at_once(till: Till) -> None:
    claim = await till.send(charge())
    writers = [till.ledger.record(record(n, events=(event(n),))) for n in range(1, 31)]
    await asyncio.gather(*writers, till.ledger.settle(claim.key, PAID))
    assert [sequence for sequence, _ in await till.events()] == list(range(1, 32))


async def test_an_admission_that_waits_for_its_row_holds_up_no_other_writer_of_the_subscription(till: Till) -> None:
    claim = await till.send(charge(carry=record(1, events=(event(1),))))
    async with await psycopg.AsyncConnection.connect(till.url) as other:
        await other.execute("select key from attempts where key = %s for update", (claim.key,))
        waiting = asyncio.create_task(till.refusal(charge(carry=record(2, events=(event(2),)))))
        blocked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
        async with asyncio.timeout(10):
            while await till.sql(blocked) == [(0,)]:
                pass
            # A settlement locks the row and then the counter: the other order would be a deadlock.
            await till.ledger.record(record(3, events=(event(3),)))
    await waiting
    assert [sequence for sequence, _ in await till.events()] == [1, 2, 3]


async def test_a_failed_transaction_uses_no_sequence_number(till: Till) -> None:
    bad = record(1, events=(event(1), EventDraft(type=EventType.ENDED, at=AT, data={"x": "\0"})))
    with pytest.raises(Exception, match=r"\\u0000|NUL"):
        await till.ledger.record(bad)
    await till.ledger.record(record(2, events=(event(2),)))
    assert [sequence for sequence, _ in await till.events()] == [1]


async def test_the_snapshot_and_its_mirror_never_go_back(till: Till) -> None:
    await created(till)
    await till.ledger.record(record(5, status="active"))
    await till.ledger.record(record(4, status="requires_action"))
    found = await till.ledger.read_subscription("demo", "sub-1")
    assert (found.snapshot, found.status) == ({"revision": 5}, "active")


async def test_a_late_record_of_an_earlier_generation_moves_nothing(till: Till) -> None:
    await created(till)
    await till.ledger.record(record(9, status="failed", is_open=False))
    assert (await created(till, restart=True)).generation == 2
    await till.ledger.record(record(1, generation=2, status="active"))
    await till.ledger.record(record(10, status="failed", is_open=False))
    found = await till.ledger.read_subscription("demo", "sub-1")
    assert (found.generation, found.status, found.is_open) == (2, "active", True)
    assert found.snapshot == {"revision": 1}


async def test_what_is_sent_is_not_dropped_by_a_later_step(till: Till) -> None:
    await till.ledger.record(record(1, notices=(notice(),)))
    asked = NoticeToClaim(
        account="demo", subscription="sub-1", key="1/1/1/failed", channel="EMAIL", customer="cust-1",
        occasion="failed", planned_at=AT, because="declined", business_at=AT,
    )  # fmt: skip
    assert (await till.ledger.claim_notice(asked)).is_ours
    await till.ledger.record(record(2, notices=(notice(status=NoticeStatus.DROPPED, outcome="paid"),)))
    found = {n.channel: n.status for n in await till.ledger.notices_of("demo", "sub-1")}
    assert found == {"EMAIL": "sending", "WHATSAPP": "dropped"}


async def test_creating_again_with_the_same_terms_is_the_same_subscription(till: Till) -> None:
    found = await asyncio.gather(*(created(till) for _ in range(6)))
    assert sorted((c.generation, c.is_new) for c in found) == [(1, False)] * 5 + [(1, True)]
    assert (await till.ledger.contacts("demo", "cust-1")).email == "ayu@example.com"


async def test_creating_again_with_other_terms_is_a_conflict(till: Till) -> None:
    await created(till)
    with pytest.raises(Conflict):
        await created(till, description="Another plan")


@pytest.mark.parametrize(("status", "is_allowed"), [("failed", True), ("inactive", True), ("active", False)])
async def test_only_a_failed_or_inactive_subscription_begins_anew(till: Till, status: str, is_allowed: bool) -> None:
    await created(till)
    await till.ledger.record(record(1, status=status, is_open=status == "active"))
    if is_allowed:
        assert (await created(till, restart=True)).generation == 2
        assert await till.ledger.open_subscriptions("demo") == [("sub-1", 2)]
    else:
        with pytest.raises(Conflict):
            await created(till, restart=True)


async def test_a_subscription_is_found_by_the_providers_reference(till: Till) -> None:
    await created(till)
    await till.ledger.set_reference("demo", "sub-1", "sub_new")
    assert await till.ledger.find_subscription("demo", "sub_new") == "sub-1"
    assert await till.ledger.find_subscription("other", "sub_new") is None
    with pytest.raises(NotFound):
        await till.ledger.read_subscription("demo", "nobody")


async def test_steps_that_are_recorded_together_after_a_lost_task_give_the_events_that_they_gave_apart(
    till: Till,
) -> None:
    """The task that recorded the first step alone never reached the server; its repeat takes both steps in at once."""
    first, second = event(1).but(key="1.0"), event(2).but(key="2.0")
    await till.ledger.record(record(1, events=(first,)))
    await till.ledger.record(record(2, events=(first, second)))
    assert [sequence for sequence, _ in await till.events()] == [1, 2]
