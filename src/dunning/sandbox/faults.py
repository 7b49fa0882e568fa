"""Faults of the network and the provider, consumed by the next matching requests.

`..._before_commit`, `http_500`, `drop_connection`, `429` and `401` fall on a request before anything
happened; `..._after_commit` let the request do all its work and then spoil the answer. The caller cannot tell
which.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import MutableMapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Message, Receive, Scope, Send

FaultKind = Literal[
    "timeout_after_commit",
    "timeout_before_commit",
    "http_500_after_commit",
    "http_500",
    "drop_connection",
    "drop_after_commit",
    "slow",
    "429",
    "401",
    "lookup_lag",
]
Target = Literal["charge", "lookup", "mandate", "refund", "end", "whatsapp", "any"]
ABORT = "dunning.sandbox.abort"
LAG = "dunning.sandbox.lag"
_CHARGE = re.compile(r"^/subscriptions/([^/]+)/charge$")
_LOOKUP = re.compile(r"^/payments(?:/([^/]+))?$")
_MANDATE = re.compile(r"^/subscriptions/([^/]+)(?:/update-payment-method)?$")
_WHATSAPP = re.compile(r"^/v[0-9]+\.[0-9]+/[^/]+/messages$")
_OWN = ("/_sandbox", "/healthz", "/pay/", "/portal/", "/docs", "/openapi.json")


class Fault(BaseModel):
    """One fault to come.

    Attributes:
        on: which requests it falls on; `any` is every request to a provider.
        times: how many requests; None is all of them until a reset.
        seconds: for time-outs how long the connection is held (default: the sandbox's setting), for `slow`
            how long the answer takes, for `429` what `retry-after` says (default: no such header), for `lookup_lag`
            how old a payment or schedule must be to appear in lists (default: an hour).
        subscription: only requests about this subscription (the provider's id or our reference).
        after: let so many matching requests pass first.
    """

    model_config = ConfigDict(extra="forbid")

    on: Target = "any"
    kind: FaultKind
    times: int | None = Field(default=1, ge=1)
    seconds: float | None = Field(default=None, ge=0, le=86_400)
    subscription: str | None = None
    after: int = Field(default=0, ge=0)


def classify(method: str, path: str) -> tuple[Target, str | None] | None:
    """Which provider's request this is, with the id in its path; None for the sandbox's own pages."""
    if path.startswith(_OWN):
        return None
    if method == "POST" and (found := _CHARGE.match(path)):
        return "charge", found[1]
    if method == "GET" and (found := _LOOKUP.match(path)):
        return "lookup", found[1]
    if method == "POST" and _WHATSAPP.match(path):
        return "whatsapp", None
    if method == "POST" and path == "/refunds":
        return "refund", None
    if method == "POST" and path in ("/checkouts", "/subscriptions"):
        return "mandate", None
    if found := _MANDATE.match(path):
        return "mandate", found[1]
    return "any", None


class Faults:
    """The faults still to come, in the order in which they were asked for."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self.asked: Counter[Target] = Counter()
        self.befallen: Counter[FaultKind] = Counter()

    def add(self, faults: list[Fault]) -> None:
        """Ask for more faults."""
        self._faults += [fault.model_copy() for fault in faults]

    def clear(self) -> None:
        """No more faults; what was counted begins anew."""
        self._faults.clear()
        self.asked.clear()
        self.befallen.clear()

    def rows(self) -> list[dict[str, Any]]:
        """The faults still to come."""
        return [fault.model_dump() for fault in self._faults]

    def take(self, target: Target, names: frozenset[str]) -> Fault | None:
        """The fault that falls on this request, if any; `names` are the names of the subscription it is
        about. Requests and faults are counted.
        """
        self.asked[target] += 1
        fault = self._next(target, names)
        if fault is not None:
            self.befallen[fault.kind] += 1
        return fault

    def _next(self, target: Target, names: frozenset[str]) -> Fault | None:
        for fault in self._faults:
            if not _falls_on(fault, target, names):
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
            return fault
        return None


def _falls_on(fault: Fault, target: Target, names: frozenset[str]) -> bool:
    if fault.kind == "lookup_lag" and target != "lookup":
        return False
    is_target = fault.on in ("any", target)
    return is_target and (fault.subscription is None or fault.subscription in names)


def remember_connection(scope: MutableMapping[str, Any], send: Send) -> None:
    """Keep the means to drop this connection without an answer.

    ASGI has no word for it; uvicorn's `send` is a method of the object that owns the transport.
    """
    cycle = getattr(send, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if transport is not None:
        scope[ABORT] = transport.abort


async def drop(scope: Scope, receive: Receive) -> None:
    """Drop the connection at once: the caller gets no byte of an answer.

    Raises:
        RuntimeError: the server does not let go of its connections (any other than uvicorn).
    """
    abort = scope.get(ABORT)
    if abort is None:
        raise RuntimeError("connections can only be dropped when the sandbox runs under uvicorn")
    abort()
    # The server takes a turn of the loop to notice, and would answer 500 if we returned before.
    await _departure(receive)


async def hold(receive: Receive, seconds: float, closing: asyncio.Event) -> None:
    """Say nothing for so long, or until the caller leaves or the sandbox closes."""
    waits = [asyncio.ensure_future(_departure(receive)), asyncio.ensure_future(closing.wait())]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def read_body(receive: Receive) -> bytes:
    """Take the whole request in, so that a fault falls on a request that was surely sent."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return bytes(body)


def replaying(body: bytes, receive: Receive) -> Receive:
    """A request that was read already, to be read again; after it whatever else comes in."""
    is_told = False

    async def again() -> Message:
        nonlocal is_told
        if is_told:
            return await receive()
        is_told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
