"""What Dodo's routes share: the key, the caller's business clock, links, and answers that never come."""

from __future__ import annotations

from fastapi import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dunning.sandbox.book import Subscription, read_instant
from dunning.sandbox.errors import ApiError
from dunning.sandbox.faults import drop, hold
from dunning.sandbox.state import Sandbox

BUSINESS_AT_HEADER = "x-dunning-business-at"


class NeverAnswered(Response):
    """Holds the connection and drops it: the request did its work and nobody is told."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__()
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await hold(receive, self._sandbox.settings.hold_seconds, self._sandbox.closing)
        await drop(scope, receive)


async def require_key(request: Request) -> None:
    """Test keys only. A key that begins with `dodo_test_readonly` may not write.

    Raises:
        ApiError: UNAUTHORIZED, also for live keys: a live credential has no business here.
    """
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.startswith("dodo_test_"):
        raise ApiError("UNAUTHORIZED", "A test key (dodo_test_...) is needed.")
    if key.startswith("dodo_test_readonly") and request.method != "GET":
        raise ApiError("UNAUTHORIZED", "This key may only read.", 403)


def found_subscription(sandbox: Sandbox, subscription_id: str) -> Subscription:
    """The subscription of this provider id; raises NOT_FOUND."""
    found = sandbox.book.subscriptions.get(subscription_id)
    if found is None:
        raise ApiError("NOT_FOUND", f"There is no subscription {subscription_id}.")
    return found


def follow_business_clock(sandbox: Sandbox, request: Request, subscription: Subscription | None) -> None:
    """Settle what is due at the business instant that the caller tells, if it tells one."""
    instant = read_instant(request.headers.get(BUSINESS_AT_HEADER))
    if instant is not None and subscription is not None:
        sandbox.bank.advance(instant, subscription)


def link_url(sandbox: Sandbox, request: Request, link_id: str) -> str:
    """Where a hosted page is reached."""
    base = sandbox.settings.public_url or str(request.base_url)
    return f"{base.rstrip('/')}/pay/{link_id}"
