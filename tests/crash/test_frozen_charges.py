"""A process that the operating system stops between `sent_at` and the first byte, and that wakes late. SPEC 13, 20."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from dunning.domain.attempts import OutcomeKind, Trigger
from tests.charging.test_charging import Shop, shop
from tests.ledger.till import attempt, charge

__all__ = ["shop"]
pytestmark = [pytest.mark.server, pytest.mark.crash]
ROOT = Path(__file__).parents[2]


class Frozen:
    """The process, stopped after it committed `sent_at`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def wake(self) -> str:
        """Continue it; gives the kind of outcome that it ends with."""
        os.kill(self.process.pid, signal.SIGCONT)
        told, _ = await self.process.communicate()
        return told.decode().split()[-1]


@asynccontextmanager
async def frozen(shop: Shop, lease: float) -> AsyncIterator[Frozen]:
    command = [str(ROOT / "tests" / "crash" / "frozen.py"), shop.url, shop.sandbox.url, str(lease)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            while not await shop.is_written("sent"):  # noqa: ASYNC110 - the sign comes from another process
                await asyncio.sleep(0.05)
            stat = Path(f"/proc/{process.pid}/stat")
            while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "T":  # noqa: ASYNC110, ASYNC240
                await asyncio.sleep(0.05)
        yield Frozen(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until_the_lease_ends(shop: Shop) -> None:
    async with asyncio.timeout(30):
        while await shop.ledger.has_live_lease(charge().attempt.key):  # noqa: ASYNC110 - by the database's clock
            await asyncio.sleep(0.05)


async def test_a_process_that_wakes_after_its_attempt_was_closed_as_absent_adds_no_second_charge(shop: Shop) -> None:
    await shop.agree("SUCCEEDED", "SUCCEEDED")
    async with frozen(shop, lease=1.5) as stopped:
        await until_the_lease_ends(shop)
        closed = await shop.look_up(after=timedelta(hours=25), may_close_absent=True)
        assert closed.kind is OutcomeKind.ABSENT
        repeated = charge(attempt=attempt(number=2, trigger=Trigger.DUE, retry_of=1))
        assert (await shop.charge(repeated)).kind is OutcomeKind.SUCCEEDED
        await stopped.wake()
    assert await shop.book() == ["succeeded"]
    first, second = await shop.ledger.attempts_of("demo", "sub-1")
    assert [one.outcome and one.outcome.kind for one in (first, second)] == [OutcomeKind.ABSENT, OutcomeKind.SUCCEEDED]


async def test_a_process_that_wakes_after_its_lease_gives_the_attempt_back_unsent(shop: Shop) -> None:
    await shop.agree("SUCCEEDED")
    async with frozen(shop, lease=1.5) as stopped:
        await until_the_lease_ends(shop)
        assert await stopped.wake() == "outage"
    assert await shop.book() == []
    assert (await shop.charge()).kind is OutcomeKind.SUCCEEDED
    assert await shop.book() == ["succeeded"]


async def test_a_process_that_wakes_within_its_lease_charges(shop: Shop) -> None:
    await shop.agree("SUCCEEDED")
    async with frozen(shop, lease=90) as stopped:
        assert await stopped.wake() == "succeeded"
    assert await shop.book() == ["succeeded"]
