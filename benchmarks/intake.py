"""Taking webhooks: the gateway beside a bare FastAPI handler, each a process of its own, in turn, in the same run.

Signed payment messages over kept HTTP connections, each about an attempt that was sent and is not settled: the gateway
verifies it and stores it, committed before it answers; meanwhile, in the same process, it settles the attempts (with
their events), finds the subscriptions and hands the messages on. A round of ours is over when the last one was
answered, and the next round waits until the last one is settled: nobody else is measured meanwhile. The bare handler
reads the body as JSON and answers. A third process shows what one INSERT alone costs.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count

import httpx
import psycopg

from benchmarks.data import subscription_data
from benchmarks.hostile_families import dodo_body, dodo_sign, now
from benchmarks.intake_server import PATH, SECRET
from benchmarks.rows import Row, reached
from benchmarks.stage import ROOT
from dunning.domain.attempts import attempt_key
from dunning.intake import parse_subscription
from dunning.ledger import Ledger, migrate
from dunning.stack.places import free_port
from dunning.stack.postgres import postgres_server

ASKED = 0.4
"""Issue 5: messages a second, ours / bare. Enforced."""
GUARD = 1.0
"""What is enforced of ours / a handler with one INSERT. Both wait for the same PostgreSQL on the same machine."""
CONNECTIONS = 400
"""SPEC 19: ratios are found with at least so many in parallel."""
MESSAGES, QUICK_MESSAGES = 3_000, 1_200
ROUNDS, QUICK_ROUNDS = 5, 1
KINDS = ("bare", "stored", "ours")
AT = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)


@dataclass(frozen=True)
class Round:
    """Messages a second, and how long the answers took, in milliseconds."""

    speed: float
    median: float
    worst_hundredth: float
    settled: float = 0.0
    """Messages a second until the last one was settled behind its answer; of ours alone."""


@asynccontextmanager
async def server(kind: str, url: str) -> AsyncIterator[int]:
    """A taker of webhooks on a free port."""
    port = free_port()
    env = {**os.environ, "DUNNING_LEDGER_URL": url, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.intake_server", kind, str(port)]
    process = await asyncio.create_subprocess_exec(*command, env=env, cwd=ROOT)
    try:
        async with httpx.AsyncClient() as http:
            async with asyncio.timeout(60):
                while True:
                    try:
                        await http.get(f"http://127.0.0.1:{port}/")
                        break
                    except httpx.TransportError:
                        await asyncio.sleep(0.1)
        yield port
    finally:
        process.kill()
        await process.wait()


async def send(port: int, messages: Iterator[bytes]) -> list[float]:
    """One connection's share, one message after the other; how long each took, in milliseconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    took: list[float] = []
    try:
        for message in messages:
            began = time.perf_counter()
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"a message was answered with {head[:40]!r}")
            length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
            answer = await reader.readexactly(length)
            if b"stored" not in answer:
                raise RuntimeError(f"a message was answered with {answer!r}")
            took.append((time.perf_counter() - began) * 1000)
    finally:
        writer.close()
    return took


async def one_round(port: int, messages: list[bytes]) -> Round:
    waiting = iter(messages)
    began = time.perf_counter()
    parts = await asyncio.gather(*(send(port, waiting) for _ in range(CONNECTIONS)))
    seconds = time.perf_counter() - began
    took = sorted(one for part in parts for one in part)
    return Round(len(took) / seconds, statistics.median(took), took[int(len(took) * 0.99)])


async def our_round(port: int, messages: list[bytes], url: str) -> Round:
    """A round, and how long it took until nothing waited in the inbox."""
    began = time.perf_counter()
    found = await one_round(port, messages)
    waiting = "select count(*) from inbox where signalled_at is null"
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection, asyncio.timeout(120):
        while await (await connection.execute(waiting)).fetchone() != (0,):  # noqa: ASYNC110 - in another process
            await asyncio.sleep(0.02)
    return replace(found, settled=len(messages) / (time.perf_counter() - began))


class Messages:
    """Signed messages, each about an attempt of its own."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._numbers = count(1)

    async def make(self, number: int) -> list[bytes]:
        chosen = [next(self._numbers) for _ in range(number)]
        await self._write_attempts(chosen)
        made = []
        for one in chosen:
            ident = f"msg_{one}"
            body = json.dumps(dodo_body(attempt_key("demo", "sub-1", 1, str(one), 1), ident)).encode()
            headers = {**dodo_sign(body, now(), SECRET, ident), "content-type": "application/json"}
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            made.append(
                f"POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n{lines}\r\n".encode() + body
            )
        return made

    async def _write_attempts(self, numbers: list[int]) -> None:
        """Attempts that were sent, written past the limits of one customer."""
        query = (
            "insert into attempts (key, account, subscription, generation, obligation, number, customer_id, amount,"
            ' currency, method, "trigger", planned_at, business_at, status, owner, epoch, lease_until, first_sent_at,'
            " sent_at) values (%s, 'demo', %s, 1, %s, 1, %s, 100000, 'IDR', 'pm_1', 'due', now(), now(), 'sent',"
            " 'bench', 1, now(), now(), now())"
        )
        rows = [
            (attempt_key("demo", "sub-1", 1, str(one), 1), f"sub-{one % SUBSCRIPTIONS}", str(one), f"cust-{one}")
            for one in numbers
        ]
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            await connection.cursor().executemany(query, rows)


SUBSCRIPTIONS = 500


async def _prepare(url: str) -> None:
    await migrate(url)
    ledger = await Ledger.open(url)
    given = parse_subscription(subscription_data(AT))
    for number in range(SUBSCRIPTIONS):
        await ledger.create_subscription(given.but(id=f"sub-{number}"), now=AT)
    await ledger.aclose()
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("create table bare_messages (id bigserial primary key, body jsonb not null)")


async def measure(rounds: int, messages: int) -> dict[str, list[Round]]:
    """Rounds of each kind, in turn."""
    found: dict[str, list[Round]] = {kind: [] for kind in KINDS}
    async with postgres_server() as postgres:
        url = postgres.url_of()
        await _prepare(url)
        maker = Messages(url)
        async with server("bare", url) as bare, server("stored", url) as stored, server("ours", url) as ours:
            for number in range(rounds + 1):
                # First a small round that does not count: connections and caches are warm then.
                size = messages if number else messages // 10
                taken = {
                    "bare": await one_round(bare, await maker.make(size)),
                    "stored": await one_round(stored, await maker.make(size)),
                    "ours": await our_round(ours, await maker.make(size), url),
                }
                for kind in KINDS if number else ():
                    found[kind].append(taken[kind])
    return found


def rows(found: dict[str, list[Round]], *, is_enforced: bool = True) -> list[Row]:
    pairs = zip(found["ours"], found["bare"], found["stored"], strict=True)
    ratios = [(ours.speed / bare.speed, ours.speed / stored.speed) for ours, bare, stored in pairs]
    to_bare = statistics.median(one for one, _ in ratios)
    to_stored = statistics.median(one for _, one in ratios)
    aim = f"asked is at least {ASKED:g}: {reached(to_bare >= ASKED)}"
    guard, bare_guard = (GUARD, ASKED) if is_enforced else (None, None)
    settled = statistics.median(one.settled for one in found["ours"])
    made = [
        Row("webhooks a second, ours / bare FastAPI", to_bare, "", aim=aim, at_least=bare_guard),
        Row("webhooks a second, ours / FastAPI with one INSERT", to_stored, "", at_least=guard),
        Row("webhooks a second, ours until all are settled", settled, "1/s"),
    ]
    for kind in KINDS:
        made.append(Row(f"webhooks a second, {kind}", statistics.median(r.speed for r in found[kind]), "1/s"))
        made.append(Row(f"answer of {kind}, median", statistics.median(r.median for r in found[kind]), "ms"))
        worst = statistics.median(r.worst_hundredth for r in found[kind])
        made.append(Row(f"answer of {kind}, 99 of 100", worst, "ms"))
    return made


def run(*, is_quick: bool = False) -> list[Row]:
    """Medians of five rounds in turn; of one in a quick run, where nothing is enforced."""
    rounds, messages = (QUICK_ROUNDS, QUICK_MESSAGES) if is_quick else (ROUNDS, MESSAGES)
    return rows(asyncio.run(measure(rounds, messages)), is_enforced=not is_quick)
