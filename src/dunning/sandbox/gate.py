"""The door in front of all providers: faults, rate-limit headers, and the count of requests in flight."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs

from fastapi.responses import JSONResponse
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dunning.sandbox.errors import error_response
from dunning.sandbox.faults import (
    LAG,
    Fault,
    Target,
    classify,
    drop,
    hold,
    read_body,
    remember_connection,
    replaying,
)
from dunning.sandbox.whatsapp_errors import meta_error

if TYPE_CHECKING:
    from dunning.sandbox.state import Sandbox

HOLD_LAG_SECONDS = 3600.0
DEFAULT_LIMIT = 40

Refuse = Callable[[int], Response]


class Face(Protocol):
    """A provider under a path of its own: which requests are which, and how its refusals look."""

    @property
    def prefix(self) -> str:
        """What its paths begin with."""
        ...

    def classify(self, method: str, path: str) -> tuple[Target, str | None]:
        """The kind of a request, with the id in its path."""
        ...

    def reference_in(self, body: bytes) -> str | None:
        """Whom a charge request is about, where its path does not say."""
        ...

    def refusal(self, status: int) -> Response:
        """The answer of a fault, or of a rate limit."""
        ...


class RateWindow:
    """Counts requests in one-second windows of the machine's steady clock."""

    def __init__(self) -> None:
        self._second = 0
        self._taken = 0

    def take(self, limit: int) -> tuple[bool, int]:
        """Count one request: whether it is within the limit, and how many are left in this second."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        return self._taken <= limit, max(0, limit - self._taken)


class Gate:
    """ASGI middleware, the outermost one: it alone can spoil an answer or drop a connection."""

    def __init__(self, app: ASGIApp, sandbox: Sandbox, faces: Sequence[Face] = ()) -> None:
        self._app = app
        self._faces = faces
        self._sandbox = sandbox
        self._window = RateWindow()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, with whatever fault falls on it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        remember_connection(scope, send)
        face = next((one for one in self._faces if scope["path"].startswith(f"{one.prefix}/")), None)
        found = (face.classify if face else classify)(scope["method"], scope["path"])
        if found is None:
            await self._app(scope, receive, send)
            return
        target, path_id = found
        if face is not None and target == "charge" and path_id is None:
            body = await read_body(receive)
            path_id, receive = face.reference_in(body), replaying(body, receive)
        if target == "refund" and path_id is None:
            body = await read_body(receive)
            path_id, receive = _payment_in(body), replaying(body, receive)
        names = self._names(target, path_id, scope)
        with self._sandbox.timers.busy(self._subject(names)):
            fault = self._sandbox.faults.take(target, names)
            if target == "whatsapp":
                await self._pass(fault, partial(_refusal, target=target), scope, receive, send)
            elif face is not None:
                await self._limited(fault, face.refusal, scope, receive, send)
            else:
                await self._metered(fault, partial(_refusal, target=target), scope, receive, send)

    async def _limited(self, fault: Fault | None, refuse: Refuse, scope: Scope, receive: Receive, send: Send) -> None:
        """A provider that publishes no rates: a limit only where one was asked for, and no word about it."""
        limit = self._sandbox.settings.rate_limit_per_second
        is_within, _ = self._window.take(limit or DEFAULT_LIMIT)
        if limit and not is_within:
            await refuse(429)(scope, receive, send)
            return
        await self._pass(fault, refuse, scope, receive, send)

    async def _metered(self, fault: Fault | None, refuse: Refuse, scope: Scope, receive: Receive, send: Send) -> None:
        refusing = self._sandbox.settings.rate_limit_per_second
        limit = refusing or DEFAULT_LIMIT
        is_within, left = self._window.take(limit)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                meters = {"x-ratelimit-limit": limit, "x-ratelimit-remaining": left, "x-ratelimit-reset": 1}
                extra = [(name.encode(), str(value).encode()) for name, value in meters.items()]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        if refusing and not is_within:
            answer = error_response("TOO_MANY_REQUESTS", "Too many requests; nothing was done.")
            await answer(scope, receive, send_with_headers)
            return
        await self._pass(fault, refuse, scope, receive, send_with_headers)

    async def _pass(self, fault: Fault | None, refuse: Refuse, scope: Scope, receive: Receive, send: Send) -> None:
        if fault is None:
            await self._app(scope, receive, send)
        elif fault.kind == "slow":
            await self._sandbox.pause(fault.seconds or 0.0)
            await self._app(scope, receive, send)
        elif fault.kind == "lookup_lag":
            scope[LAG] = HOLD_LAG_SECONDS if fault.seconds is None else fault.seconds
            await self._app(scope, receive, send)
        elif fault.kind.endswith("_after_commit"):
            await self._app(scope, receive, _nowhere)
            await self._spoil(fault, refuse, scope, receive, send)
        else:
            await read_body(receive)
            await self._spoil(fault, refuse, scope, receive, send)

    async def _spoil(self, fault: Fault, refuse: Refuse, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind.startswith("timeout"):
            seconds = self._sandbox.settings.hold_seconds if fault.seconds is None else fault.seconds
            await hold(receive, seconds, self._sandbox.closing)
            await drop(scope, receive)
        elif fault.kind.startswith("drop"):
            await drop(scope, receive)
        else:
            status = int(fault.kind.removeprefix("http_").removesuffix("_after_commit"))
            refusal = refuse(status)
            if status == 429 and fault.seconds is not None:
                refusal.headers["retry-after"] = str(int(fault.seconds))
            await refusal(scope, receive, send)

    def _names(self, target: Target, path_id: str | None, scope: Scope) -> frozenset[str]:
        book = self._sandbox.book
        subscription = None
        if target in ("charge", "mandate") and path_id:
            subscription = book.find_subscription(path_id)
        elif target in ("lookup", "refund") and path_id:
            payment = book.payments.get(path_id)
            subscription = payment.subscription if payment else book.subscriptions.get(path_id)
        elif target == "lookup":
            asked = parse_qs(scope["query_string"].decode()).get("subscription_id", [""])[0]
            subscription = book.find_subscription(asked)
        if subscription is None:
            return frozenset()
        return frozenset({subscription.subscription_id, subscription.reference or subscription.subscription_id})

    def _subject(self, names: frozenset[str]) -> str:
        return next((name for name in names if name in self._sandbox.book.subscriptions), "")


def _payment_in(body: bytes) -> str | None:
    """Which payment a refund is of, where its path does not say."""
    try:
        found = json.loads(body)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    named = found.get("payment_id") or found.get("payment_request_id")
    return named if isinstance(named, str) else None


async def _nowhere(message: Message) -> None:
    return None


def _refusal(status: int, target: Target) -> Response:
    if target == "whatsapp":
        code = {401: 190, 429: 130429}.get(status, 2)
        return JSONResponse(meta_error(code), status_code=status)
    code_of = {401: "UNAUTHORIZED", 429: "TOO_MANY_REQUESTS"}
    return error_response(code_of.get(status, "INTERNAL_SERVER_ERROR"), "A fault of the sandbox.", status)
