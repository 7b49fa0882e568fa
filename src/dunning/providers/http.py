"""One HTTP request to a provider, sent once, and what is certain about it afterwards. SPEC 2, 13.

Nothing here retries. The one question that decides about money is whether a byte of the request can have
left: if surely not, nothing was charged; otherwise only an answer that can be read settles anything.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from dunning.providers.sending import still_holds

CONNECT_SECONDS = 5.0
CALL_SECONDS = 15.0

_BEFORE_THE_FIRST_BYTE = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    TimeoutError,
)


@dataclass(frozen=True)
class Reply:
    """What one request told us.

    Attributes:
        status: the HTTP status; None when no whole answer came.
        body: the parsed JSON; None when there is none or it cannot be read.
        is_unsent: certain that no byte of the request left.
        because: what went wrong, for operators; holds no secret and no contact.
    """

    status: int | None = None
    body: Any = None
    retry_after_seconds: int | None = None
    is_unsent: bool = False
    because: str = ""

    @property
    def is_ok(self) -> bool:
        """A 2xx answer with a JSON object."""
        return self.status is not None and 200 <= self.status < 300 and isinstance(self.body, dict)

    def text(self, name: str) -> str | None:
        """A string field of a JSON object; None when it is absent or something else."""
        value = self.body.get(name) if isinstance(self.body, dict) else None
        return value if isinstance(value, str) and value else None


class _LeaseEnded(Exception):
    """The lease of the attempt ended before the request left."""


class _FirstByte:
    """Notes whether the transport began to write the request, and lets none begin after the lease. SPEC 13.

    Head and body are two writes, and no provider acts on a head alone: a lease that ends between them still holds
    the request back. But then bytes have left, so it counts as unclear.
    """

    def __init__(self, *, is_guarded: bool) -> None:
        self.has_begun = False
        self._is_guarded = is_guarded

    async def __call__(self, event: str, info: Mapping[str, Any]) -> None:
        is_head = event.endswith("send_request_headers.started")
        is_leaving = is_head or event.endswith("send_request_body.started")
        if self._is_guarded and is_leaving and not still_holds():
            raise _LeaseEnded
        if is_head:
            self.has_begun = True


class HttpCaller:
    """Sends requests to one base address with fixed headers; keeps connections, and no other state."""

    def __init__(
        self, base_url: str, headers: Mapping[str, str], *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        limits = httpx.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers={"accept": "application/json", **headers},
            timeout=limits,
            follow_redirects=False,
            transport=transport,
        )

    async def call(
        self,
        method: str,
        path: str,
        *,
        json_body: Mapping[str, Any] | None = None,
        query: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send once. Never raises for anything that the network or the provider does.

        What is no question (`GET`) leaves only while the attempt's lease holds (`sending_until`).
        """
        first = _FirstByte(is_guarded=method != "GET")
        try:
            async with asyncio.timeout(CALL_SECONDS):
                response = await self._http.request(
                    method, path, json=json_body, params=query, headers=headers, extensions={"trace": first}
                )
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, TimeoutError, ValueError) as error:
            is_unsent = not first.has_begun and isinstance(error, _BEFORE_THE_FIRST_BYTE)
            return Reply(is_unsent=is_unsent, because=_say(error))
        except _LeaseEnded:
            because = "the lease of this attempt ended before the request left"
            return Reply(is_unsent=not first.has_begun, because=because)
        return Reply(
            status=response.status_code,
            body=_parsed(response.content),
            retry_after_seconds=_wait(response.status_code, response.headers),
            because=f"HTTP {response.status_code}",
        )

    async def aclose(self) -> None:
        """Close connections."""
        await self._http.aclose()


def retry_after(headers: Mapping[str, str], now: datetime) -> int | None:
    """How long an answer asks us to stay away, in whole seconds; None when it says nothing readable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), 86_400)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return min(max(0, int((when - now).total_seconds())), 86_400)


def _wait(status: int, headers: Mapping[str, str]) -> int | None:
    """How long to stay away; where a throttled answer tells only when its window ends, until then."""
    told = retry_after(headers, datetime.now(UTC))
    window = headers.get("rate-limit-reset", "").strip()
    if told is not None or status != 429 or not re.fullmatch(r"[0-9]{1,6}([.][0-9]{1,9})?", window):
        return told
    return min(math.ceil(float(window)), 86_400)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _say(error: Exception) -> str:
    # The text of some errors repeats what the peer sent; the kind is enough to act on.
    return f"no answer: {type(error).__name__}"
