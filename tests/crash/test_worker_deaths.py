"""Workers that die or stall at the worst moments: one charge each time, and the cycle ends paid. SPEC 13, 20.

Real processes, killed by SIGKILL or stopped by SIGSTOP, on a real Temporal server, PostgreSQL and sandbox.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from dunning.client import DunningClient, connect
from dunning.domain.tables import CycleStatus
from dunning.intake import parse_subscription
from dunning.ledger import Ledger
from dunning.stack import Stack
from dunning.testclock import TestClock
from tests.builders import subscription_data

pytestmark = [pytest.mark.server, pytest.mark.crash]
ROOT = Path(__file__).parents[2]


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def worker(stack: Stack, *points: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """One worker process; ended with the block. `points`: where it halts, and the file that tells so, in turns."""
    command = [sys.executable, str(ROOT / "tests" / "crash" / "doomed.py"), *map(str, points)]
    env = {**os.environ, **stack.env, "PYTHONPATH": str(ROOT)}
    log = (stack.directory / f"worker-{uuid.uuid4().hex[:6]}.log").open("wb")
    process = subprocess.Popen(command, env=env, cwd=ROOT, stderr=log, stdout=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


class Case:
    """One subscription on the stack."""

    def __init__(self, dunning: DunningClient, sandbox: httpx.AsyncClient, name: str, due: datetime) -> None:
        self.dunning, self.sandbox, self.name, self.due = dunning, sandbox, name, due
        self.clock = TestClock(dunning, "demo", name, sandbox=sandbox)

    async def charges(self) -> list[dict[str, Any]]:
        answer = await self.sandbox.get("/_sandbox/charges", params={"subscription": self.name})
        return list(answer.json()["charges"])


@asynccontextmanager
async def case(stack: Stack, due_in: timedelta = timedelta(hours=1)) -> AsyncIterator[Case]:
    """A monthly subscription that is due in an hour, started on a test clock."""
    name = f"crash-{uuid.uuid4().hex[:8]}"
    due = datetime.now(UTC).replace(microsecond=0) + due_in
    given = parse_subscription(
        subscription_data(
            id=name,
            customer={**subscription_data()["customer"], "id": f"cust-{name}"},
            provider_options={"country": "ID", "product_id": "p", "subscription_id": f"sub_{name}"},
            payment_methods=[{"token": "pm_1", "authorized_at": due.isoformat()}],
            schedule={"anchor_at": due.isoformat(), "interval": "MONTH", "interval_count": 1},
        )
    )
    with environment(stack.env):
        ledger = await Ledger.open(stack.env["DUNNING_LEDGER_URL"], pool_size=3)
        dunning = DunningClient(await connect(), ledger)
    async with httpx.AsyncClient(base_url=stack.env["DUNNING_SANDBOX_URL"], timeout=30) as sandbox:
        body = {
            "subscription_id": f"sub_{name}", "customer_id": f"cus_{name}", "payment_method_id": "pm_1",
            "currency": "IDR", "metadata": {"subscription": name}, "script": ["SUCCEEDED"],
        }  # fmt: skip
        (await sandbox.post("/_sandbox/subscriptions", json=body)).raise_for_status()
        await dunning.start(given, is_test_clock=True)
        yield Case(dunning, sandbox, name, due)
    await ledger.aclose()


async def until(is_true: Any, what: str) -> None:
    async with asyncio.timeout(60):
        while not is_true():  # noqa: ASYNC110 - the sign comes from another process
            await asyncio.sleep(0.05)
    assert is_true(), what


async def assert_paid_once(there: Case) -> None:
    await there.clock.advance(there.due + timedelta(hours=3))
    report = await there.clock.report()
    assert report.state is not None
    assert report.state.paid_until is not None
    assert not any(o.status is not CycleStatus.SUCCEEDED for o in report.state.obligations)
    succeeded = [c for c in await there.charges() if c["status"] == "succeeded"]
    assert len(succeeded) == 1
    rows = await there.dunning.ledger.attempts_of("demo", there.name)
    assert [(r.number, r.status) for r in rows] == [(1, "settled")]


@pytest.mark.parametrize("point", ["before the claim", "after the claim", "after the send", "before settling"])
async def test_a_worker_that_is_killed_leaves_one_charge(stack: Stack, tmp_path: Path, point: str) -> None:
    file = tmp_path / "point"
    async with case(stack) as there:
        with worker(stack, point, file) as doomed:
            await there.clock.until_quiet()
            moving = asyncio.create_task(there.clock.move_to(there.due))
            await until(file.exists, point)
            doomed.send_signal(signal.SIGKILL)
            doomed.wait()
        with worker(stack, "never", tmp_path / "none"):
            await moving
            await assert_paid_once(there)


async def test_a_worker_that_stalls_beyond_its_lease_sends_nothing_when_it_wakes(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "point"
    async with case(stack) as there:
        with worker(stack, "after the claim", file) as stalled:
            await there.clock.until_quiet()
            moving = asyncio.create_task(there.clock.move_to(there.due))
            await until(file.exists, "the claim")
            os.kill(stalled.pid, signal.SIGSTOP)
            with worker(stack, "never", tmp_path / "none"):
                await moving
                await there.clock.advance(there.due + timedelta(minutes=30))
                file.unlink()
                os.kill(stalled.pid, signal.SIGCONT)
                await until(file.with_suffix(".lost").exists, "the stalled worker lost its claim")
                await assert_paid_once(there)
