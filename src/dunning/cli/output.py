"""Printing: tables for people, JSON for programs. Complaints go to standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from dunning.domain.foretelling import instant

WIDTH = 150
"""Columns where the output is not a terminal, so that nothing is cut in a log."""


def console(*, is_error: bool = False) -> Console:
    """The console of now: tests replace the streams."""
    stream = sys.stderr if is_error else sys.stdout
    return Console(stderr=is_error, width=None if stream.isatty() else WIDTH, highlight=False)


def complain(*lines: str) -> None:
    """Say what is wrong, one line each, on standard error."""
    for line in lines:
        console(is_error=True).print(line, style="red", markup=False, soft_wrap=True)


def say(*lines: str) -> None:
    """Print lines as they are."""
    for line in lines:
        console().print(line, markup=False, soft_wrap=True)


def note(line: str) -> None:
    """A remark that is not the answer: on standard error, so that JSON stays JSON."""
    console(is_error=True).print(line, style="dim", markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """JSON on standard output, in the order of its keys."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_plain))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table; None is a dash, an instant is shown in UTC."""
    drawn = Table(title=title, title_justify="left")
    for column in columns:
        drawn.add_column(column, overflow="fold", no_wrap="(UTC)" in column)
    for row in rows:
        drawn.add_row(*(text_of(cell) for cell in row))
    console().print(drawn)


def text_of(cell: object) -> str:
    """A cell as people read it."""
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, datetime):
        return shown_instant(cell)
    return str(cell).replace("[", r"\[")


def shown_instant(at: datetime) -> str:
    """`2026-03-05 13:10:04`, UTC."""
    return instant(at).replace("T", " ").removesuffix("Z").partition(".")[0]


def _plain(value: object) -> Any:
    if isinstance(value, datetime):
        return instant(value)
    return str(value)
