"""`python -m benchmarks.worker ours|bare`: one worker process that says, for each line it reads, what it has used.

It ends when its standard input does, so it never outlives the benchmark.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from benchmarks.bare import CHARGE, QUEUE, BareInput, BareWorkflow
from dunning.client import connect
from dunning.log import configure_logging
from dunning.settings import Settings, load_settings
from workers import bootstrap

ACTIVITIES_AT_ONCE = 100
"""As many as `workers.bootstrap` allows."""


class BareCharge:
    """The same requests that our engine sends to the sandbox for a good cycle, by plain httpx."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @activity.defn(name=CHARGE)
    async def charge(self, asked: BareInput) -> str:
        """`POST /subscriptions/{id}/charge`, then `GET /payments/{id}` for the result."""
        body = {
            "product_price": 100_000,
            "product_currency": "IDR",
            "product_description": "Pro plan",
            "metadata": {"subscription": asked.name, "obligation": str(asked.cycle)},
        }
        accepted = await self._http.post(f"/subscriptions/sub_{asked.name}/charge", json=body)
        accepted.raise_for_status()
        payment = await self._http.get(f"/payments/{accepted.json()['payment_id']}")
        payment.raise_for_status()
        return str(payment.json()["status"])


@asynccontextmanager
async def bare_worker(client: Client, settings: Settings) -> AsyncIterator[Worker]:
    account = settings.account("demo")
    headers = {"authorization": f"Bearer {account.api_key.get_secret_value()}", "accept": "application/json"}
    async with httpx.AsyncClient(base_url=account.base_url or "", headers=headers, timeout=15) as http:
        yield Worker(
            client,
            task_queue=QUEUE,
            workflows=[BareWorkflow],
            activities=[BareCharge(http).charge],
            max_concurrent_activities=ACTIVITIES_AT_ONCE,
        )


def used(*, is_clean: bool = False) -> dict[str, float]:
    """Processor seconds of all threads, and resident bytes; `is_clean`: with no garbage and no free pages left."""
    cpu = time.process_time()
    if is_clean:
        gc.collect()
        give_back()
    return {"cpu": cpu, "rss": resident()}


def give_back() -> None:
    """Let the C library return its free pages: what it keeps for later is no memory of a subscription's."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
    if trim is not None:
        trim(0)


def resident() -> float:
    """This process's resident memory in bytes."""
    counted = Path("/proc/self/statm")
    if counted.exists():
        return int(counted.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, text=True, check=True)
    return int(told.stdout) * 1024


async def main(kind: str) -> None:
    # What it says goes to the log; the answers have the pipe for themselves.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    settings = load_settings()
    configure_logging(settings)
    client = await connect()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    wired = bootstrap.worker(client, settings) if kind == "ours" else bare_worker(client, settings)
    async with wired as worker, worker:
        answers.write(json.dumps(used()) + "\n")
        while line := await lines.readline():
            answers.write(json.dumps(used(is_clean=line == b"clean\n")) + "\n")
        # Nothing in flight is worth waiting for: the benchmark is over.
        os._exit(0)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
