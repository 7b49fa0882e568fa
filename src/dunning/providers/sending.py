"""Until when the task that holds an attempt may still ask a provider for money. SPEC 13.

The ledger's lease is by the database's clock and is checked before `sent_at` is committed. From there to the first
byte a process can be frozen for any time, and the database cannot be asked between two instructions. So the holder
also counts the lease down by a clock of its own, which no other machine has a part in, and the last look at it is
where the bytes leave (`dunning.providers.http`). It starts before the lease does, so it never ends after it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_until: ContextVar[float | None] = ContextVar("sending_until", default=None)
_BOOT: int | None = getattr(time, "CLOCK_BOOTTIME", None)


def now() -> float:
    """Seconds of a clock that is never set and that goes on while the machine sleeps, where there is one."""
    return time.monotonic() if _BOOT is None else time.clock_gettime(_BOOT)


@contextmanager
def sending_until(instant: float) -> Iterator[None]:
    """Within the block, nothing that changes something at a provider leaves after `instant` (of `now`)."""
    token = _until.set(instant)
    try:
        yield
    finally:
        _until.reset(token)


def still_holds() -> bool:
    """Whether something may still leave. Outside of any `sending_until` everything may."""
    until = _until.get()
    return until is None or now() < until
