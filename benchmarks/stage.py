"""What every benchmark with servers runs on: Temporal's development server, PostgreSQL, the sandbox, one worker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from temporalio.client import Client

from benchmarks.usage import processor_seconds
from dunning.client import DunningClient, connect
from dunning.domain.script import Script
from dunning.domain.terms import Subscription
from dunning.ledger import Ledger
from dunning.sandbox.customers import register
from dunning.stack import Stack

ROOT = Path(__file__).parents[1]
ACCOUNTS = Path(__file__).with_name("accounts.yml")
AT_ONCE = 16
QUIET = ("temporal", "migrate", "sandbox")
T = TypeVar("T")


@dataclass(frozen=True)
class Used:
    """What a worker process has used so far: processor seconds, resident bytes."""

    cpu: float
    rss: float


class WorkerProcess:
    """One `benchmarks.worker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def used(self, *, is_clean: bool = False) -> Used:
        """Ask it; `is_clean`: after it has collected its garbage."""
        if self._process.stdin is None:
            raise RuntimeError("the worker was started without a pipe")
        self._process.stdin.write(b"clean\n" if is_clean else b"\n")
        return await self.answer()

    async def answer(self) -> Used:
        """Read one answer; the first one comes by itself when it is ready."""
        if self._process.stdout is None:
            raise RuntimeError("the worker was started without a pipe")
        async with asyncio.timeout(120):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with {await self._process.wait()}; its log tells")
        return Used(**json.loads(line))


@dataclass
class Stage:
    """Servers that run, and clients of them."""

    stack: Stack
    dunning: DunningClient
    sandbox: httpx.AsyncClient

    @property
    def temporal(self) -> Client:
        return self.dunning.temporal

    @contextlib.asynccontextmanager
    async def worker(self, kind: str) -> AsyncIterator[WorkerProcess]:
        """A worker process of a kind, ready; it ends with the block."""
        # A deployed worker has its modules compiled; one that is started without does it for every run in the sandbox.
        env = {**os.environ, **self.stack.env, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
        with (self.stack.directory / f"bench-{kind}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.worker", kind,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, env=env, cwd=ROOT,
            )  # fmt: skip
        worker = WorkerProcess(process)
        try:
            await worker.answer()
            yield worker
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def processor_seconds(self, worker: WorkerProcess) -> dict[str, float]:
        """What every process of the stage, the worker and this process have used so far."""
        pids = {name: process.pid for name, process in self.stack.processes.items() if process.is_running}
        return processor_seconds({**pids, "worker": worker.pid})

    async def begin(self, given: Subscription, *outcomes: str) -> None:
        """Tell the sandbox, write the ledger, start the run."""
        await register(self.sandbox, given, Script(outcomes=outcomes))
        await self.dunning.start(given)

    async def count(self, query: str) -> int:
        """How many runs the server's list shows for a query."""
        return (await self.temporal.count_workflows(query)).count

    async def until_waiting(self, names: Iterable[str]) -> None:
        """Return when every run has done its first work and waits: no workflow task, no activity pending."""

        async def one(name: str) -> None:
            while True:
                found = (await self.temporal.get_workflow_handle(name).describe()).raw_description
                is_idle = not (found.HasField("pending_workflow_task") or found.pending_activities)
                if is_idle and found.workflow_execution_info.history_length > 4:
                    return
                await asyncio.sleep(0.2)

        await gathered(one, names)


async def gathered(work: Callable[[T], Awaitable[Any]], items: Iterable[T], at_once: int = AT_ONCE) -> None:
    """Do `work` with every item, so many at a time."""
    slots = asyncio.Semaphore(at_once)

    async def one(item: T) -> None:
        async with slots:
            await work(item)

    async with asyncio.TaskGroup() as group:
        for item in items:
            group.create_task(one(item))


@contextlib.asynccontextmanager
async def open_stage(services: Sequence[str] = QUIET, **environment: str) -> AsyncIterator[Stage]:
    """The servers without gateway and worker: no webhook is sent, every outcome is in the answer of the call.

    With `services` that have a gateway, webhooks go there and outcomes take their time.
    """
    given = {"DUNNING_ACCOUNTS_FILE": str(ACCOUNTS), **environment}
    if "gateway" not in services:
        given |= {"DUNNING_SANDBOX_WEBHOOK_URL": "", "DUNNING_SANDBOX_SETTLE_SECONDS": "0"}
    async with (
        Stack.start(list(services), environment=given) as stack,
        # The sandbox drops an idle connection after 5 s; one that is kept for less is never found dead.
        httpx.AsyncClient(
            base_url=stack.env["DUNNING_SANDBOX_URL"], timeout=60, limits=httpx.Limits(keepalive_expiry=1)
        ) as sandbox,
    ):
        with as_environment(stack.env):
            temporal = await connect()
        ledger = await Ledger.open(stack.env["DUNNING_LEDGER_URL"], pool_size=AT_ONCE)
        try:
            yield Stage(stack, DunningClient(temporal, ledger), sandbox)
        finally:
            await ledger.aclose()


@contextlib.contextmanager
def as_environment(values: dict[str, str]) -> Iterator[None]:
    """Temporal's client reads its address from the environment."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
