"""Refused messages are counted in the ledger, seldom enough that nobody can flood it. SPEC 12, 18."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

import structlog
from sqlalchemy.exc import SQLAlchemyError

from dunning.ledger import Ledger

log = structlog.get_logger("gateway")

EVERY_SECONDS = 10.0
"""One row of one account and reason is written at most so often by each process; what comes between is added up."""

DOCTOR = "dunning-doctor"
"""The user agent of `dunning doctor`, whose unsigned question is refused like any other and counts as none."""


class RefusalLog:
    """Why messages were refused. Reasons are words of ours, never of who sent them."""

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._written: dict[tuple[str, str], float] = {}
        self._waiting: Counter[tuple[str, str]] = Counter()

    async def note(self, account: str, because: str, headers: Mapping[str, str]) -> None:
        """Say it in the log, and count it; a ledger that is away costs no more than the count."""
        if headers.get("user-agent") == DOCTOR:
            return
        log.warning("webhook.refused", account=account, because=because)
        key = (account, because)
        self._waiting[key] += 1
        now = self._clock()
        if now - self._written.get(key, -EVERY_SECONDS) < EVERY_SECONDS:
            return
        self._written[key] = now
        count = self._waiting.pop(key)
        try:
            await self._ledger.note_refusal(account, because, count)
        except (SQLAlchemyError, OSError, TimeoutError):
            self._waiting[key] += count
