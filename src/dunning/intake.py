"""The edge: what a backend gives becomes a subscription, or all of its faults at once. SPEC 4.

Three stages, so that no fault hides another: the models check each field; what they refuse is replaced by a
harmless stand-in; then the rules between fields (`rules`, `limits`) run, except those that read a stand-in.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from dunning.domain.commands import Command
from dunning.domain.fields import BROKEN_RULES, is_card_number
from dunning.domain.rules import RULES, Given
from dunning.domain.terms import Channel, Provider, Subscription
from dunning.errors import Fault, InvalidInput

Path = tuple[str | int, ...]

NOT_SHOWN = "[not shown]"
_PRIVATE = ("customer.name", "customer.email", "customer.phone", "provider_options.street")
_TAGS = frozenset(provider.value for provider in Provider)
_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)

_STAND_IN: dict[str, Any] = {
    "id": "stand-in",
    "merchant_account": "stand-in",
    "customer": {
        "id": "stand-in",
        "name": "n",
        "email": "n@example.com",
        "phone": "+620000000",
        "locale": "en",
        "time_zone": "UTC",
        "opt_in": {},
    },
    "provider": "dodo",
    "collection": "engine",
    "provider_options": {"provider": "dodo", "country": "ID", "product_id": "stand-in"},
    "payment_methods": [],
    "currency": "USD",
    "description": "stand-in",
    "items": [{"product_id": "stand-in", "role": "base", "unit_amount": 100}],
    "schedule": {"anchor_at": "2026-01-01T00:00:00Z", "interval": "MONTH"},
    "retry": {},
}
"""A value for every field that must be there; a refused field that may be absent is just left out."""


def parse_subscription(data: Mapping[str, Any], *, at: datetime | None = None) -> Subscription:
    """The subscription, checked whole. With `at` (business time), a method must still be valid then.

    Raises:
        InvalidInput: with every fault, each naming field, rule and value. Nothing has started.
    """
    try:
        subscription, refused = Subscription.model_validate(data), list[ErrorDetails]()
    except ValidationError as error:
        refused = _errors(error)
        subscription = _with_stand_ins(data, refused)
    faults = [*_field_faults(refused), *_rule_faults(subscription, at, [_path(one) for one in refused])]
    if faults:
        raise InvalidInput(faults)
    return subscription


def check_subscription(subscription: Subscription, *, at: datetime | None = None) -> list[Fault]:
    """The rules between fields alone, for a subscription that was built from typed values."""
    return _rule_faults(subscription, at, [])


def parse_command(data: Mapping[str, Any]) -> Command:
    """One command by its `name`.

    Raises:
        InvalidInput: with every fault.
    """
    try:
        return _COMMAND.validate_python(data)
    except ValidationError as error:
        raise InvalidInput(_field_faults(_errors(error), tag=str(data.get("name")))) from None


def creation_warnings(subscription: Subscription) -> list[str]:
    """What is allowed and yet worth a second look. Dropped rungs are named by the machine, which knows them."""
    warnings = []
    if subscription.retry.attempts_allowed > 4:
        count = subscription.retry.attempts_allowed
        warnings.append(f"retry.max_attempts: {count} attempts are more than the usual 4; networks may fine them")
    contacts = subscription.contacts()
    for occasion, channels in subscription.notifications.items():
        for channel in channels:
            if contacts.reach(channel) is None:
                what = "e-mail address" if channel is Channel.EMAIL else "phone with consent"
                warnings.append(f"notifications.{occasion.value}: {channel.value} is skipped: no {what}")
    return warnings


# --- faults of fields ------------------------------------------------------------------------------


def _errors(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False)


def _path(one: ErrorDetails) -> Path:
    """Where the fault is, in the words of the input: without the tag of the options' union."""
    at = one["loc"]
    if len(at) > 1 and at[0] == "provider_options" and at[1] in _TAGS:
        return ("provider_options", *at[2:])
    return at


def _field_faults(refused: Sequence[ErrorDetails], tag: str | None = None) -> list[Fault]:
    is_provider_bad = any(_path(one) == ("provider",) for one in refused)
    faults: list[Fault] = []
    for one in refused:
        if is_provider_bad and one["type"].startswith("union_tag") and _path(one) == ("provider_options",):
            continue  # follows from the provider's own fault
        path = _path(one)
        faults.extend(_faults_of(one, path[1:] if tag is not None and path[:1] == (tag,) else path))
    return faults


def _faults_of(one: ErrorDetails, path: Path) -> Iterator[Fault]:
    if one["type"] == BROKEN_RULES:
        for rule in one["ctx"]["rules"]:
            field = _dotted((*path, rule.field))
            yield Fault(field, rule.rule, shown(field, rule.value))
        return
    field = _dotted(path)
    is_absent = one["type"] == "missing"
    yield Fault(
        field,
        "must be given" if is_absent else _rule_of(one),
        None if is_absent else shown(field, one["input"]),
    )


def _rule_of(one: ErrorDetails) -> str:
    """The rule in our words where pydantic's need a programmer."""
    kind = one["type"]
    if kind == "extra_forbidden":
        return "is not a field that is known here"
    if kind == "string_pattern_mismatch":
        return f"must match {one['ctx']['pattern']}"
    if kind.startswith("timezone_"):
        return "must be an instant with an offset, like 2026-03-05T13:10:00Z"
    return one["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path if part != "") or "(whole)"


def shown(field: str, value: Any) -> Any:
    """The value as it may stand in an error: contacts and card numbers are not shown, nor anything around them."""
    is_text = isinstance(value, str)
    if field.startswith(_PRIVATE) or (is_text and is_card_number(value)):
        return NOT_SHOWN
    if isinstance(value, Mapping) or (isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value)):
        return f"{'an object' if isinstance(value, Mapping) else 'a list'} with {len(value)} entries"
    return value if not is_text or len(value) <= 80 else f"{value[:80]}..."


# --- faults between fields -------------------------------------------------------------------------


def _rule_faults(subscription: Subscription, at: datetime | None, refused: Sequence[Path]) -> list[Fault]:
    bad = [_dotted(path) for path in refused]
    given = Given(subscription, at)
    return [
        Fault(fault.field, fault.rule, shown(fault.field, fault.value))
        for rule in RULES
        if not any(_overlap(field, one) for field in rule.reads for one in bad)
        for fault in rule.check(given)
    ]


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _with_stand_ins(data: Any, refused: Sequence[ErrorDetails]) -> Subscription:
    """The input with every refused part replaced, first as narrowly as possible, then the whole field."""
    paths = [_path(one) for one in refused]
    for depth in (2, 1):
        repaired = copy.deepcopy(dict(data)) if isinstance(data, Mapping) else copy.deepcopy(_STAND_IN)
        for path in paths:
            _replace(repaired, path[:depth])
        try:
            return Subscription.model_validate(repaired)
        except ValidationError:
            continue
    return Subscription.model_validate(_STAND_IN)


def _replace(data: dict[Any, Any], path: Path) -> None:
    inner, stand_in = data, _STAND_IN
    for part in path[:-1]:
        if not isinstance(inner.get(part), dict) or not isinstance(stand_in.get(str(part)), dict):
            path = path[:1]
            inner, stand_in = data, _STAND_IN
            break
        inner, stand_in = inner[part], stand_in[str(part)]
    if not path:
        return
    name = path[-1]
    if str(name) in stand_in:
        inner[name] = copy.deepcopy(stand_in[str(name)])
    else:
        inner.pop(name, None)
