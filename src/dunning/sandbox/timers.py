"""What is under way: requests being answered and things that will happen by themselves, counted by subject.

A test clock may only move when nothing is; `GET /_sandbox/quiet` reads these counts.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Pulse:
    """Wakes whoever waits for something to change."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def beat(self) -> None:
        """Something changed."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def next(self) -> None:
        """Return after the next change."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)


class Timers:
    """Counts what is in flight and runs callbacks later on the machine clock."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._counts: Counter[str] = Counter()
        self._handles: dict[asyncio.TimerHandle, str] = {}

    def later(self, seconds: float, subject: str, action: Callable[[], None]) -> None:
        """Run `action` after so many machine seconds; at once, before returning, when it is 0."""
        if seconds <= 0:
            action()
            return
        self._counts[subject] += 1

        def fire() -> None:
            self._handles.pop(handle, None)
            # The action comes first: what it sets off is counted before this ends, so no gap looks quiet.
            try:
                action()
            finally:
                self._leave(subject)

        handle = asyncio.get_running_loop().call_later(seconds, fire)
        self._handles[handle] = subject

    @contextmanager
    def busy(self, subject: str) -> Iterator[None]:
        """Count the enclosed work as in flight."""
        self._counts[subject] += 1
        try:
            yield
        finally:
            self._leave(subject)

    def in_flight(self, subject: str | None = None) -> int:
        """How much is under way, for one subject or in all."""
        return self._counts.total() if subject is None else self._counts[subject]

    def cancel(self) -> None:
        """Forget everything that was to happen; work being done is still counted until it ends."""
        for handle, subject in self._handles.items():
            handle.cancel()
            self._leave(subject)
        self._handles.clear()

    def _leave(self, subject: str) -> None:
        self._counts[subject] -= 1
        if self._counts[subject] <= 0:
            del self._counts[subject]
        self._pulse.beat()
