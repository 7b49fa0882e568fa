"""Messages on their way out: signed, retried, and on request duplicated, reordered, delayed or lost.

A payload is made when it is delivered, so it shows the latest state, as the provider's does. Order is not
promised; without a fault, first deliveries about one subject start one after another.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import httpx

from dunning.sandbox.book import machine_now
from dunning.sandbox.settings import SandboxSettings, WebhookPolicy
from dunning.sandbox.timers import Pulse

EventStatus = Literal["waiting", "delivered", "lost", "failed", "not_sent"]
Render = Callable[["Event"], tuple[dict[str, str], bytes]]


@dataclass
class Event:
    """One message. `subject` is the subscription (or message) that it is about; `answers` what came back."""

    event_id: str
    type: str
    subject: str
    url: str
    render: Render
    created_at: datetime = field(default_factory=machine_now)
    status: EventStatus = "waiting"
    answers: list[int | str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """The event as the control API shows it."""
        return {
            "id": self.event_id,
            "type": self.type,
            "subject": self.subject,
            "created_at": self.created_at.isoformat(),
            "status": self.status,
            "answers": list(self.answers),
        }


class Courier:
    """Delivers events over HTTP; any 2xx answer acknowledges."""

    def __init__(self, settings: Callable[[], SandboxSettings], pulse: Pulse) -> None:
        self._pulse = pulse
        self._settings = settings
        self._client: httpx.AsyncClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._locks: dict[str, asyncio.Lock] = {}
        self._waiting: Counter[str] = Counter()
        self._counted = 0
        self._held: Event | None = None
        self.events: list[Event] = []

    def send(self, event: Event) -> None:
        """Take one event on, treated as the policy of the moment says."""
        self.events.append(event)
        if not event.url:
            event.status = "not_sent"
            return
        policy = self._policy_for(event)
        if policy.mode == "lose":
            event.status = "lost"
            return
        self._waiting[event.subject] += 1
        if policy.mode != "reorder":
            self._start(self._carry(event, policy))
        elif self._held is None:
            self._held = event
            self._start(self._flush_later(event, policy.seconds))
        else:
            held, self._held = self._held, None
            self._start(self._carry_in_order(event, held))

    def replay(self, event: Event) -> None:
        """Deliver an event again under the same id, as from the provider's dashboard; no policy applies."""
        event.status = "waiting"
        self._waiting[event.subject] += 1
        self._start(self._carry(event, WebhookPolicy()))

    def pending(self, subject: str | None = None) -> int:
        """How many events have not reached their end yet, for one subject or in all."""
        return self._waiting.total() if subject is None else self._waiting[subject]

    async def stop(self) -> None:
        """Drop what is on its way and forget every event."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()
            self._client = None
        self._waiting.clear()
        self._locks.clear()
        self.events.clear()
        self._held = None
        self._counted = 0

    def _policy_for(self, event: Event) -> WebhookPolicy:
        policy = self._settings().webhooks
        if policy.mode == "normal" or (policy.types and event.type not in policy.types):
            return WebhookPolicy()
        self._counted += 1
        return policy if self._counted % policy.every == 0 else WebhookPolicy()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _flush_later(self, event: Event, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._held is event:
            self._held = None
            await self._carry(event, WebhookPolicy())

    async def _carry_in_order(self, first: Event, second: Event) -> None:
        await self._carry(first, WebhookPolicy())
        await self._carry(second, WebhookPolicy())

    async def _carry(self, event: Event, policy: WebhookPolicy) -> None:
        try:
            if policy.mode == "delay":
                await asyncio.sleep(policy.seconds)
            async with self._locks.setdefault(event.subject, asyncio.Lock()):
                is_delivered = await self._attempt(event)
            copies = policy.copies - 1 if policy.mode == "duplicate" else 0
            for _ in range(copies):
                is_delivered = await self._attempt(event) or is_delivered
            if not is_delivered:
                is_delivered = await self._try_again(event)
            event.status = "delivered" if is_delivered else "failed"
        finally:
            self._waiting[event.subject] -= 1
            if self._waiting[event.subject] <= 0:
                del self._waiting[event.subject]
            self._pulse.beat()

    async def _try_again(self, event: Event) -> bool:
        for seconds in self._settings().webhook_backoff_seconds:
            await asyncio.sleep(seconds)
            if await self._attempt(event):
                return True
        return False

    async def _attempt(self, event: Event) -> bool:
        headers, body = event.render(event)
        if self._client is None:
            self._client = httpx.AsyncClient()
        timeout = self._settings().webhook_timeout_seconds
        try:
            answer = await self._client.post(event.url, content=body, headers=headers, timeout=timeout)
        except httpx.HTTPError as error:
            event.answers.append(type(error).__name__)
            return False
        event.answers.append(answer.status_code)
        return answer.is_success
