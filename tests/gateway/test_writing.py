"""Messages of many requests are written together, and each is answered for itself. SPEC 15, 18."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import DBAPIError

from dunning.gateway import writing
from dunning.gateway.settling import Settler
from dunning.gateway.writing import InboxWriter, Overfull
from dunning.ledger import Ledger
from dunning.ledger.models import NewMessage
from tests.gateway.house import House, agreement, payment

pytestmark = pytest.mark.server


def new(ident: str, text: str = "words") -> NewMessage:
    return NewMessage(
        "demo", ident, "other", "something", None, f'{{"text": "{text}"}}', '{"at": "2026-03-05T13:10:00Z"}'
    )


class Counted(Ledger):
    """A ledger that notes how many messages each statement wrote."""

    sizes: list[int]

    async def receive_many(self, messages: Sequence[NewMessage]) -> set[tuple[str, str]]:
        self.sizes.append(len(messages))
        return await super().receive_many(messages)


def counted(house: House) -> Counted:
    ledger = Counted(house.ledger._engine)
    ledger.sizes = []
    return ledger


async def test_messages_that_come_at_once_are_written_by_few_statements_in_their_order(house: House) -> None:
    ledger = counted(house)
    names = [f"m-{number}" for number in range(60)]
    writer = InboxWriter(ledger)
    assert await asyncio.gather(*(writer.write(new(name)) for name in names)) == [True] * 60
    assert len(ledger.sizes) < 5
    assert [row["message_id"] for row in await house.rows()] == names


async def test_one_message_twice_in_a_statement_is_new_once(house: House) -> None:
    writer = InboxWriter(house.ledger)
    found = await asyncio.gather(*(writer.write(new("m-1")) for _ in range(5)))
    assert sorted(found) == [False] * 4 + [True]
    assert not await writer.write(new("m-1"))
    assert len(await house.rows()) == 1


async def test_a_message_that_cannot_be_stored_fails_alone(house: House) -> None:
    ledger = counted(house)
    writer = InboxWriter(ledger)
    given = [new("m-1"), new("m-2", "\\u0000"), new("m-3")]
    found = await asyncio.gather(*(writer.write(one) for one in given), return_exceptions=True)
    assert (found[0], found[2]) == (True, True)
    assert isinstance(found[1], DBAPIError)
    assert ledger.sizes == [3, 1, 1, 1]
    assert [row["message_id"] for row in await house.rows()] == ["m-1", "m-3"]


async def test_without_the_ledger_all_fail_and_it_is_asked_once(ledger_url: str) -> None:
    gone = await Counted.open(ledger_url.rpartition("/")[0] + "/there_is_no_such_database")
    gone.sizes = []
    writer = InboxWriter(gone)
    found = await asyncio.gather(*(writer.write(new(f"m-{n}")) for n in range(20)), return_exceptions=True)
    assert all(isinstance(one, DBAPIError) for one in found)
    assert sum(gone.sizes) == 20
    await gone.aclose()


async def test_what_finds_no_room_is_refused_and_the_rest_is_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ROOM", 3)
    writer = InboxWriter(house.ledger)
    found = await asyncio.gather(*(writer.write(new(f"m-{n}")) for n in range(5)), return_exceptions=True)
    assert found[:3] == [True] * 3
    assert all(isinstance(one, Overfull) for one in found[3:])
    assert await writer.write(new("m-9"))


async def test_closing_waits_until_all_is_written_even_for_callers_that_have_gone(house: House) -> None:
    writer = InboxWriter(house.ledger)
    calls = [asyncio.create_task(writer.write(new(f"m-{number}"))) for number in range(10)]
    await asyncio.wait(calls, timeout=0)
    calls[0].cancel()
    await writer.aclose()
    assert len(await house.rows()) == 10


async def test_a_crash_between_settling_and_its_mark_leaves_both_undone_and_they_are_done_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await house.send_attempt()
    await house.deliver(payment(key))

    async def crash(*_: object, **__: object) -> None:
        raise RuntimeError("the process ends here")

    with monkeypatch.context() as patched:
        patched.setattr(house.ledger, "mark_settled", crash)
        assert await house.dispatcher.drain() == 1
    row = await house.ledger.attempt(key)
    assert row is not None
    assert (row.settled_at, house.box.got) == (None, [])
    assert await house.try_again() == 0
    row = await house.ledger.attempt(key)
    assert row is not None
    assert row.settled_at is not None
    events = [event["type"] for event in await house.ledger.events_of("demo", "sub-1")]
    assert events.count("payment.succeeded") == 1
    assert [fact.attempt_key for fact in house.box.facts] == [key]


async def test_a_message_that_cannot_be_settled_holds_up_nobody(house: House) -> None:
    key = await house.send_attempt()
    await house.deliver(payment(key), "msg_1")
    await house.deliver(agreement("active"), "msg_2")
    async with house.ledger.together(), house.ledger._begin() as connection:
        await connection.exec_driver_sql("update inbox set fact = '{}' where message_id = 'msg_1'")
    assert await house.dispatcher.drain() == 1
    assert [fact.message_id for fact in house.box.facts] == ["msg_2"]
    assert await house.ledger.count_waiting() == 1


async def test_two_processes_settle_each_message_once(house: House) -> None:
    for number in range(20):
        await house.deliver(agreement("active"), f"msg_{number}")

    async def settle_all() -> int:
        settler, count = Settler(house.ledger), 0
        while True:
            found = await settler.settle()
            count += found.done
            if found.is_over:
                return count

    assert sum(await asyncio.gather(settle_all(), settle_all())) == 20
    assert await house.dispatcher.drain() == 0
    assert len(house.box.got) == 20
