"""Xendit's part of the sandbox: an application of its own under `/xendit`, so that every error speaks its form."""

from __future__ import annotations

import json
import time
from collections import deque

from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dunning.sandbox import xendit_linking, xendit_payments, xendit_recurring, xendit_recurring_cycles
from dunning.sandbox.faults import Target
from dunning.sandbox.state import Sandbox
from dunning.sandbox.xendit_errors import fault_of, install_error_handlers

PREFIX = "/xendit"
WINDOW_SECONDS = 60.0
TEST_LIMIT = 60
_MANDATES = (["sessions"], ["v3", "payment_tokens"], ["customers"], ["recurring", "plans"])


def create_app(sandbox: Sandbox) -> ASGIApp:
    """Xendit's routes over the shared state, with its rate-limit headers."""
    app = FastAPI(title="Xendit", redirect_slashes=False, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.sandbox = sandbox
    install_error_handlers(app)
    routers = (xendit_linking.router, xendit_linking.tokens, xendit_payments.router, xendit_payments.payments)
    for router in (*routers, xendit_recurring.router, xendit_recurring_cycles.router):
        app.include_router(router)
    return Metered(app)


class Metered:
    """Tells the rate as Xendit does: a sliding minute for each endpoint, on the machine's steady clock.

    It never refuses: the gate does, where the sandbox's settings ask for a limit.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._taken: dict[str, deque[float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parts = scope["path"].removeprefix(PREFIX).strip("/").split("/")
        left, reset = self._count(f"{scope['method']} {'/'.join(parts[:2] if parts[0] == 'v3' else parts[:1])}")
        told = {"rate-limit-limit": TEST_LIMIT, "rate-limit-remaining": left, "rate-limit-reset": f"{reset:.2f}"}

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                extra = [(name.encode(), str(value).encode()) for name, value in told.items()]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        await self._app(scope, receive, send_with_headers)

    def _count(self, endpoint: str) -> tuple[int, float]:
        now = time.monotonic()
        taken = self._taken.setdefault(endpoint, deque())
        while taken and now - taken[0] >= WINDOW_SECONDS:
            taken.popleft()
        taken.append(now)
        return max(0, TEST_LIMIT - len(taken)), WINDOW_SECONDS - (now - taken[0])


class XenditFace:
    """What the gate has to know of Xendit: which requests are which, and how a fault looks."""

    prefix = PREFIX

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def classify(self, method: str, path: str) -> tuple[Target, str | None]:
        """Which kind of request this is, with the payment request's id if its path holds one."""
        parts = path.removeprefix(PREFIX).strip("/").split("/")
        if method == "POST" and parts == ["v3", "payment_requests"]:
            return "charge", None
        if method == "POST" and parts == ["refunds"]:
            return "refund", None
        if method == "POST" and parts in _MANDATES:
            return "mandate", None
        if parts[:2] == ["recurring", "plans"] and len(parts) > 2:
            asked: dict[str, Target] = {"force_attempt": "charge", "deactivate": "end"}
            kinds: dict[str, Target] = {"GET": "lookup", "POST": asked.get(parts[-1], "any")}
            return kinds.get(method, "any"), parts[2]
        if method == "GET" and parts == ["transactions"]:
            return "lookup", None
        if method == "GET" and len(parts) == 3 and parts[:2] in (["v3", "payment_requests"], ["v3", "payments"]):
            return "lookup", f"pr-{parts[2][3:]}"
        return "any", None

    def reference_in(self, body: bytes) -> str | None:
        """Whom a charge request is about: our own reference, or whoever holds the token."""
        try:
            found = json.loads(body)
        except ValueError:
            return None
        if not isinstance(found, dict):
            return None
        metadata = found.get("metadata")
        ours = metadata.get("subscription") if isinstance(metadata, dict) else None
        name = ours if isinstance(ours, str) and self._sandbox.book.find_subscription(ours) else None
        token = found.get("payment_token_id")
        return name or (token if isinstance(token, str) else None)

    def refusal(self, status: int) -> Response:
        """A fault's answer."""
        return fault_of(status)
