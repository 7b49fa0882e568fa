"""The inbox is drained once for each message, by whichever process, and survives what is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from dunning.gateway.dispatcher import BATCH, Dispatcher
from tests.gateway.house import House, PostBox, agreement, open_house, payment

pytestmark = pytest.mark.server


async def test_without_temporal_messages_are_taken_and_told_later(house: House) -> None:
    key = await house.send_attempt()
    house.box.is_away = True
    assert (await house.deliver(payment(key))).status_code == 200
    assert await house.dispatcher.drain() == 1
    ready = await house.http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"ledger": "ok", "temporal": "away"})
    house.box.is_away = False
    assert await house.dispatcher.drain() == 0
    assert [fact.attempt_key for fact in house.box.facts] == [key]


async def test_without_the_ledger_nothing_is_acknowledged(
    house: House, fresh_database: Callable[[], Awaitable[str]]
) -> None:
    gone = await fresh_database()
    async with open_house(gone.rpartition("/")[0] + "/there_is_no_such_database") as homeless:
        answer = await homeless.deliver(payment(None))
        assert answer.status_code == 503
        assert (await homeless.http.get("/readyz")).status_code == 503
        assert (await homeless.http.get("/healthz")).status_code == 200


async def test_one_subscription_that_cannot_be_told_holds_up_nobody(house: House) -> None:
    await house.subscribe("sub-bad", reference="sub_dodo_bad")
    for number in range(BATCH + 5):
        bad = agreement("active", metadata={"subscription": "sub-bad"}, subscription_id="sub_dodo_bad")
        assert (await house.deliver(bad, f"bad_{number}")).status_code == 200
    await house.deliver(agreement("active"), "good_1")
    house.box.refused = {"sub-bad"}
    assert await house.dispatcher.drain() == BATCH + 5
    assert [fact.message_id for fact in house.box.facts] == ["good_1"]
    house.box.refused = set()
    assert await house.dispatcher.drain() == 0
    assert len(house.box.got) == BATCH + 6


async def test_two_processes_tell_each_message_once(house: House) -> None:
    for number in range(30):
        await house.deliver(agreement("active"), f"msg_{number}")
    boxes = [PostBox(), PostBox()]
    first, second = (Dispatcher(house.ledger, box.signal) for box in boxes)
    await asyncio.gather(first.drain(), second.drain())
    told = [fact.message_id for box in boxes for fact in box.facts]
    assert sorted(told) == sorted({f"msg_{number}" for number in range(30)})


async def test_messages_of_one_subscription_are_told_in_the_order_in_which_they_came(house: House) -> None:
    for number in range(12):
        await house.deliver(agreement("active"), f"msg_{number}")
    await house.dispatcher.drain()
    assert [fact.message_id for fact in house.box.facts] == [f"msg_{number}" for number in range(12)]


async def test_the_loop_tells_as_soon_as_it_is_woken_and_survives_failures(house: House) -> None:
    told = asyncio.Event()
    tries = 0

    async def signal(account: str, name: str, fact: object) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ConnectionError("once")
        told.set()

    dispatcher = Dispatcher(house.ledger, signal, patrol_seconds=0.05)
    running = asyncio.create_task(dispatcher.run())
    await house.deliver(agreement("active"))
    async with asyncio.timeout(10):
        await told.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert tries == 2


async def test_the_client_hangs_up_in_the_middle_and_the_gateway_lives_on(house: House) -> None:
    host, port = house.http.base_url.host, house.http.base_url.port
    assert port is not None
    _, writer = await asyncio.open_connection(host, port)
    writer.write(b"POST /webhooks/dodo/demo HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
    await writer.drain()
    writer.close()
    await writer.wait_closed()
    answer: httpx.Response = await house.http.get("/healthz")
    assert answer.status_code == 200
