"""A worker process for crash tests: `python tests/crash/doomed.py POINT FILE [POINT FILE ...]`.

It is the real worker, wired by `workers.bootstrap`, but who first comes to a POINT creates its FILE and goes no
further until the process is killed or continued. Time-outs and leases are short, so that the test is.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from temporalio.worker import UnsandboxedWorkflowRunner, WorkflowRunner

import workers.bootstrap as bootstrap
from dunning.client import connect
from dunning.ledger import ClaimLost, Ledger, attempts, refunds
from dunning.providers.dodo import DodoProvider
from dunning.providers.omise import OmiseProvider
from dunning.settings import load_settings
from workers.fresh_time import FreshTimeRunner
from workflows import options

LEASE = timedelta(seconds=6)
CHARGE_TIMEOUT = timedelta(seconds=8)

P = ParamSpec("P")
T = TypeVar("T")


class Doom:
    """Halts once at each of its points."""

    def __init__(self, points: dict[str, Path]) -> None:
        self.left = {point: file for point, file in points.items() if point != "never"}
        self.lost = next(iter(points.values())).with_suffix(".lost")

    async def halt(self, point: str) -> None:
        """Announce the point and stay there; a process that is continued after SIGSTOP goes on."""
        file = self.left.pop(point, None)
        if file is None:
            return
        file.write_text(str(os.getpid()))
        while file.exists():  # noqa: ASYNC110 - the sign comes from another process
            await asyncio.sleep(0.02)

    def before(self, point: str, call: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """`call`, halting before it."""

        async def halted(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                await self.halt(point)
                return await call(*args, **kwargs)
            except (ClaimLost, asyncio.CancelledError):
                # A worker that wakes too late: the ledger refuses it, or its own time-out reached it first.
                self.lost.touch()
                raise

        return halted

    def after(self, point: str, call: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """`call`, halting after it."""

        async def halted(*args: P.args, **kwargs: P.kwargs) -> T:
            result = await call(*args, **kwargs)
            await self.halt(point)
            return result

        return halted


def unsandboxed(*, strict: bool = False) -> WorkflowRunner:
    """Without the sandbox, so that the workflows see the short time-out of this module's `options`."""
    return FreshTimeRunner(UnsandboxedWorkflowRunner())


async def main(doom: Doom) -> None:
    attempts.LEASE = LEASE
    options.CHARGE["start_to_close_timeout"] = CHARGE_TIMEOUT
    bootstrap.workflow_runner = unsandboxed
    # Methods are replaced on purpose, for this process alone, by others of the same types: hence `method-assign`.
    Ledger.admit = doom.before("before the claim", Ledger.admit)  # type: ignore[method-assign]
    Ledger.mark_sent = doom.before("after the claim", Ledger.mark_sent)  # type: ignore[method-assign]
    DodoProvider.charge = doom.after("after the send", DodoProvider.charge)  # type: ignore[method-assign]
    Ledger.settle = doom.before("before settling", Ledger.settle)  # type: ignore[method-assign]
    for one in (options.LOOK_UP, options.MANDATE, options.PLAN):
        one["start_to_close_timeout"] = CHARGE_TIMEOUT
    refunds.LEASE = LEASE  # type: ignore[attr-defined]  # the name that this module took from `attempts`
    Ledger.admit_refund = doom.before("before the refund's claim", Ledger.admit_refund)  # type: ignore[method-assign]
    DodoProvider.refund = doom.after("after the refund's send", DodoProvider.refund)  # type: ignore[method-assign]
    Ledger.settle_refund = doom.before("before the refund's settling", Ledger.settle_refund)  # type: ignore[method-assign]
    Ledger.open_first_price = doom.before("before the page's row", Ledger.open_first_price)  # type: ignore[method-assign]
    made = doom.after("after the page", DodoProvider.create_mandate)
    DodoProvider.create_mandate = doom.before("after the page's row", made)  # type: ignore[method-assign]
    Ledger.take_first_price = doom.before("before the page's payment", Ledger.take_first_price)  # type: ignore[method-assign]
    ended = doom.after("after the plan is ended", OmiseProvider.end_plan)
    OmiseProvider.end_plan = doom.before("before the plan is ended", ended)  # type: ignore[method-assign]
    client = await connect()
    async with bootstrap.worker(client, load_settings()) as worker, worker:
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Doom({point: Path(file) for point, file in zip(sys.argv[1::2], sys.argv[2::2], strict=True)})))
