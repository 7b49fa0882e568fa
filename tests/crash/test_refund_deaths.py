"""A worker that dies with refunds at every step of theirs: each is made once. SPEC 9, 13, 20.

Three refunds, one worker process: one halts before its claim, one after its request was sent, one before its answer is
written down. Then the process is killed by SIGKILL, and another one goes on.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dunning.domain.commands import Refund
from dunning.domain.refunds import RefundKind
from dunning.stack import Stack
from tests.crash.test_worker_deaths import Case, case, until, worker

pytestmark = [pytest.mark.server, pytest.mark.crash]
POINTS = ("before the refund's claim", "after the refund's send", "before the refund's settling")
AUTH = {"authorization": "Bearer dodo_test_sandbox"}


@asynccontextmanager
async def cases(stack: Stack) -> AsyncIterator[list[Case]]:
    async with AsyncExitStack() as opened:
        yield [await opened.enter_async_context(case(stack, timedelta())) for _ in POINTS]


async def refunds_at_the_provider(there: Case) -> list[dict[str, Any]]:
    query: dict[str, str | int] = {"subscription_id": f"sub_{there.name}", "page_size": 100}
    answer = await there.sandbox.get("/refunds", params=query, headers=AUTH)
    return list(answer.raise_for_status().json()["items"])


async def is_paid(there: Case) -> bool:
    state = (await there.clock.report()).state
    return state is not None and state.paid_until is not None


async def test_a_worker_that_is_killed_leaves_one_refund_each(stack: Stack, tmp_path: Path) -> None:
    files = {point: tmp_path / f"point-{place}" for place, point in enumerate(POINTS)}
    async with cases(stack) as all_:
        with worker(stack, *(part for pair in files.items() for part in pair)) as doomed:
            for there in all_:
                async with asyncio.timeout(60):
                    while not await is_paid(there):  # noqa: ASYNC110 - the sign comes from another process
                        await asyncio.sleep(0.05)
            asked = [
                asyncio.create_task(
                    there.dunning.command("demo", there.name, Refund(command_id=f"back-{there.name}", order="1"))
                )
                for there in all_
            ]
            for point, file in files.items():
                await until(file.exists, point)
            doomed.send_signal(signal.SIGKILL)
            doomed.wait()
        rows = [row for there in all_ for row in await there.dunning.ledger.refunds_of("demo", there.name)]
        assert len(rows) == len(POINTS) - 1  # the third was never claimed
        with worker(stack, "never", tmp_path / "none"):
            for there in all_:
                await there.clock.advance(there.due + timedelta(hours=6))
                state = (await there.clock.report()).state
                assert state is not None
                assert state.open_refunds == ()
                assert len(await refunds_at_the_provider(there)) == 1
                (row,) = await there.dunning.ledger.refunds_of("demo", there.name)
                assert row.outcome is not None
                assert row.outcome.kind is RefundKind.SUCCEEDED
            assert {(await one).status for one in asked} <= {"done", "accepted"}
