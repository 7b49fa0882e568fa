"""Events arrive signed, in order, at least once; a failing one delays its own subscription alone. SPEC 10."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError
from temporalio.testing import ActivityEnvironment

from activities import delivery
from activities.delivery import DeliveryActivities, DeliveryInput
from dunning.ledger import Ledger
from tests.activities.backend import SECRET, Backend, open_backend
from tests.ledger.test_records import event, record
from tests.ledger.till import Till

pytestmark = pytest.mark.server


class Post:
    """A ledger, a backend, and one delivering activity between them."""

    def __init__(self, till: Till, backend: Backend, http: httpx.AsyncClient) -> None:
        self.till, self.backend, self.http = till, backend, http
        self.env = ActivityEnvironment()
        self.heartbeats = 0
        self.env.on_heartbeat = self._beat
        self.running: asyncio.Task[Any] | None = None

    def _beat(self, *details: Any) -> None:
        self.heartbeats += 1

    async def write(self, subscription: str, numbers: Iterable[int]) -> None:
        for number in numbers:
            await self.till.ledger.record(record(number, subscription=subscription, events=(event(number),)))

    def start(self, seconds: float = 60, **account: Any) -> asyncio.Task[Any]:
        accounts = {"demo": self.backend.account(**account)}
        activities = DeliveryActivities(self.till.ledger, accounts, self.http)
        request = DeliveryInput(account="demo", seconds=seconds)
        self.running = asyncio.create_task(self.env.run(activities.deliver_events, request))
        return self.running

    async def stop(self) -> Any:
        """As a worker that shuts down does."""
        assert self.running is not None
        self.env.worker_shutdown()
        async with asyncio.timeout(20):
            return await self.running


@pytest.fixture
async def post(ledger_url: str) -> AsyncIterator[Post]:
    ledger = await Ledger.open(ledger_url, pool_size=30)
    async with open_backend() as backend, httpx.AsyncClient(timeout=10) as http:
        found = Post(Till(ledger, ledger_url), backend, http)
        yield found
        if found.running is not None and not found.running.done():
            found.running.cancel()
            with suppress(asyncio.CancelledError):
                await found.running
    await ledger.aclose()


async def test_events_arrive_signed_once_and_in_order(post: Post) -> None:
    await post.write("sub-1", range(1, 6))
    await post.write("sub-2", range(1, 3))
    post.start()
    await post.backend.until(lambda b: len(b.taken) == 7)
    assert await post.stop() == 7
    assert post.backend.of("sub-1") == [1, 2, 3, 4, 5]
    assert post.backend.of("sub-2") == [1, 2]
    assert post.backend.taken[0].keys() == {
        "id", "type", "created_at", "subscription_id", "merchant_account", "sequence", "data",
    }  # fmt: skip


async def test_an_event_written_while_it_runs_is_delivered(post: Post) -> None:
    post.start()
    await post.write("sub-1", [1])
    await post.backend.until(lambda b: b.of("sub-1") == [1])


async def test_a_refused_event_comes_again_under_its_id_and_before_the_next(post: Post) -> None:
    await post.write("sub-1", [1, 2])
    post.backend.answers["sub-1"] = [500, 302]
    post.start()
    for count in (1, 2):
        await post.backend.until(lambda b, n: len(b.refused) == n, count)
        await post.till.sql("update outbox set next_at = clock_timestamp() where delivered_at is null")
    await post.backend.until(lambda b: b.of("sub-1") == [1, 2])
    assert {e["id"] for e in post.backend.refused} == {post.backend.taken[0]["id"]}


async def test_a_backend_that_hangs_for_one_subscription_holds_back_no_other(post: Post) -> None:
    post.backend.hanging.add("sub-1")
    await post.write("sub-1", [1])
    post.start()
    for number in range(1, 4):
        await post.write("sub-2", [number])
        await post.backend.until(lambda b, n: b.of("sub-2") == list(range(1, n + 1)), number)
    assert post.backend.of("sub-1") == []


async def test_an_answer_that_does_not_come_is_a_failure(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "ANSWER_SECONDS", 0.05)
    post.backend.hanging.add("sub-1")
    await post.write("sub-1", [1])
    running = post.start(seconds=0.2)
    assert await running == 0
    assert await post.till.sql("select tries, delivered_at is null from outbox") == [(1, True)]


async def test_a_dead_backend_fails_events_and_not_the_activity(post: Post, free_port: int) -> None:
    await post.write("sub-1", [1])
    assert await post.start(seconds=0.5, backend_url=f"http://127.0.0.1:{free_port}/events") == 0
    assert await post.till.sql("select tries, delivered_at is null from outbox") == [(1, True)]


async def test_without_a_backend_a_round_lasts_as_long_as_with_one(post: Post) -> None:
    await post.write("sub-1", [1])
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await post.start(seconds=0.6, backend_url=None, backend_secret=None) == 0
    assert loop.time() - began >= 0.6
    assert post.heartbeats >= 2
    assert await post.till.sql("select tries from outbox") == [(0,)]


async def test_what_is_on_its_way_at_shutdown_is_finished(post: Post) -> None:
    await post.write("sub-1", [1])
    post.start()
    await post.backend.until(lambda b: b.of("sub-1") == [1])
    assert await post.stop() == 1
    assert await post.till.sql("select delivered_at is not null from outbox") == [(True,)]


async def test_while_a_secret_is_changed_each_of_the_two_verifies_every_event(post: Post) -> None:
    old, new = SECRET, "whsec_" + base64.b64encode(b"another secret of 24 byt").decode()
    await post.write("sub-1", [1])
    post.start(backend_secret=SecretStr(new), backend_secret_old=SecretStr(old))
    await post.backend.until(lambda b: b.of("sub-1") == [1])  # the backend still knows the old one alone
    headers, body = post.backend.seen[-1]
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Webhook(secret).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"nobody knows this secret").decode()).verify(body, headers)


async def test_why_a_delivery_did_not_count_is_written_down(post: Post) -> None:
    await post.write("sub-1", [1])
    post.backend.answers["sub-1"] = [503]
    post.start()
    await post.backend.until(lambda b: len(b.refused) == 1)
    await post.stop()
    assert await post.till.sql("select last_error from outbox") == [("it answered 503, and only 2xx counts",)]
