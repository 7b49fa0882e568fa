"""Messages that wait are settled together, with the effect that each has alone, in their order, once. SPEC 13, 15."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.gateway import settling
from dunning.gateway.dispatcher import Dispatcher
from dunning.gateway.settling import Settler
from dunning.ledger.models import SettledMessage, StoredAttempt
from dunning.providers.base import MessageKind
from tests.gateway.house import House, PostBox, agreement, message, payment

pytestmark = pytest.mark.server


async def settle_all(house: House) -> list[settling.Round]:
    rounds = [await Settler(house.ledger).settle()]
    while not rounds[-1].is_over:
        rounds.append(await Settler(house.ledger).settle())
    return rounds


async def test_many_messages_take_effect_in_one_transaction_each_as_it_would_alone(house: House) -> None:
    await house.subscribe("sub-2", reference="sub_dodo_2")
    paid, declined = await house.send_attempt(1), await house.send_attempt(2)
    stolen = await house.send_attempt(3, name="sub-2")
    await house.deliver(payment(paid, payment_id="pay_1"), "m-1")
    await house.deliver(payment(declined, "failed", payment_id="pay_2", error_code="INSUFFICIENT_FUNDS"), "m-2")
    await house.deliver(payment(stolen, "failed", payment_id="pay_3", error_code="STOLEN_CARD"), "m-3")
    await house.deliver(payment(None, payment_id="pay_4", total_amount=7, metadata={}), "m-4")
    await house.deliver(payment(None, payment_id="pay_5", metadata={}, subscription_id="none"), "m-5")
    await house.deliver(agreement("active"), "m-6")
    await house.deliver(message("something.new"), "m-7")
    assert await settle_all(house) == [(7, 0, True)]
    told = {row["message_id"]: row["subscription"] for row in await house.rows()}
    assert told == {"m-1": "sub-1", "m-2": "sub-1", "m-3": "sub-2", "m-4": "sub-1", "m-5": None, "m-6": "sub-1",
                    "m-7": None}  # fmt: skip
    found = [await house.ledger.attempt(key) for key in (paid, declined, stolen)]
    assert [(a.status, a.provider_payment_id, a.outcome.raw_code if a.outcome else "") for a in found if a] == [
        ("settled", "pay_1", None), ("settled", "pay_2", "INSUFFICIENT_FUNDS"), ("settled", "pay_3", "STOLEN_CARD"),
    ]  # fmt: skip
    events = [
        (e["sequence"], e["type"], e["data"]["payment_id"]) for e in await house.ledger.events_of("demo", "sub-1")
    ]
    assert events == [(1, "payment.succeeded", "pay_1"), (2, "payment.failed", "pay_2")]
    [event] = await house.ledger.events_of("demo", "sub-2")
    assert (event["sequence"], event["data"]["decline_class"]) == (1, "HARD")
    async with house.ledger._engine.begin() as connection:
        verdicts = (await connection.execute(text("select customer_id, raw_code from method_verdicts"))).all()
    assert verdicts == [("cust-3", "STOLEN_CARD")]


async def test_more_events_go_on_where_those_of_the_subscription_ended(house: House) -> None:
    first, second = await house.send_attempt(1), await house.send_attempt(2)
    await house.ledger.settle(first, Outcome(kind=OutcomeKind.DECLINED, at=(await stored(house, first)).business_at))
    await house.deliver(payment(second, payment_id="pay_2"), "m-1")
    await settle_all(house)
    assert [event["sequence"] for event in await house.ledger.events_of("demo", "sub-1")] == [1, 2]


async def test_what_one_message_makes_known_the_next_one_of_the_same_batch_finds(house: House) -> None:
    """The payment's id is in the ledger only through the first message; a dispute names nothing else."""
    key = await house.send_attempt()
    await house.deliver(payment(key), "m-1")
    await house.deliver(dispute(), "m-2")
    assert await settle_all(house) == [(2, 0, True)]
    await house.dispatcher.drain()
    assert [fact.kind for fact in house.box.facts] == [MessageKind.PAYMENT, MessageKind.DISPUTE]


async def test_nothing_goes_past_a_message_that_has_to_be_settled_alone(house: House) -> None:
    """A success after a decline is one; the dispute after it needs the id of that payment."""
    key = await house.send_attempt()
    await house.deliver(payment(key, "failed", payment_id="pay_0", error_code="GENERIC_DECLINE"), "m-1")
    await house.deliver(payment(key, payment_id="pay_1"), "m-2")
    await house.deliver(dispute(), "m-3")
    rounds = await settle_all(house)
    assert ([one.done for one in rounds], sum(one.left for one in rounds)) == ([2, 1], 0)
    await house.dispatcher.drain()
    assert [fact.message_id for fact in house.box.facts] == ["m-1", "m-2", "m-3"]
    events = [event["type"] for event in await house.ledger.events_of("demo", "sub-1")]
    assert events == ["payment.failed", "payment.succeeded"]


async def test_a_repeat_in_other_words_settles_once_whether_it_comes_in_the_same_batch_or_later(house: House) -> None:
    key = await house.send_attempt()
    for number in (1, 2):
        await house.deliver(payment(key), f"m-{number}")
    await settle_all(house)
    await house.deliver(payment(key, "failed", error_code="GENERIC_DECLINE"), "m-3")
    assert await settle_all(house) == [(1, 0, True)]
    assert [event["type"] for event in await house.ledger.events_of("demo", "sub-1")] == ["payment.succeeded"]
    await house.dispatcher.drain()
    assert {fact.outcome.kind for fact in house.box.facts if fact.outcome} == {OutcomeKind.SUCCEEDED}


async def test_an_attempt_that_a_worker_holds_is_waited_for_and_both_say_the_same_in_the_end(house: House) -> None:
    """The worker's own answer and the message race for the attempt's row: one settles it, the other finds it so."""
    key = await house.send_attempt()
    await house.deliver(payment(key), "m-1")
    is_held, may_end = asyncio.Event(), asyncio.Event()

    async def worker() -> None:
        async with house.ledger.together():
            at = (await stored(house, key)).business_at
            paid = Outcome(kind=OutcomeKind.SUCCEEDED, at=at, provider_payment_id="pay_1")
            await house.ledger.settle(key, paid)
            is_held.set()
            await may_end.wait()

    working = asyncio.create_task(worker())
    await is_held.wait()
    settled = asyncio.create_task(settle_all(house))
    _, waiting = await asyncio.wait({settled}, timeout=0.5)
    assert waiting == {settled}
    may_end.set()
    await working
    assert sum(one.done for one in await settled) == 1
    assert [event["type"] for event in await house.ledger.events_of("demo", "sub-1")] == ["payment.succeeded"]


async def test_when_a_batch_cannot_be_written_each_is_settled_alone_and_one_alone_waits(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        await house.deliver(agreement("active"), f"m-{number}")
    bad = (await house.rows())[1]["id"]
    write = house.ledger.mark_settled

    async def fail_for_one(messages: Sequence[SettledMessage]) -> None:
        if any(one.id == bad for one in messages):
            raise RuntimeError("this one cannot be written")
        await write(messages)

    with monkeypatch.context() as patched:
        patched.setattr(house.ledger, "mark_settled", fail_for_one)
        assert await Settler(house.ledger).settle() == (3, 1, True)
        assert await Settler(house.ledger).settle() == (0, 0, True)  # it is put off, and not asked for again at once
    assert await house.try_again() == 0
    assert sorted(fact.message_id for fact in house.box.facts) == ["m-0", "m-1", "m-2", "m-3"]


async def test_a_message_that_failed_is_tried_again_by_the_loop_though_no_other_one_comes(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, tries = asyncio.Event(), 0
    write = house.ledger.mark_settled

    async def fail_twice(messages: Sequence[SettledMessage]) -> None:
        nonlocal tries
        tries += 1
        if tries <= 2:  # together, and alone
            raise RuntimeError("not now")
        await write(messages)

    async def signal(*_: Any) -> None:
        told.set()

    monkeypatch.setattr(house.ledger, "mark_settled", fail_twice)
    await house.deliver(agreement("active"), "m-1")
    running = asyncio.create_task(Dispatcher(house.ledger, signal, patrol_seconds=0.05).run())
    async with asyncio.timeout(60):
        await told.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert tries == 3


async def test_what_was_stored_by_a_process_that_died_is_settled_by_the_next_one_without_being_woken(
    house: House,
) -> None:
    for number in range(settling.BATCH + 5):
        await house.deliver(agreement("active"), f"m-{number}")
    box, is_told = PostBox(), asyncio.Event()

    async def signal(account: str, name: str, fact: Any) -> None:
        await box.signal(account, name, fact)
        if len(box.got) == settling.BATCH + 5:
            is_told.set()

    running = asyncio.create_task(Dispatcher(house.ledger, signal, patrol_seconds=3_600).run())
    async with asyncio.timeout(60):
        await is_told.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [fact.message_id for fact in box.facts] == [f"m-{number}" for number in range(settling.BATCH + 5)]


def dispute() -> bytes:
    data = {"payment_id": "pay_1", "dispute_status": "dispute_opened", "amount": "1000.00", "currency": "IDR"}
    return message("dispute.opened", **data)


async def stored(house: House, key: str) -> StoredAttempt:
    found = await house.ledger.attempt(key)
    assert found is not None
    return found
