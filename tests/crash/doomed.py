"""A worker process for crash tests: `python tests/crash/doomed.py POINT FILE`.

It is the real worker, wired by `workers.bootstrap`, but at POINT of its first charge it creates FILE and goes no
further until it is killed or continued. Time-outs and leases are short, so that the test is.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from temporalio.worker import UnsandboxedWorkflowRunner

import workers.bootstrap as bootstrap
from dunning.client import connect
from dunning.ledger import ClaimLost, Ledger, attempts
from dunning.providers.dodo import DodoProvider
from dunning.providers.omise import OmiseProvider
from dunning.settings import load_settings
from workers.fresh_time import FreshTimeRunner
from workflows import options

LEASE = timedelta(seconds=6)
CHARGE_TIMEOUT = timedelta(seconds=8)


class Doom:
    """Halts once, at one point."""

    def __init__(self, point: str, file: Path) -> None:
        self.point = point
        self.file = file
        self.is_over = point == "never"

    async def halt(self, point: str) -> None:
        """Announce the point and stay there; a process that is continued after SIGSTOP goes on."""
        if self.is_over or point != self.point:
            return
        self.is_over = True
        self.file.write_text(str(os.getpid()))
        while self.file.exists():  # noqa: ASYNC110 - the sign comes from another process
            await asyncio.sleep(0.02)

    def before(self, point: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """`call`, halting before it."""

        async def halted(*args: Any, **kwargs: Any) -> Any:
            try:
                await self.halt(point)
                return await call(*args, **kwargs)
            except (ClaimLost, asyncio.CancelledError):
                # A worker that wakes too late: the ledger refuses it, or its own time-out reached it first.
                self.file.with_suffix(".lost").touch()
                raise

        return halted

    def after(self, point: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """`call`, halting after it."""

        async def halted(*args: Any, **kwargs: Any) -> Any:
            result = await call(*args, **kwargs)
            await self.halt(point)
            return result

        return halted


async def main(doom: Doom) -> None:
    attempts.LEASE = LEASE
    options.CHARGE["start_to_close_timeout"] = CHARGE_TIMEOUT
    # Without the sandbox, so that the workflows see the short time-out of this module's `options`.
    bootstrap.workflow_runner = lambda: FreshTimeRunner(UnsandboxedWorkflowRunner())  # type: ignore[assignment]
    Ledger.admit = doom.before("before the claim", Ledger.admit)  # type: ignore[method-assign]
    Ledger.mark_sent = doom.before("after the claim", Ledger.mark_sent)  # type: ignore[method-assign]
    DodoProvider.charge = doom.after("after the send", DodoProvider.charge)  # type: ignore[method-assign]
    Ledger.settle = doom.before("before settling", Ledger.settle)  # type: ignore[method-assign]
    options.PLAN["start_to_close_timeout"] = CHARGE_TIMEOUT
    ended = doom.after("after the plan is ended", OmiseProvider.end_plan)
    OmiseProvider.end_plan = doom.before("before the plan is ended", ended)  # type: ignore[method-assign]
    client = await connect()
    async with bootstrap.worker(client, load_settings()) as worker, worker:
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Doom(sys.argv[1], Path(sys.argv[2]))))
