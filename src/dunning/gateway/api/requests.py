"""One request: its id, its line in the log, its body. SPEC 18."""

from __future__ import annotations

import json
import math
import re
import time
import uuid
from collections.abc import Iterator
from typing import Any

import structlog
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dunning.domain.fields import STORABLE, UNSTORABLE
from dunning.errors import Fault
from dunning.gateway.api.problems import Trouble, invalid

log = structlog.get_logger("gateway")

MAX_BODY = 512 * 1024
"""Bytes of one body: a subscription with 50 items and all its metadata has less than 100 kB."""

MAX_DEPTH = 32
"""How deep a document may be nested: ours have seven levels."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,40}")
_JSON = re.compile(r"application/json\s*(;.*)?", re.IGNORECASE)


class Traced:
    """Gives every request an id: the caller's own `X-Request-Id`, or a new one.

    It is in the answer, in every line of the log meanwhile, and (through commands' ids and the memo of a new run) in
    histories.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        started, status = time.perf_counter(), 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                if scope["path"].startswith("/v1/"):
                    _note(scope, status, time.perf_counter() - started)


def _note(scope: Scope, status: int, seconds: float) -> None:
    """One line for each request to the API: the route, not the path, so that lines can be counted."""
    state, route = scope["state"], scope.get("route")
    log.info(
        "api.answered",
        method=scope["method"],
        route=getattr(route, "path", None),
        status=status,
        ms=round(seconds * 1000, 1),
        account=state.get("account"),
        key_id=state.get("key_id"),
    )


async def read_raw(request: Request, limit: int = MAX_BODY) -> bytes:
    """The raw body, read no further than the limit; what a header claims about its length is not believed.

    Raises:
        Trouble: it is too large, or the caller hung up.
    """
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise Trouble("too-large", f"at most {limit} bytes are taken", headers={"Connection": "close"})
    except ClientDisconnect:
        raise Trouble("invalid-json", "the body ended too early") from None
    return bytes(body)


async def read_document(request: Request, *, may_be_empty: bool = False) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        Trouble: it is no JSON, no object, or holds what cannot be stored.
    """
    kind = request.headers.get("content-type")
    body = await read_raw(request)
    if may_be_empty and not body.strip():
        return {}
    if kind is None or not _JSON.fullmatch(kind.strip()):
        raise Trouble("unsupported-media-type")
    document = _parsed(body)
    if not isinstance(document, dict):
        raise invalid([Fault("(whole)", "must be an object", type(document).__name__)])
    faults = list(_unstorable(document, ""))
    if faults:
        raise invalid(faults)
    return document


class _Repeated(ValueError):
    """A name stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Repeated
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _parsed(body: bytes) -> Any:
    """JSON without what other readers would read otherwise: names that stand twice, NaN, other encodings."""
    try:
        return json.loads(
            body.decode("utf-8"), object_pairs_hook=_once, parse_float=_finite, parse_constant=_no_constant
        )
    except UnicodeDecodeError as error:
        raise Trouble("invalid-json", f"it must be UTF-8: byte {error.start} is not") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Trouble("invalid-json", f"{error.msg.lower()}, at {where}") from None
    except _Repeated:
        raise Trouble("invalid-json", "a name stands twice in one object") from None
    except (ValueError, RecursionError):
        raise Trouble("invalid-json", "it holds a number that is none, or is nested too deep") from None


def _unstorable(node: Any, path: str, depth: int = 0) -> Iterator[Fault]:
    """Characters that the ledger's texts cannot hold, and documents deeper than any of ours."""
    if depth > MAX_DEPTH:
        yield Fault(path, f"must not be nested deeper than {MAX_DEPTH} levels")
    elif isinstance(node, str) and UNSTORABLE.search(node):
        yield Fault(path, STORABLE)
    elif isinstance(node, dict):
        for name, inner in node.items():
            if UNSTORABLE.search(name):
                yield Fault(path or "(whole)", "must have names without NUL and halves of surrogate pairs")
            else:
                yield from _unstorable(inner, f"{path}.{name}" if path else name, depth + 1)
    elif isinstance(node, list):
        for place, inner in enumerate(node):
            yield from _unstorable(inner, f"{path}.{place}", depth + 1)
