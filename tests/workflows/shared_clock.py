"""One server's clock for many stories at a time.

The server's clock moves only when every story waits, and then to the earliest instant that one of them waits for. So
a story that works finds the time standing, as if it were alone, and a long month is passed once for all of them.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from temporalio.testing import WorkflowEnvironment

from tests.workflows.world import Life, World, skip

A_MOMENT = timedelta(seconds=30)
"""Longer than any work lasts. The server skips no time during work, so a moment is over when all work is."""


class SharedClock:
    """The clock of `stories` stories; each calls `leave` at its end."""

    def __init__(self, env: WorkflowEnvironment, now: datetime, stories: int) -> None:
        self._env = env
        self._now = now
        self._present = stories
        self._wishes: list[tuple[datetime, asyncio.Future[None]]] = []
        self._changed = asyncio.Event()

    async def sleep(self, by: timedelta) -> None:
        """Wait until that much virtual time has passed since the clock stood still."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wishes.append((self._now + by, woken))
        self._changed.set()
        await woken

    def leave(self) -> None:
        """A story is over: nobody waits for it any more."""
        self._present -= 1
        self._changed.set()

    async def move(self) -> None:
        """Move the server's clock until all stories are over."""
        while self._present > 0:
            await self._changed.wait()
            self._changed.clear()
            self._wishes = [wish for wish in self._wishes if not wish[1].done()]
            if self._wishes and len(self._wishes) >= self._present:
                await self._move_to(min(at for at, _ in self._wishes))

    async def _move_to(self, instant: datetime) -> None:
        left = instant - await self._env.get_current_time()
        if left > timedelta():
            await skip(self._env, left)
        # This server never answers a query that meets the end of a run, so no story finds work half done.
        await skip(self._env, A_MOMENT)
        self._now = await self._env.get_current_time()
        for at, woken in self._wishes:
            if at <= self._now and not woken.done():
                woken.set_result(None)
        self._changed.set()


class Corner(World):
    """A world for one of several stories at a time: subscriptions of its own, and everybody's clock."""

    def __init__(self, world: World, clock: SharedClock) -> None:
        self.__dict__.update(world.__dict__)
        self.names, self.ids = [], []
        self._clock = clock

    async def sleep(self, by: timedelta) -> None:
        """Let virtual time pass for everybody."""
        await self._clock.sleep(by)

    async def begin(self, *outcomes: str, **given: Any) -> Life:
        """As in any world; what happens at once has happened then."""
        life = await super().begin(*outcomes, **given)
        await self.sleep(A_MOMENT)
        return life

    async def leave(self) -> None:
        """The story is over. Runs are ended between two pieces of work: half done, one would hold the clock."""
        try:
            await self.sleep(A_MOMENT)
            await self.end_lives()
        finally:
            self._clock.leave()
