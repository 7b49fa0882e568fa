"""Delivering events to the product backend: a long activity that drains an account's outbox. SPEC 10."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import httpx
from temporalio import activity

from dunning.domain.base import Value
from dunning.ledger import Ledger
from dunning.ledger.models import OutboxRow
from dunning.outgoing import ANSWER_SECONDS, Endpoint, endpoint_of, envelope, post_event
from dunning.settings import AccountSettings

DELIVER = "deliver_events"

POLL_SECONDS = 0.25
"""How soon a new event is seen. The machine clock rules here, not business time."""

CONCURRENCY = 20
"""Subscriptions whose events are on their way at once, of one account."""


class DeliveryInput(Value):
    """Drain `account` for so many seconds."""

    account: str
    seconds: float


class DeliveryActivities:
    """One instance per worker."""

    def __init__(self, ledger: Ledger, accounts: Mapping[str, AccountSettings], http: httpx.AsyncClient) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._http = http

    @activity.defn(name=DELIVER)
    async def deliver_events(self, request: DeliveryInput) -> int:
        """Deliver what is due until the time is over; returns how many were delivered.

        Without a backend to deliver to it waits as long, so that its workflow does not turn in a circle.
        """
        endpoint = endpoint_of(self._accounts.get(request.account))
        deadline = time.monotonic() + request.seconds
        on_way: dict[str, asyncio.Task[bool]] = {}
        delivered = 0
        try:
            while time.monotonic() < deadline and not activity.is_worker_shutdown():
                activity.heartbeat(delivered)
                if endpoint is not None:
                    await self._send_due(request.account, endpoint, on_way)
                delivered += await _arrived(on_way, POLL_SECONDS)
            while on_way:
                delivered += await _arrived(on_way, POLL_SECONDS)
        finally:
            for task in on_way.values():
                task.cancel()
        return delivered

    async def _send_due(self, account: str, endpoint: Endpoint, on_way: dict[str, asyncio.Task[bool]]) -> None:
        """Start what is due; a subscription's next event waits for the one before, and for nothing else."""
        for row in await self._ledger.due_events(account, limit=CONCURRENCY + len(on_way)):
            if row.subscription not in on_way and len(on_way) < CONCURRENCY:
                on_way[row.subscription] = asyncio.create_task(self._deliver(endpoint, row))

    async def _deliver(self, endpoint: Endpoint, row: OutboxRow) -> bool:
        """One event, once; whatever is wrong with the backend delays only this subscription's events."""
        delivered = await post_event(self._http, endpoint, envelope(row), seconds=ANSWER_SECONDS)
        if delivered.is_taken:
            await self._ledger.mark_delivered(row.id)
        elif await self._ledger.mark_failed(row.id, because=delivered.because):
            activity.logger.warning("event undelivered for three days", extra={"event_id": row.id})
        return delivered.is_taken


async def _arrived(on_way: dict[str, asyncio.Task[bool]], seconds: float) -> int:
    """Wait for the next answers, or so long; how many events were delivered. Answered ones leave `on_way`."""
    if not on_way:
        await asyncio.sleep(seconds)
        return 0
    done, _ = await asyncio.wait(on_way.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for subscription in [name for name, task in on_way.items() if task in done]:
        del on_way[subscription]
    return sum(task.result() for task in done)
