"""A product backend's endpoint: verifies signed events, keeps them, and fails when told to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

from dunning.sandbox.book import machine_now


@dataclass(frozen=True)
class ReceivedEvent:
    """One delivery that was verified and acknowledged; a redelivery is another one under the same id."""

    webhook_id: str
    received_at: datetime
    body: dict[str, Any]

    def row(self) -> dict[str, Any]:
        """The delivery as the control API shows it."""
        return {"webhook_id": self.webhook_id, "received_at": self.received_at.isoformat(), **self.body}


@dataclass
class BackendDouble:
    """What the endpoint received. The next `fail_times` deliveries are answered with `fail_status`."""

    events: list[ReceivedEvent] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)
    fail_times: int = 0
    fail_status: int = 500

    def clear(self) -> None:
        """Forget everything and fail no more."""
        self.events.clear()
        self.refused.clear()
        self.fail_times, self.fail_status = 0, 500

    def receive(self, headers: Mapping[str, str], body: bytes, secret: str | None) -> int:
        """Take one delivery in; the HTTP status to answer with."""
        if self.fail_times > 0:
            self.fail_times -= 1
            return self._refuse(headers, self.fail_status, "told to fail")
        if secret is None:
            return self._refuse(headers, 503, "no secret is configured")
        try:
            Webhook(secret).verify(body, dict(headers))
            content = json.loads(body)
        except (WebhookVerificationError, ValueError) as error:
            # A malformed signature or body raises ValueError, not the library's own error.
            return self._refuse(headers, 401, str(error) or type(error).__name__)
        if not isinstance(content, dict):
            return self._refuse(headers, 422, "the body is not an object")
        self.events.append(ReceivedEvent(headers["webhook-id"], machine_now(), content))
        return 204

    def _refuse(self, headers: Mapping[str, str], status: int, because: str) -> int:
        self.refused.append({"webhook_id": headers.get("webhook-id"), "status": status, "because": because})
        return status
