"""Delivering events to the product backend: a long activity that drains an account's outbox. SPEC 10."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
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


class DeliveryInput(Value):
    """Drain `account` for so many seconds."""

    account: str
    seconds: float = 600.0


class DeliveryActivities:
    """One instance per worker."""

    def __init__(self, ledger: Ledger, accounts: Mapping[str, AccountSettings], http: httpx.AsyncClient) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._http = http

    @activity.defn(name=DELIVER)
    async def deliver_events(self, request: DeliveryInput) -> int:
        """Deliver what is due until the time is over; returns how many were delivered."""
        account = self._accounts.get(request.account)
        if account is None or account.backend_url is None or account.backend_secret is None:
            return 0
        webhook = Webhook(account.backend_secret.get_secret_value())
        deadline = time.monotonic() + request.seconds
        delivered = 0
        while time.monotonic() < deadline and not activity.is_worker_shutdown():
            activity.heartbeat(delivered)
            rows = await self._ledger.due_events(request.account, limit=CONCURRENCY)
            if not rows:
                await asyncio.sleep(POLL_SECONDS)
                continue
            posts = [self._deliver(account.backend_url, webhook, row) for row in rows]
            delivered += sum(await asyncio.gather(*posts))
        return delivered

    async def _deliver(self, url: str, webhook: Webhook, row: OutboxRow) -> bool:
        """One event, once; whatever is wrong with the backend delays only this subscription's events."""
        body = json.dumps(envelope(row), separators=(",", ":"))
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": row.id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": webhook.sign(row.id, now, body),
        }
        try:
            answer = await self._http.post(url, content=body.encode(), headers=headers)
            is_taken = answer.is_success
        except httpx.HTTPError:
            is_taken = False
        if is_taken:
            await self._ledger.mark_delivered(row.id)
        elif await self._ledger.mark_failed(row.id):
            activity.logger.warning("event undelivered for three days", extra={"event_id": row.id})
        return is_taken


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
