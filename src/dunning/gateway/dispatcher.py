"""Settles what the inbox holds, and tells it to workflows: once each as a rule, again when it did not work. SPEC 15."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import structlog

from dunning.contract import ProviderFact
from dunning.gateway.settling import Settler
from dunning.ledger import Ledger
from dunning.ledger.models import InboxRow

log = structlog.get_logger("gateway")

Subject = tuple[str, str]
"""Account and subscription."""

Signal = Callable[[str, str, ProviderFact], Awaitable[None]]
"""Account, subscription, fact; raises when the workflow service did not take it."""

BATCH = 50
MANY_STUCK = 10
"""When so many subscriptions cannot be told, it is not they: the rest waits for the next round."""

BUSY_SECONDS = 0.05
"""When the last message came less long ago, and many wait, every other moment is left to those that come."""

LONGEST_REST = 0.5
"""Seconds between two rounds of settling at most: messages take effect also while many come."""

PATROL_SECONDS = 5.0
"""How often the inbox is looked through without being asked to: rows of crashed processes are found so."""


class Dispatcher:
    """Two loops per gateway process: one settles, one signals, so that nothing is unsettled because Temporal is away.

    Several processes may run: rows are claimed with a lock that others skip.
    """

    def __init__(self, ledger: Ledger, signal: Signal, *, patrol_seconds: float = PATROL_SECONDS) -> None:
        self._ledger = ledger
        self._settler = Settler(ledger, again_seconds=patrol_seconds)
        self._signal = signal
        self._patrol_seconds = patrol_seconds
        self._wake = asyncio.Event()
        self._is_settled = asyncio.Event()
        self._woken_at = 0.0

    def wake(self) -> None:
        """A message was stored."""
        self._wake.set()
        self._woken_at = time.monotonic()

    async def run(self) -> None:
        """Drain the inbox until cancelled. Nothing that goes wrong ends it."""
        await asyncio.gather(self._keep(self._wake, self._settle), self._keep(self._is_settled, self._signal_all))

    async def drain(self) -> int:
        """Settle and signal everything that waits now; returns how many rows could not be."""
        return await self._settle() + await self._signal_all()

    async def _keep(self, wake: asyncio.Event, work: Callable[[], Awaitable[int]]) -> None:
        while True:
            wake.clear()
            try:
                await work()
            except Exception as failure:
                # The ledger is away; the rows wait there.
                log.warning("inbox.unreachable", because=type(failure).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), self._patrol_seconds)

    async def _settle(self) -> int:
        """Settle what waits, oldest first; what is settled is signalled meanwhile."""
        left = 0
        while True:
            began = time.monotonic()
            found = await self._settler.settle()
            left += found.left
            if found.done:
                self._is_settled.set()
            if found.is_over:
                return left
            now = time.monotonic()
            if now - self._woken_at < BUSY_SECONDS:
                # Answers first: providers wait for them, and send again what they wait for too long.
                await asyncio.sleep(min(now - began, LONGEST_REST))

    async def _signal_all(self) -> int:
        left = 0
        stuck: set[Subject] = set()
        while True:
            # Rows that failed stay at the front: the window grows past them, so they hold up nobody else.
            limit = BATCH + left
            async with self._ledger.unsignalled(limit) as rows:
                groups = _by_subject(rows, without=stuck)
                results = await asyncio.gather(*(self._tell(group) for group in groups.values()))
                for row in (row for told in results for row in told):
                    rows.done(row)
            stuck |= {subject for (subject, group), told in zip(groups.items(), results, strict=True) if group != told}
            left = len(rows) - sum(len(told) for told in results)
            if len(rows) < limit or len(stuck) >= MANY_STUCK:
                return left

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


def _by_subject(rows: list[InboxRow], *, without: set[Subject]) -> dict[Subject, list[InboxRow]]:
    """Rows of each subscription, oldest first."""
    found: dict[Subject, list[InboxRow]] = {}
    for row in rows:
        subject = (row.account, row.subscription or "")
        if subject not in without:
            found.setdefault(subject, []).append(row)
    return found
