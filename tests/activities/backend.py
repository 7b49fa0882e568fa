"""A product backend on a free port: verifies what it receives, and fails, hangs or is slow when told."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVarTuple

from pydantic import SecretStr
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dunning.sandbox.serving import serving
from dunning.settings import AccountSettings

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
Wanted = TypeVarTuple("Wanted")


class Backend:
    """What arrived, in order. `answers` are taken first, by subscription; then 204."""

    def __init__(self) -> None:
        self.url = ""
        self.taken: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []
        self.answers: dict[str, list[int]] = defaultdict(list)
        self.hanging: set[str] = set()
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self._arrived = asyncio.Condition()

    async def take(self, request: Request) -> Response:
        """Raises when the signature does not hold."""
        body = await request.body()
        Webhook(SECRET).verify(body, dict(request.headers))
        self.seen.append((dict(request.headers), body))
        event = json.loads(body)
        assert event["id"] == request.headers["webhook-id"]
        subscription = event["subscription_id"]
        if subscription in self.hanging:
            await asyncio.Event().wait()
        status = self.answers[subscription].pop(0) if self.answers[subscription] else 204
        async with self._arrived:
            (self.taken if status < 300 else self.refused).append(event)
            self._arrived.notify_all()
        return Response(status_code=status)

    async def until(self, is_reached: Callable[[Backend, *Wanted], bool], *wanted: *Wanted) -> None:
        """Wait for deliveries; fails after half a minute. `is_reached` is asked with what is `wanted`."""
        async with asyncio.timeout(30), self._arrived:
            await self._arrived.wait_for(lambda: is_reached(self, *wanted))

    def of(self, subscription: str) -> list[int]:
        """Sequence numbers that were taken, in order of arrival."""
        return [event["sequence"] for event in self.taken if event["subscription_id"] == subscription]

    def account(self, **changes: Any) -> AccountSettings:
        """A merchant account whose events come here."""
        values: dict[str, Any] = {
            "provider": "dodo", "mode": "test", "api_key": SecretStr("dodo_test_key"), "merchant_name": "Kopi Club",
            "webhook_secrets": (SecretStr(SECRET),), "backend_url": self.url, "backend_secret": SecretStr(SECRET),
        }  # fmt: skip
        return AccountSettings(**values | changes)


@asynccontextmanager
async def open_backend() -> AsyncIterator[Backend]:
    """Listening, and ended afterwards."""
    backend = Backend()
    async with serving(Starlette(routes=[Route("/events", backend.take, methods=["POST"])])) as url:
        backend.url = f"{url}/events"
        yield backend
