"""Delivering events to the product backend: a long activity that drains an account's outbox. SPEC 10."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
from standardwebhooks import Webhook
from temporalio import activity

from dunning.domain.base import Value
from dunning.ledger import Ledger
from dunning.ledger.models import OutboxRow
from dunning.settings import AccountSettings

DELIVER = "deliver_events"

POLL_SECONDS = 0.25
"""How soon a new event is seen. The machine clock rules here, not business time."""

CONCURRENCY = 20
"""Subscriptions whose events are on their way at once, of one account."""

ANSWER_SECONDS = 15.0
"""How long a backend may take to acknowledge an event."""


class DeliveryInput(Value):
    """Drain `account` for so many seconds."""

    account: str
    seconds: float


@dataclass(frozen=True)
class _Backend:
    """Where an account's events go, and what signs them."""

    url: str
    webhook: Webhook


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
        backend = self._backend_of(request.account)
        deadline = time.monotonic() + request.seconds
        on_way: dict[str, asyncio.Task[bool]] = {}
        delivered = 0
        try:
            while time.monotonic() < deadline and not activity.is_worker_shutdown():
                activity.heartbeat(delivered)
                if backend is not None:
                    await self._send_due(request.account, backend, on_way)
                delivered += await _arrived(on_way, POLL_SECONDS)
            while on_way:
                delivered += await _arrived(on_way, POLL_SECONDS)
        finally:
            for task in on_way.values():
                task.cancel()
        return delivered

    def _backend_of(self, name: str) -> _Backend | None:
        account = self._accounts.get(name)
        if account is None or account.backend_url is None or account.backend_secret is None:
            return None
        return _Backend(account.backend_url, Webhook(account.backend_secret.get_secret_value()))

    async def _send_due(self, account: str, backend: _Backend, on_way: dict[str, asyncio.Task[bool]]) -> None:
        """Start what is due; a subscription's next event waits for the one before, and for nothing else."""
        for row in await self._ledger.due_events(account, limit=CONCURRENCY + len(on_way)):
            if row.subscription not in on_way and len(on_way) < CONCURRENCY:
                on_way[row.subscription] = asyncio.create_task(self._deliver(backend, row))

    async def _deliver(self, backend: _Backend, row: OutboxRow) -> bool:
        """One event, once; whatever is wrong with the backend delays only this subscription's events."""
        body = json.dumps(envelope(row), separators=(",", ":"))
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": row.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": backend.webhook.sign(row.id, now, body),
        }
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await self._http.post(backend.url, content=body.encode(), headers=headers)
            is_taken = answer.is_success
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            is_taken = False
        if is_taken:
            await self._ledger.mark_delivered(row.id)
        elif await self._ledger.mark_failed(row.id):
            activity.logger.warning("event undelivered for three days", extra={"event_id": row.id})
        return is_taken


async def _arrived(on_way: dict[str, asyncio.Task[bool]], seconds: float) -> int:
    """Wait for the next answers, or so long; how many events were delivered. Answered ones leave `on_way`."""
    if not on_way:
        await asyncio.sleep(seconds)
        return 0
    done, _ = await asyncio.wait(on_way.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for subscription in [name for name, task in on_way.items() if task in done]:
        del on_way[subscription]
    return sum(task.result() for task in done)


def envelope(row: OutboxRow) -> dict[str, object]:
    """What the backend receives. SPEC 10."""
    return {
        "id": row.id,
        "type": row.type,
        "created_at": row.created_at.isoformat(),
        "subscription_id": row.subscription,
        "merchant_account": row.account,
        "sequence": row.sequence,
        "data": row.data,
    }
