"""Cursors: where the next page begins, as a text that callers hand back unread."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dunning.errors import Fault
from dunning.gateway.api.problems import invalid

_FORM = 1


def cursor_after(position: Sequence[Any], about: Mapping[str, Any]) -> str:
    """The cursor behind an entry, bound to the list that it belongs to."""
    values = [value.isoformat() if isinstance(value, datetime) else value for value in position]
    whole = json.dumps([_FORM, _mark(about), values], separators=(",", ":"))
    return base64.urlsafe_b64encode(whole.encode()).decode().rstrip("=")


def position_of(cursor: str | None, about: Mapping[str, Any], kinds: Sequence[type]) -> list[Any] | None:
    """The position in a cursor; None for the first page.

    Args:
        about: the list and its filters: a cursor of another list is refused.
        kinds: the type of each part of the position.

    Raises:
        Trouble: it is not a cursor of this list.
    """
    if cursor is None:
        return None
    found = _read(cursor)
    if found is None or found[0] != _FORM or found[1] != _mark(about):
        raise _foreign(cursor)
    try:
        return [_value(value, kind) for value, kind in zip(found[2], kinds, strict=True)]
    except (TypeError, ValueError):
        raise _foreign(cursor) from None


def _read(cursor: str) -> Any:
    try:
        found = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and len(found) == 3 and isinstance(found[2], list) else None


def _value(value: Any, kind: type) -> Any:
    if kind is datetime:
        return datetime.fromisoformat(value)
    is_storable = abs(value) < 2**31 if kind is int else "\x00" not in value
    if type(value) is not kind or not is_storable:
        raise ValueError(value)
    return value


def _foreign(cursor: str) -> Exception:
    rule = "must be the `next_cursor` of this very list, with the same filters"
    return invalid([Fault("cursor", rule, cursor[:80])], "query")


def _mark(about: Mapping[str, Any]) -> str:
    whole = json.dumps(about, sort_keys=True, default=str)
    return hashlib.sha256(whole.encode()).hexdigest()[:16]
