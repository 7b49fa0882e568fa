"""Tells workflows what the inbox holds: once each as a rule, again whenever it did not work. SPEC 15."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from itertools import groupby

import structlog

from dunning.contract import ProviderFact
from dunning.ledger import Ledger
from dunning.ledger.models import InboxRow

log = structlog.get_logger("gateway")

Signal = Callable[[str, str, ProviderFact], Awaitable[None]]
"""Account, subscription, fact; raises when the workflow service did not take it."""

BATCH = 50
PATROL_SECONDS = 5.0
"""How often the inbox is looked through without being asked to: rows of crashed processes are found so."""


class Dispatcher:
    """One loop per gateway process. Several may run: rows are claimed with a lock that others skip."""

    def __init__(self, ledger: Ledger, signal: Signal, *, patrol_seconds: float = PATROL_SECONDS) -> None:
        self._ledger = ledger
        self._signal = signal
        self._patrol_seconds = patrol_seconds
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """A message was stored."""
        self._wake.set()

    async def run(self) -> None:
        """Drain the inbox until cancelled. Nothing that goes wrong ends it."""
        while True:
            self._wake.clear()
            try:
                await self.drain()
            except Exception as failure:
                # The ledger is away; the rows wait there.
                log.warning("inbox.unreachable", because=type(failure).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._patrol_seconds)

    async def drain(self) -> int:
        """Signal everything that waits now; returns how many rows could not be signalled."""
        failed = 0
        while True:
            # Rows that failed stay in front of the queue: the window grows past them, so they block nobody.
            limit = BATCH + failed
            async with self._ledger.unsignalled(limit) as rows:
                ordered = sorted(rows, key=lambda row: (row.account, row.subscription or "", row.id))
                groups = [list(group) for _, group in groupby(ordered, key=_subject)]
                results = await asyncio.gather(*(self._tell(group) for group in groups))
                told = [row for result in results for row in result]
                for row in told:
                    rows.done(row)
            failed = len(rows) - len(told)
            if len(rows) < limit or not told:
                return failed

    async def _tell(self, rows: list[InboxRow]) -> list[InboxRow]:
        """Signal one subscription's rows in order; after a failure its later rows wait too."""
        told: list[InboxRow] = []
        for row in rows:
            try:
                await self._signal(row.account, row.subscription or "", ProviderFact.model_validate(row.fact))
            except Exception as failure:
                log.warning("inbox.not_signalled", message_id=row.message_id, because=type(failure).__name__)
                break
            told.append(row)
        return told


def _subject(row: InboxRow) -> tuple[str, str]:
    return row.account, row.subscription or ""
