"""Files of subscriptions as the command line takes them: JSON, JSON Lines, CSV, and YAML."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from dunning.errors import Fault, InvalidInput
from dunning.importing import SUFFIXES, Entry, read_subscriptions, read_text

YAML_SUFFIXES = (".yml", ".yaml")


class _Plain(yaml.SafeLoader):
    """YAML without its own idea of dates: instants stay the text that our models check."""


_Plain.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def machine_now() -> datetime:
    """The machine's clock in whole seconds, as files count from it."""
    return datetime.now(UTC).replace(microsecond=0)


def read_file(path: Path, *, now: datetime | None = None) -> list[Entry]:
    """Every subscription of a file, with its faults. Lines are told for all forms but YAML.

    Args:
        now: what `now+3d` in the file counts from; the machine's clock when not given.

    Raises:
        InvalidInput: the file cannot be read at all.
    """
    now = now or machine_now()
    if path.suffix.lower() not in YAML_SUFFIXES:
        if path.suffix.lower() not in SUFFIXES:
            known = ", ".join(f"*{suffix}" for suffix in (*SUFFIXES, *YAML_SUFFIXES))
            raise InvalidInput([Fault(path.name, f"must be named {known}", path.suffix)])
        return read_subscriptions(path, now=now)
    return read_text(json.dumps(_yaml(path)), ".json", now=now)


def _yaml(path: Path) -> Any:
    try:
        # _Plain is a SafeLoader: it makes only plain values.
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_Plain)  # noqa: S506
    except (OSError, UnicodeDecodeError) as error:
        because = getattr(error, "strerror", None) or "it is not UTF-8"
        raise InvalidInput([Fault(path.name, f"cannot be read: {because}")]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", at line {mark.line + 1}" if mark is not None else ""
        raise InvalidInput([Fault(path.name, f"must be YAML{where}")]) from None


def fault_lines(path: Path, entries: list[Entry]) -> list[str]:
    """Every fault of a file: `file:line: field: rule (got value)`."""
    return [f"{path.name}:{entry.line}: {fault}" for entry in entries for fault in entry.faults]
