"""Waiting until a service is well, by the health check of its own file."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime

from dunning.errors import StackError
from dunning.stack.compose import HealthCheck, Service
from dunning.stack.probe import is_well
from dunning.stack.process import ManagedProcess

_PROBE = ("python", "-m", "dunning.stack.probe")
_REBIRTHS = 20


async def until_well(service: Service, process: ManagedProcess, environment: Mapping[str, str]) -> None:
    """Return when the health check passes; raises `StackError` when the process ends or time is up."""
    check = service.healthcheck
    if check is None:
        return
    began, since, rebirths = time.monotonic(), datetime.now(UTC), 0
    while not await _passes(check, environment, since):
        if not process.is_running:
            # After a kill, PostgreSQL's orphaned back ends hold its memory for a moment.
            if "shared memory block" in process.last_words() and rebirths < _REBIRTHS:
                rebirths += 1
                await process.start()
            else:
                raise StackError(f"{process.name} ended with {process.returncode}:\n{process.last_words()}")
        if time.monotonic() - began > check.patience:
            raise StackError(f"{process.name} was not well after {check.patience:.0f} s:\n{process.last_words()}")
        await asyncio.sleep(check.start_interval)
    # Whoever answered may be a stranger on the same port while ours has already ended.
    if not process.is_running:
        raise StackError(f"{process.name} ended with {process.returncode}:\n{process.last_words()}")


async def _passes(check: HealthCheck, environment: Mapping[str, str], since: datetime) -> bool:
    command = check.command
    if command[: len(_PROBE)] == _PROBE:
        # The same function that the container would start a process for.
        return await is_well(command[-1], environment, since)
    running = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environment),
    )
    try:
        return await asyncio.wait_for(running.wait(), check.timeout) == 0
    except TimeoutError:
        running.kill()
        await running.wait()
        return False
    except asyncio.CancelledError:
        running.kill()
        raise
