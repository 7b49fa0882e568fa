"""A merchant's own SMS gateway, as a double: it verifies each call and sends each id once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError


class SmsBook:
    """Messages by id. `recipients` maps a number to the status that sending to it meets."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.messages: dict[str, dict[str, Any]] = {}
        self.recipients: dict[str, int] = {}
        self.fail_times, self.fail_status = 0, 503
        self.asked = 0
        self.refused = 0

    def receive(self, headers: Mapping[str, str], body: bytes, secret: str | None) -> tuple[int, dict[str, Any]]:
        """One call; returns the answer's status and body."""
        self.asked += 1
        try:
            if secret is not None:
                Webhook(secret).verify(body, dict(headers))
            message = json.loads(body)
            identity, to = headers["webhook-id"], str(message["to"])
        except (WebhookVerificationError, ValueError, KeyError, TypeError):
            self.refused += 1
            return 401, {"error": "not signed with our secret"}
        if self.fail_times > 0:
            self.fail_times -= 1
            return self.fail_status, {"error": "asked to fail"}
        if to in self.recipients:
            return self.recipients[to], {"error": "configured for this recipient"}
        self.messages.setdefault(identity, message)
        return 202, {"id": f"text-{identity}"}
