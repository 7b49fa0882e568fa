"""Requests as Omise takes them: JSON or forms, keys by Basic authentication, lists by offset and time. Sheet B1."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request

from dunning.sandbox.book import machine_now, read_instant
from dunning.sandbox.omise_errors import OmiseError

Row = TypeVar("Row")
SECRET_KEY = "skey_test_"  # noqa: S105 - how a test key begins
PUBLIC_KEY = "pkey_test_"
MAX_LIMIT = 100
_PART = re.compile(r"[^\[\]]+")
_ORDERS = ("chronological", "reverse_chronological")


async def require_secret_key(request: Request) -> None:
    """Test secret keys only; raises `authentication_failure`, also for live keys."""
    _require(request, SECRET_KEY)


async def require_any_key(request: Request) -> None:
    """The vault takes the public key, as the page of a shop has it, or the secret one."""
    _require(request, PUBLIC_KEY, SECRET_KEY)


def _require(request: Request, *beginnings: str) -> None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        user = base64.b64decode(encoded, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        user = ""
    if scheme.lower() != "basic" or not user.startswith(beginnings):
        raise OmiseError("authentication_failure", "authentication failed")


async def fields_of(request: Request) -> dict[str, Any]:
    """What a request says in its body, JSON or form; raises `bad_request`."""
    return parse_fields(await request.body(), request.headers.get("content-type", ""))


def parse_fields(body: bytes, content_type: str) -> dict[str, Any]:
    """The fields of a body; `card[name]=x` in a form is a field within a field."""
    if not body.strip():
        return {}
    if "json" in content_type or body.lstrip().startswith(b"{"):
        try:
            found = json.loads(body)
        except ValueError:
            raise OmiseError("bad_request", "the body is not JSON") from None
        if not isinstance(found, dict):
            raise OmiseError("bad_request", "the body is not an object")
        return found
    fields: dict[str, Any] = {}
    for name, value in parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True):
        parts = _PART.findall(name)
        inner = fields
        for part in parts[:-1]:
            known = inner.setdefault(part, {})
            if not isinstance(known, dict):
                raise OmiseError("bad_request", f"{name} is given twice")
            inner = known
        inner[parts[-1] if parts else name] = value
    return fields


def whole(value: object, name: str) -> int:
    """A whole number, also as a form writes it; raises `bad_request`."""
    is_text = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value)
    if is_text or (isinstance(value, int) and not isinstance(value, bool)):
        return int(str(value))
    raise OmiseError("bad_request", f"{name} must be a whole number")


def pairs(value: object) -> dict[str, Any]:
    """Metadata; raises `bad_request`."""
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise OmiseError("bad_request", "metadata must be an object")
    return value


async def listing(
    request: Request, rows: Sequence[Row], created_at: Callable[[Row], datetime], view: Callable[[Row], dict[str, Any]]
) -> dict[str, Any]:
    """The list envelope over `rows`, which are in the order of their making.

    The official Python SDK sends a list's parameters in the body of its GET, so they are read there too.
    """
    asked = {**await fields_of(request), **request.query_params}
    limit, offset = whole(asked.get("limit", 20), "limit"), whole(asked.get("offset", 0), "offset")
    if not 1 <= limit <= MAX_LIMIT or offset < 0:
        raise OmiseError("invalid_page", f"limit must be 1 to {MAX_LIMIT}, offset 0 or more")
    order = asked.get("order") or _ORDERS[0]
    if order not in _ORDERS:
        raise OmiseError("bad_request", f"order must be one of {', '.join(_ORDERS)}")
    since, until = _instant(asked.get("from")), _instant(asked.get("to"))
    wanted = [
        row
        for row in rows
        if (since is None or created_at(row) >= since) and (until is None or created_at(row) <= until)
    ]
    if order != _ORDERS[0]:
        wanted.reverse()
    return {
        "object": "list",
        "data": [view(row) for row in wanted[offset : offset + limit]],
        "limit": limit,
        "offset": offset,
        "total": len(wanted),
        "location": request.url.path.removeprefix("/omise"),
        "order": order,
        "from": wire_instant(since) or "1970-01-01T00:00:00Z",
        "to": wire_instant(until or machine_now()),
    }


def _instant(text: object) -> datetime | None:
    if not text:
        return None
    # A plus sign that was not percent-encoded arrives as a space; a day alone is its beginning in UTC.
    plain = str(text).replace(" ", "+")
    found = read_instant(plain if "T" in plain else f"{plain}T00:00:00Z")
    if found is None:
        raise OmiseError("bad_request", f"{text} is not an instant")
    return found


def wire_instant(instant: datetime | None) -> str | None:
    """Whole seconds in UTC, or null."""
    return None if instant is None else instant.isoformat(timespec="seconds").replace("+00:00", "Z")
