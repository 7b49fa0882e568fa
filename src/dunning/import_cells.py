"""What a cell of a CSV file means: the subscription's own schema says which columns are numbers, flags or lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cache, lru_cache
from typing import Any

from dunning.domain.script import Script
from dunning.domain.terms import Subscription
from dunning.errors import Fault

_SEPARATORS = re.compile(r"[\s,;|]+")
_FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NOW = re.compile(r"^now(?P<moves>(?:[+-]\d{1,6}[smhdw])*)(?:@(?P<offset>[+-]\d\d:\d\d))?$")
_MOVE = re.compile(r"([+-]\d+)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Schema = Mapping[str, Any]


def document_of(cells: Mapping[str, str]) -> tuple[dict[str, Any], list[Fault]]:
    """One row as the document that a JSON file would hold: `customer.id`, `items.0.role`; empty cells are absent.

    Two columns that cannot both be (`retry` and `retry.total`) are a fault.
    """
    document: dict[str, Any] = {}
    faults: list[Fault] = []
    for column, cell in cells.items():
        text = cell.strip()
        if not text:
            continue
        path = column.split(".")
        if not _put(document, path, value_of(path, text)):
            faults.append(Fault(column, "must not stand beside another column for the same field", text))
    return {name: _with_lists(value) for name, value in document.items()}, faults


def value_of(path: Sequence[str], text: str) -> Any:
    """The text of a cell as what its field takes; as text where it cannot be that, so that the model refuses it."""
    if text[0] in "[{":
        try:
            return json.loads(text)
        except ValueError:
            return text
    kinds = [_kind(schema) for schema in schemas_at(path)]
    if "array" in kinds:
        inner = [*path, "0"]
        return [value_of(inner, word) for word in _SEPARATORS.split(text) if word]
    if "integer" in kinds and "string" not in kinds and re.fullmatch(r"[+-]?\d{1,18}", text):
        return int(text)
    if "boolean" in kinds and "string" not in kinds:
        return _FLAGS.get(text.lower(), text)
    return text


def with_instants(value: Any, now: datetime, path: tuple[str, ...] = ()) -> Any:
    """The document with `now`, `now+3d`, `now-1d-12h@+07:00` replaced, wherever an instant belongs."""
    if isinstance(value, Mapping):
        return {key: with_instants(inner, now, (*path, str(key))) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_instants(inner, now, (*path, "0")) for inner in value]
    if not isinstance(value, str) or not value.startswith("now"):
        return value
    is_instant = any(schema.get("format") == "date-time" for schema in schemas_at(path))
    return relative_instant(value, now) if is_instant or path[:2] == ("script", "do") else value


def relative_instant(text: str, now: datetime) -> str:
    """`now+3d` counted from `now`, whole seconds; any other text as it is."""
    found = _NOW.match(text)
    if found is None:
        return text
    moved = now.replace(microsecond=0)
    for amount, unit in _MOVE.findall(found["moves"]):
        moved += timedelta(**{_UNITS[unit]: int(amount)})
    if found["offset"]:
        hours, minutes = found["offset"][1:].split(":")
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        moved = moved.astimezone(timezone(-offset if found["offset"][0] == "-" else offset))
    return moved.isoformat()


# --- the schema ------------------------------------------------------------------------------------


@cache
def _schema() -> Schema:
    schema = Subscription.model_json_schema()
    script = Script.model_json_schema(ref_template="#/$defs/{model}")
    defs = {**schema["$defs"], **script.pop("$defs", {})}
    return {**schema, "properties": {**schema["properties"], "script": script}, "$defs": defs}


def schemas_at(path: Sequence[str]) -> tuple[Schema, ...]:
    """Everything that the schema says about a path; nothing for a field that it does not know."""
    return _schemas_at(tuple(path))


@lru_cache(maxsize=4096)
def _schemas_at(path: tuple[str, ...]) -> tuple[Schema, ...]:
    found = list(_alternatives(_schema()))
    for part in path:
        found = [inner for schema in found for step in _below(schema, part) for inner in _alternatives(step)]
    return tuple(found)


def _below(schema: Schema, part: str) -> Iterator[Schema]:
    if part in schema.get("properties", {}):
        yield schema["properties"][part]
    elif isinstance(schema.get("additionalProperties"), Mapping):
        yield schema["additionalProperties"]
    elif part.isdigit() and "items" in schema:
        yield schema["items"]


def _alternatives(schema: Schema) -> Iterator[Schema]:
    """The schema with references followed and unions opened."""
    if "$ref" in schema:
        yield from _alternatives(_schema()["$defs"][schema["$ref"].removeprefix("#/$defs/")])
        return
    choices = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if not choices:
        yield schema
    for choice in choices:
        yield from _alternatives(choice)


def _kind(schema: Schema) -> str:
    return str(schema.get("type", ""))


# --- nesting ---------------------------------------------------------------------------------------


def _put(document: dict[str, Any], path: Sequence[str], value: Any) -> bool:
    """Set a value at a path of nested dictionaries; False when something stands in its way."""
    inner = document
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
        if not isinstance(inner, dict):
            return False
    if path[-1] in inner:
        return False
    inner[path[-1]] = value
    return True


def _with_lists(value: Any) -> Any:
    """`{"0": a, "1": b}` is a list, in the order of its numbers."""
    if not isinstance(value, dict):
        return value
    inner = {key: _with_lists(one) for key, one in value.items()}
    if inner and all(key.isdigit() for key in inner):
        return [inner[key] for key in sorted(inner, key=int)]
    return inner
