"""Golden instants: words that a person wrote down, turned into instants. The words are told in the file itself.

This is on purpose not the engine's own calendar: it is what the engine is held against.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from dunning.domain.base import Value

_TERM = re.compile(r"([+])(\d+)([smhdM])(@A)?")
_QUARTERS = (1, 4, 7, 10)


class Golden(Value):
    """What one subscription must do."""

    cycles: int
    status: str
    attempts: dict[str, tuple[str, ...]]
    paid: tuple[str, ...]


def read_golden(file: Path) -> dict[str, Golden]:
    """Every entry of the file."""
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return {name: Golden.model_validate(entry) for name, entry in content.items()}


def instant(words: str, anchor: datetime) -> datetime:
    """`A+10d`, `E3+3d@A`, ... as an instant in UTC.

    Raises:
        ValueError: the words are not of this form.
    """
    head, _, rest = words.partition("+")
    at = _start(head.strip(), anchor)
    tail = f"+{rest}" if rest else ""
    for match in _TERM.finditer(tail):
        at = _moved(at, int(match[2]), match[3], anchor if match[4] else None)
    if _TERM.sub("", tail).strip():
        raise ValueError(f"golden instant {words!r}: cannot be read")
    return at


def _start(head: str, anchor: datetime) -> datetime:
    if head == "A":
        return anchor
    kind, number = head[0], int(head[1:])
    found: list[datetime] = []
    year, month = anchor.year, anchor.month
    first = anchor + timedelta(hours=46) if kind == "F" else anchor
    while len(found) < number:
        found += [t for t in _listed(kind, year, month) if t >= first]
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return found[number - 1]


def _listed(kind: str, year: int, month: int) -> list[datetime]:
    last = calendar.monthrange(year, month)[1]
    if kind == "E":
        return [datetime(year, month, last, 9, tzinfo=UTC)]
    if kind == "Q":
        return [datetime(year, month, last, 9, tzinfo=UTC)] if month in _QUARTERS else []
    if kind == "D":
        return [datetime(year, month, day, 9, 30, tzinfo=UTC) for day in (1, 15)]
    if kind == "F":
        return [datetime(year, month, 15, 1, 30, tzinfo=UTC)]
    raise ValueError(f"golden instant: {kind!r} is not A, D, E, F or Q")


def _moved(at: datetime, number: int, unit: str, anchor: datetime | None) -> datetime:
    if unit == "M":
        months = at.year * 12 + at.month - 1 + number
        year, month = divmod(months, 12)
        return at.replace(year=year, month=month + 1, day=min(at.day, calendar.monthrange(year, month + 1)[1]))
    step = timedelta(**{{"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[unit]: number})
    moved = at + step
    if anchor is None:
        return moved
    kept = moved.replace(hour=anchor.hour, minute=anchor.minute, second=anchor.second)
    return kept + timedelta(days=1) if kept - at < step - timedelta(hours=12) else kept
