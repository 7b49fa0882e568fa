"""Commands, the inbox, the outbox and notices: each once, in order, and by one process. SPEC 9, 10, 11, 15."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from dunning.domain.commands import CommandResult
from dunning.ledger.notices import NoticeClaim, NoticeToClaim
from dunning.ledger.outbox import BACK_OFF
from tests.ledger.test_records import event, record
from tests.ledger.till import AT, Till

pytestmark = pytest.mark.server


async def begin(till: Till, command_id: str = "cmd-1", subscription: str = "sub-1", **command: Any) -> Any:
    return await till.ledger.begin_command(
        "demo", subscription, command_id=command_id, name="pause", command={"name": "pause", **command}
    )


async def test_a_command_begins_once_however_many_ask(till: Till) -> None:
    found = await asyncio.gather(*(begin(till) for _ in range(10)))
    assert [b.is_new for b in found].count(True) == 1


async def test_a_known_command_gives_its_first_result_for_ever(till: Till) -> None:
    await begin(till)
    first = CommandResult(command_id="cmd-1", status="done", reason="first")
    await till.ledger.record(record(1, command_results=(first,)))
    await till.ledger.record(record(2, command_results=(first.but(reason="second"),)))
    assert (await begin(till)).result == first
    assert await till.ledger.command_result("demo", "cmd-1") == first


@pytest.mark.parametrize("other", [{"subscription": "sub-2"}, {"reason": "other"}])
async def test_a_commands_id_used_for_something_else_is_a_conflict(till: Till, other: dict[str, Any]) -> None:
    await begin(till)
    assert (await begin(till, **other)).is_conflict


async def receive(till: Till, message_id: str, subscription: str | None = "sub-1") -> bool:
    return await till.ledger.receive(
        "demo", message_id=message_id, kind="payment", raw_type="payment.succeeded", reference="sub_1",
        subscription=subscription, fact={"id": message_id},
    )  # fmt: skip


async def test_a_message_delivered_ten_times_at_once_is_stored_once(till: Till) -> None:
    assert sorted(await asyncio.gather(*(receive(till, "m-1") for _ in range(10)))) == [False] * 9 + [True]


async def test_two_dispatchers_never_hold_the_same_message(till: Till) -> None:
    for n in range(4):
        await receive(till, f"m-{n}")
    async with till.ledger.unsignalled(limit=2) as one, till.ledger.unsignalled(limit=10) as two:
        assert [r.message_id for r in one] == ["m-0", "m-1"]
        assert [r.message_id for r in two] == ["m-2", "m-3"]
        for row in two:
            two.done(row)
    async with till.ledger.unsignalled() as left:
        assert [r.message_id for r in left] == ["m-0", "m-1"]


async def test_a_dispatcher_that_fails_leaves_its_messages_in_the_queue(till: Till) -> None:
    await receive(till, "m-1")

    async def fail() -> None:
        async with till.ledger.unsignalled() as rows:
            rows.done(rows[0])
            raise RuntimeError("the server is away")

    with pytest.raises(RuntimeError):
        await fail()
    assert await till.ledger.has_undrained_inbox("demo", "sub-1")
    await till.ledger.mark_signalled("demo", "m-1")
    assert not await till.ledger.has_undrained_inbox("demo", "sub-1")


async def test_a_message_for_nobody_is_kept_and_not_signalled(till: Till) -> None:
    assert await receive(till, "m-1", None)
    async with till.ledger.unsignalled() as rows:
        assert rows == []
    assert await till.ledger.last_message_at("demo") is not None


async def due(till: Till) -> list[tuple[str, int]]:
    return sorted((e.subscription, e.sequence) for e in await till.ledger.due_events("demo"))


async def test_events_go_out_in_order_and_one_at_a_time_per_subscription(till: Till) -> None:
    await till.ledger.record(record(1, events=(event(1), event(2))))
    await till.ledger.record(record(1, subscription="sub-2", events=(event(1),)))
    assert await due(till) == [("sub-1", 1), ("sub-2", 1)]
    head = next(e for e in await till.ledger.due_events("demo") if e.subscription == "sub-1")
    await till.ledger.mark_delivered(head.id)
    assert await due(till) == [("sub-1", 2), ("sub-2", 1)]


async def test_a_failed_delivery_waits_and_holds_back_its_own_subscription_alone(till: Till) -> None:
    await till.ledger.record(record(1, events=(event(1), event(2))))
    await till.ledger.record(record(1, subscription="sub-2", events=(event(1),)))
    head = next(e for e in await till.ledger.due_events("demo") if e.subscription == "sub-1")
    assert await till.ledger.mark_failed(head.id) is False
    assert await due(till) == [("sub-2", 1)]
    await till.sql("update outbox set next_at = next_at - interval '6 seconds'")
    assert await due(till) == [("sub-1", 1), ("sub-2", 1)]


async def test_the_pauses_between_deliveries_grow_and_then_stay(till: Till) -> None:
    await till.ledger.record(record(1, events=(event(1),)))
    [head] = await till.ledger.due_events("demo")
    pauses = []
    for _ in range(10):
        await till.ledger.mark_failed(head.id)
        [(seconds,)] = await till.sql("select extract(epoch from next_at - clock_timestamp()) from outbox")
        pauses.append(round(float(seconds)))
    expected = [int(one.total_seconds()) for one in BACK_OFF]
    assert pauses == [*expected, expected[-1], expected[-1]]


async def test_after_three_days_an_event_is_marked_undelivered_and_the_next_goes_on(till: Till) -> None:
    await till.ledger.record(record(1, events=(event(1), event(2))))
    [head] = await till.ledger.due_events("demo")
    await till.sql("update outbox set waiting_since = waiting_since - interval '71 hours' where sequence = 1")
    assert await till.ledger.mark_failed(head.id) is False
    await till.sql("update outbox set waiting_since = waiting_since - interval '1 hour' where sequence = 1")
    assert await till.ledger.mark_failed(head.id) is True
    assert await due(till) == [("sub-1", 2)]
    assert [type_ for _, type_ in await till.events()][2:] == ["subscription.attention"]


async def test_an_event_about_an_undelivered_one_is_followed_by_no_other(till: Till) -> None:
    await till.ledger.record(record(1, events=(event(1),)))
    for _ in range(3):
        await till.sql("update outbox set waiting_since = waiting_since - interval '3 days'")
        for row in await till.ledger.due_events("demo"):
            assert await till.ledger.mark_failed(row.id) is True
    assert len(await till.events()) == 2
    assert await due(till) == []


async def claim(till: Till, key: str = "1/1/1/failed") -> NoticeClaim:
    asked = NoticeToClaim(
        account="demo", subscription="sub-1", key=key, channel="EMAIL", customer="cust-1", occasion="failed",
        planned_at=AT, because="attempt 1 was declined", business_at=AT,
    )  # fmt: skip
    return await till.ledger.claim_notice(asked)


async def settle(till: Till, status: str) -> None:
    await till.ledger.settle_notice("demo", "sub-1", "1/1/1/failed", "EMAIL", status=status, outcome=status)


async def test_of_ten_senders_of_one_notice_one_sends(till: Till) -> None:
    found = await asyncio.gather(*(claim(till) for _ in range(10)))
    assert [c.is_ours for c in found].count(True) == 1


@pytest.mark.parametrize("status", ["sent", "failed", "skipped", "unclear"])
async def test_a_notice_that_came_to_something_is_never_claimed_again(till: Till, status: str) -> None:
    assert (await claim(till)).is_ours
    await settle(till, status)
    again = await claim(till)
    assert (again.is_ours, again.status) == (False, status)
    [row] = await till.ledger.notices_of("demo", "sub-1")
    assert (row.status, row.sent_at is not None) == (status, status == "sent")


async def test_a_notice_put_back_may_be_tried_again(till: Till) -> None:
    await claim(till)
    await settle(till, "planned")
    again = await claim(till)
    assert (again.is_ours, again.is_repeat) == (True, False)


async def test_a_sender_that_died_is_followed_by_one_who_knows_that_it_may_be_a_repeat(till: Till) -> None:
    await claim(till)
    await till.sql("update notices set lease_until = clock_timestamp() - interval '1 second'")
    again = await claim(till)
    assert (again.is_ours, again.is_repeat) == (True, True)


async def test_back_off_never_outlasts_the_time_until_an_event_is_given_up() -> None:
    assert max(BACK_OFF) < timedelta(days=1)
