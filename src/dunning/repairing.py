"""Harmless stand-ins for refused parts of a document, so that what is left can be checked on. SPEC 4.

A document with one bad field must still say what is wrong with the others, and between them.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from typing import Any

Path = tuple[str | int, ...]

STAND_IN: Mapping[str, Any] = {
    "id": "stand-in",
    "merchant_account": "stand-in",
    "customer": {"id": "stand-in"},
    "provider": "dodo",
    "collection": "engine",
    "provider_options": {"provider": "dodo", "country": "ID", "product_id": "stand-in"},
    "currency": "USD",
    "description": "stand-in",
    "items": [{"product_id": "stand-in", "role": "base", "unit_amount": 100}],
    "schedule": {"anchor_at": "2026-01-01T00:00:00Z", "interval": "MONTH"},
}
"""A whole subscription of required fields alone: a refused field that may be absent is just left out."""

_ENTRIES: Mapping[str, Any] = {"items": STAND_IN["items"][0], "payment_methods": {"token": "stand-in"}}
"""What an entry of these lists must have."""


def repaired(document: Mapping[Any, Any], paths: Sequence[Path], tried: Collection[Path]) -> dict[Any, Any]:
    """A copy with each path replaced as narrowly as can be; what was `tried` before is replaced with its field."""
    copied: dict[Any, Any] = copy.deepcopy(dict(document))
    for path in paths:
        # Within a list of plain values nothing can stand in: the list itself goes.
        narrow = path[:-1] if len(path) > 2 and isinstance(path[-1], int) else path
        if path in tried or not _replace(copied, narrow):
            _replace(copied, path[:1])
        if path == ("provider",):
            _replace(copied, ("provider_options",))  # another provider's options make no sense
    return copied


def overlap(one: Path, other: Path) -> bool:
    """Whether one path lies within the other; `*` stands for any part."""
    return all("*" in (a, b) or str(a) == str(b) for a, b in zip(one, other, strict=False))


def _replace(document: dict[Any, Any], path: Path) -> bool:
    """Put the stand-in at the path, or leave the field out. False when that cannot be done there."""
    if not path:
        return False
    inner: Any = document
    stand_in: Any = STAND_IN
    for part in path[:-1]:
        if isinstance(inner, list) and isinstance(part, int) and part < len(inner):
            inner, stand_in = inner[part], _ENTRIES.get(str(path[0]), {})
        elif isinstance(inner, dict) and part in inner:
            inner = inner[part]
            stand_in = stand_in.get(str(part), {}) if isinstance(stand_in, Mapping) else {}
        else:
            return False
    if not isinstance(inner, dict):
        return False
    name = path[-1]
    if isinstance(stand_in, Mapping) and str(name) in stand_in:
        inner[name] = copy.deepcopy(stand_in[str(name)])
    else:
        inner.pop(name, None)
    return True
