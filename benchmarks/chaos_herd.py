"""Several worker processes, some of which are killed or stopped at random moments. SPEC 19.

A moment is drawn as a number of attempts that the ledger holds, and a fraction of a second after it, so it is spread
over the run however long a machine takes. Every other blow is aimed: it waits a little for a worker that has a charge
in hand, and strikes that one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.chaos_worker import LEASE
from benchmarks.stage import ROOT, Stage

WORKERS = 3
BEYOND_THE_LEASE = LEASE.total_seconds() + 2
LOOK_EVERY = 0.02
AIM_FOR = 5.0
NONDETERMINISM = b"TMPRL1100"


@dataclass(frozen=True)
class Blow:
    """SIGKILL or SIGSTOP, `delay` seconds after the run has made so many attempts."""

    attempts: int
    delay: float
    is_kill: bool
    is_aimed: bool


@dataclass
class Struck:
    """What the blows met."""

    kills: int = 0
    stops: int = 0
    with_a_charge: int = 0


def blows(seed: int, kills: int, stops: int, attempts: int) -> list[Blow]:
    """Moments for a run that makes at least so many attempts; the last tenth is left in peace, to end."""
    draw = random.Random(f"{seed}/blows")
    last = max(1, attempts * 9 // 10)
    kinds = [True] * kills + [False] * stops
    found = [
        Blow(draw.randint(1, last), draw.uniform(0, 0.4), kind, is_aimed=number % 2 == 0)
        for number, kind in enumerate(kinds)
    ]
    return sorted(found, key=lambda blow: (blow.attempts, blow.delay))


class Herd:
    """The worker processes of a run."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._processes: list[asyncio.subprocess.Process] = []
        self._stopped: set[int] = set()
        self._waking: set[asyncio.Task[None]] = set()
        self._log = stage.stack.directory / "chaos-workers.log"

    async def add(self) -> None:
        """One more worker."""
        env = {**os.environ, **self._stage.stack.env, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.chaos_worker", stdout=log, stderr=log, env=env, cwd=ROOT
            )
        self._processes.append(process)

    async def strike(
        self,
        planned: list[Blow],
        draw: random.Random,
        attempts_made: Callable[[], Awaitable[int]],
        holders: Callable[[], Awaitable[set[int]]],
    ) -> Struck:
        """Deal every blow at its moment; a killed worker is replaced, a stopped one goes on after its lease."""
        struck = Struck()
        for blow in planned:
            while await attempts_made() < blow.attempts:  # noqa: ASYNC110 - the sign comes from another process
                await asyncio.sleep(LOOK_EVERY)
            await asyncio.sleep(blow.delay)
            victim, has_charge = await self._victim(blow, draw, holders)
            struck.with_a_charge += has_charge
            if blow.is_kill:
                struck.kills += 1
                victim.send_signal(signal.SIGKILL)
                await victim.wait()
                self._processes.remove(victim)
                await self.add()
            else:
                struck.stops += 1
                victim.send_signal(signal.SIGSTOP)
                self._stopped.add(victim.pid)
                waking = asyncio.create_task(self._wake(victim))
                self._waking.add(waking)
                # One at a time, so that there is always somebody to work.
                await waking
        return struck

    async def _victim(
        self, blow: Blow, draw: random.Random, holders: Callable[[], Awaitable[set[int]]]
    ) -> tuple[asyncio.subprocess.Process, bool]:
        """A worker that runs, and whether it has a charge in hand."""
        until = asyncio.get_running_loop().time() + AIM_FOR
        while True:
            busy = await holders()
            if gone := self.ended_by_themselves():
                raise RuntimeError(f"workers ended by themselves with {gone}; chaos-workers.log tells why")
            running = [p for p in self._processes if p.pid not in self._stopped]
            aimed = [p for p in running if p.pid in busy]
            if blow.is_aimed and aimed:
                return draw.choice(aimed), True
            if not blow.is_aimed or asyncio.get_running_loop().time() > until:
                victim = draw.choice(running)
                return victim, victim.pid in busy
            await asyncio.sleep(LOOK_EVERY)

    async def _wake(self, process: asyncio.subprocess.Process) -> None:
        await asyncio.sleep(BEYOND_THE_LEASE)
        process.send_signal(signal.SIGCONT)
        self._stopped.discard(process.pid)

    def ended_by_themselves(self) -> list[int]:
        """Exit codes of workers that nobody ended."""
        return [p.returncode for p in self._processes if p.returncode is not None]

    def complaints(self) -> list[str]:
        """Lines of the workers' logs that tell of a history that cannot be replayed."""
        lines = Path(self._log).read_bytes().splitlines() if self._log.exists() else []
        return [line.decode(errors="replace")[:300] for line in lines if NONDETERMINISM in line]

    async def end(self) -> None:
        """Kill what is left."""
        for process in self._processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


@contextlib.asynccontextmanager
async def open_herd(stage: Stage, size: int = WORKERS) -> AsyncIterator[Herd]:
    """So many workers; all of them end with the block."""
    herd = Herd(stage)
    try:
        for _ in range(size):
            await herd.add()
        yield herd
    finally:
        await herd.end()
