"""Files of subscriptions: JSON, JSON Lines and CSV. SPEC 17; the form is described in docs/subscription-file.md.

Every entry is read on its own: one that is wrong says so with its line and does not hide the others.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dunning.domain.foreseen_purchase import NewItem
from dunning.domain.outcomes import OutcomeSyntaxError
from dunning.domain.plan_rules import PLAN_RULES
from dunning.domain.script import BUY_ADD_ON, REPAIR_PAYMENT, Script
from dunning.domain.terms import Subscription, terms_fingerprint
from dunning.errors import Fault, InvalidInput
from dunning.import_cells import document_of, with_instants
from dunning.intake import faults_in, parse_subscription

MAX_BYTES = 256 * 1024 * 1024
SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv")


@dataclass(frozen=True)
class Entry:
    """One subscription of a file.

    Attributes:
        line: where it begins, from 1.
        document: what stands there, before validation.
        subscription: None when there are faults.
        script: the scripted customer that the entry carries, for `preview` and the sandbox.
        faults: everything that is wrong with it, its script included.
    """

    line: int
    document: Mapping[str, Any] = field(repr=False)
    subscription: Subscription | None = field(default=None, repr=False)
    script: Script | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether it can be started."""
        return self.subscription is not None and not self.faults


def read_subscriptions(path: Path, *, now: datetime | None = None) -> list[Entry]:
    """Every entry of a file, in its order.

    Args:
        now: what `now+3d` in the file counts from (business time); without it such words are faults.

    Raises:
        InvalidInput: the file cannot be read at all, or its name does not say what it is.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidInput([Fault(path.name, f"must be named {', '.join(f'*{one}' for one in SUFFIXES)}", suffix)])
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidInput([Fault(path.name, f"must be smaller than {MAX_BYTES // 1024**2} MiB", None)])
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InvalidInput([Fault(path.name, f"cannot be read: {error.strerror}", None)]) from None
    except UnicodeDecodeError as error:
        raise InvalidInput([Fault(path.name, f"must be UTF-8: byte {error.start} is not", None)]) from None
    return read_text(text, suffix, now=now)


def read_text(text: str, suffix: str, *, now: datetime | None = None) -> list[Entry]:
    """The same for a text; `suffix` is one of `SUFFIXES`."""
    reader = {".json": _json_entries, ".csv": _csv_entries}.get(suffix, _json_line_entries)
    entries = [_checked(entry, now) for entry in reader(text)]
    if not entries:
        entries = [Entry(1, {}, faults=(Fault("(file)", "must hold at least one subscription", None),))]
    return list(_without_contradictions(entries))


def _checked(entry: Entry, now: datetime | None) -> Entry:
    """The entry with its subscription and script, or with all its faults."""
    if entry.faults and not entry.document:
        return entry
    document = dict(entry.document) if now is None else with_instants(entry.document, now)
    faults = list(entry.faults)
    script, broken = _script_of(document.pop("script", None))
    subscription = None
    try:
        subscription = parse_subscription(document)
    except InvalidInput as error:
        faults.extend(error.faults)
    faults.extend(broken)
    if subscription is not None and script is not None:
        faults.extend(_deed_faults(script, subscription))
    return replace(
        entry,
        document=document,
        subscription=None if faults else subscription,
        script=script,
        faults=tuple(faults),
    )


def _deed_faults(script: Script, subscription: Subscription) -> Iterator[Fault]:
    """What the customer does in the provider's own app needs a provider that runs the calendar there."""
    rules = PLAN_RULES.get(subscription.provider.value)
    for place, action in enumerate(script.do):
        if action.action not in (BUY_ADD_ON, REPAIR_PAYMENT):
            continue
        if rules is None or not rules.owns_access:
            rule = "must be a command: nothing is bought in an app of this provider's"
            yield Fault(f"script.do.{place}.action", rule, action.action)
        elif action.action == BUY_ADD_ON:
            try:
                NewItem.model_validate(action.with_)
            except ValidationError as error:
                yield from (replace(one, field=f"script.do.{place}.with.{one.field}") for one in faults_in(error))


def _script_of(block: Any) -> tuple[Script | None, list[Fault]]:
    if block is None:
        return None, []
    try:
        script = Script.model_validate(block)
    except ValidationError as error:
        return None, [replace(one, field=f"script.{one.field}") for one in faults_in(error)]
    try:
        _ = script.parsed, script.mandate_delay
    except OutcomeSyntaxError as error:
        return None, [Fault("script", error.because, error.text)]
    return script, []


def _without_contradictions(entries: list[Entry]) -> Iterator[Entry]:
    """The same id may come twice in a file only with the same terms."""
    seen: dict[tuple[str, str], tuple[int, str]] = {}
    for entry in entries:
        if entry.subscription is None:
            yield entry
            continue
        key, mark = (entry.subscription.merchant_account, entry.subscription.id), terms_fingerprint(entry.subscription)
        line, first = seen.setdefault(key, (entry.line, mark))
        if first == mark:
            yield entry
            continue
        fault = Fault("id", f"must be unique: line {line} gives it other terms", entry.subscription.id)
        yield replace(entry, subscription=None, faults=(fault,))


# --- the three forms -------------------------------------------------------------------------------


class _Repeated(ValueError):
    """A key stands twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Repeated(twice)
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a value of JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)


def _json_entries(text: str) -> Iterator[Entry]:
    """One object, or a list of them."""
    at = _past_blanks(text, 0)
    is_list = text[at : at + 1] == "["
    at = _past_blanks(text, at + 1) if is_list else at
    line, counted = 1, 0
    while at < len(text) and not (is_list and text[at] == "]"):
        line, counted = line + text.count("\n", counted, at), at
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            yield _unreadable(error.lineno if isinstance(error, json.JSONDecodeError) else line, error)
            return
        yield _entry(line, value)
        at = _past_blanks(text, at)
        if is_list and text[at : at + 1] == ",":
            at = _past_blanks(text, at + 1)
        elif at < len(text) if not is_list else text[at : at + 1] != "]":
            missing = "a comma or the end of the list is missing here" if is_list else "something follows the object"
            yield _unreadable(text.count("\n", 0, at) + 1, ValueError(missing))
            return


def _past_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _json_line_entries(text: str) -> Iterator[Entry]:
    """One object in each line; blank lines are passed over."""
    for line, one in enumerate(text.split("\n"), start=1):
        if not one.strip():
            continue
        try:
            value, end = _DECODER.raw_decode(one, _past_blanks(one, 0))
            if one[end:].strip():
                raise ValueError("something follows the object on its line")
        except (ValueError, RecursionError) as error:
            yield _unreadable(line, error)
            continue
        yield _entry(line, value)


def _csv_entries(text: str) -> Iterator[Entry]:
    """A row of headings, then one subscription in each row. Comma or semicolon, as the headings have it."""
    heading = text.partition("\n")[0]
    is_semicolon = heading.count(";") > heading.count(",")
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=";" if is_semicolon else ",", strict=True)
    columns: list[str] | None = None
    line = 0
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            yield _unreadable(line, error)
            return
        if not any(cell.strip() for cell in row):
            continue
        if columns is None:
            columns = [cell.strip() for cell in row]
            twice = sorted({name for name in columns if name and columns.count(name) > 1})
            if twice:
                yield Entry(line, {}, faults=tuple(Fault(name, "must be one column", name) for name in twice))
                return
            continue
        yield _row_entry(line, columns, row)


def _row_entry(line: int, columns: list[str], row: list[str]) -> Entry:
    beyond = [cell for cell in row[len(columns) :] if cell.strip()]
    document, faults = document_of({name: cell for name, cell in zip(columns, row, strict=False) if name})
    if beyond:
        faults.append(Fault("(row)", f"must not have more cells than the {len(columns)} headings", len(row)))
    return Entry(line, document, faults=tuple(faults))


def _entry(line: int, value: Any) -> Entry:
    if isinstance(value, dict):
        return Entry(line, value)
    return Entry(line, {}, faults=(Fault("(whole)", "must be an object", type(value).__name__),))


def _unreadable(line: int, error: Exception) -> Entry:
    """What cannot be read, without quoting it: it may hold contacts."""
    if isinstance(error, _Repeated):
        rule = f"must not hold {str(error)!r} twice in one object"
    elif isinstance(error, json.JSONDecodeError):
        rule = f"must be JSON: {error.msg.lower()} at column {error.colno}"
    else:
        rule = f"must be readable: {error}"
    return Entry(line, {}, faults=(Fault("(whole)", rule, None),))
