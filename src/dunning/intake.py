"""The edge: what a backend gives becomes a subscription, or all of its faults at once. SPEC 4.

Three stages, so that no fault hides another: the models check each field; what they refuse is replaced by a
harmless stand-in; then the rules between fields (`rules`, `limits`) run, except those that read a stand-in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from dunning.domain.commands import Command
from dunning.domain.fields import BROKEN_RULES, UNSTORABLE, is_card_number
from dunning.domain.rules import RULES, Given
from dunning.domain.terms import Channel, Provider, Subscription
from dunning.errors import Fault, InvalidInput
from dunning.redaction import redact
from dunning.repairing import STAND_IN, Path, overlap, repaired

_ROUNDS = 6

NOT_SHOWN = "[not shown]"
_PERSONAL_OPTIONS = tuple(f"provider_options.{one}" for one in ("city", "state", "street", "zipcode"))
_IMPERSONAL = ("customer.id", "customer.locale", "customer.time_zone", "customer.opt_in")
_TAGS = frozenset(provider.value for provider in Provider)
_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


def parse_subscription(data: Mapping[str, Any], *, at: datetime | None = None) -> Subscription:
    """The subscription, checked whole. With `at` (business time), a method must still be valid then.

    Raises:
        InvalidInput: with every fault, each naming field, rule and value. Nothing has started.
    """
    try:
        subscription, faults, refused = Subscription.model_validate(data), list[Fault](), list[Path]()
    except ValidationError as error:
        subscription, faults, refused = _with_stand_ins(data, error)
    faults.extend(_rule_faults(subscription, at, refused))
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
        tag = str(data.get("name")) if isinstance(data, Mapping) else None
        raise InvalidInput(_field_faults(_errors(error), tag)) from None


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


def faults_in(error: ValidationError) -> list[Fault]:
    """Every fault that a model found, in the form that all input reports. SPEC 4."""
    return _field_faults(_errors(error))


def _errors(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False)


def _path(one: ErrorDetails) -> Path:
    """Where the fault is, in the words of the input: without the tag of the options' union."""
    at = tuple(part for part in one["loc"] if part != "[key]")
    if len(at) > 1 and at[0] == "provider_options" and at[1] in _TAGS:
        return ("provider_options", *at[2:])
    return at


def _field_faults(refused: Sequence[ErrorDetails], tag: str | None = None) -> list[Fault]:
    paths = [_path(one) for one in refused]
    faults: list[Fault] = []
    for one, path in zip(refused, paths, strict=True):
        if not _follows(one, path, paths):
            faults.extend(_faults_of(one, path[1:] if tag is not None and path[:1] == (tag,) else path))
    return faults


def _follows(one: ErrorDetails, path: Path, paths: Sequence[Path]) -> bool:
    """Whether it only echoes another fault: options of a provider that is none, a list of refused entries."""
    if one["type"].startswith("union_tag"):
        return path == ("provider_options",) and ("provider",) in paths
    return one["type"] == "too_short" and any(p[: len(path)] == path and p != path for p in paths)


def _faults_of(one: ErrorDetails, path: Path, refused: Sequence[Path] = ()) -> Iterator[Fault]:
    if one["type"] == BROKEN_RULES:
        for rule in one["ctx"]["rules"]:
            reads = [(*path, *name.split(".")) for name in (rule.field, *rule.reads)]
            field = _dotted((*path, rule.field))
            if not _touches(refused, reads):
                yield Fault(field, rule.rule, shown(field, rule.value))
        return
    field = _dotted(path)
    if one["type"] == "missing":
        yield Fault(field, "must be given", None)
    else:
        yield Fault(field, _rule_of(one), shown(field, one["input"]))


def _rule_of(one: ErrorDetails) -> str:
    """The rule in our words where pydantic's need a programmer."""
    kind, context = one["type"], one.get("ctx", {})
    if kind == "extra_forbidden":
        return "is not a field that is known here"
    if kind == "string_pattern_mismatch":
        return f"must match {context['pattern']}"
    if kind.startswith("timezone_"):
        return "must be an instant with an offset, like 2026-03-05T13:10:00Z"
    if kind == "model_type":
        return "must be an object"
    if kind == "union_tag_invalid":
        return f"must be one of {context['expected_tags']}"
    if kind == "too_short":
        return f"must have {context['min_length']} or more entries"
    if kind == "too_long":
        return f"must have at most {context['max_length']} entries"
    return one["msg"].removeprefix("Value error, ").replace("Input should be", "must be", 1)


def _dotted(path: Path) -> str:
    return _legible(".".join(str(part) for part in path if part != "")) or "(whole)"


def _legible(text: str) -> str:
    """What can be written to any log and any answer: characters that have no form there by their numbers."""
    return UNSTORABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shown(field: str, value: Any) -> Any:
    """The value as it may stand in an error, which reaches logs: no contacts, no secrets, no card numbers."""
    if _is_personal(field) or (isinstance(value, str) and is_card_number(value)):
        return NOT_SHOWN
    if isinstance(value, Mapping):
        return f"an object with {len(value)} fields"
    if isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
        return f"a list of {len(value)}"
    hidden = redact(value, field.rpartition(".")[2])
    if not isinstance(hidden, str):
        return hidden
    return _legible(hidden if len(hidden) <= 80 else f"{hidden[:80]}...")


def _is_personal(field: str) -> bool:
    if field.startswith(_PERSONAL_OPTIONS):
        return True
    return field.startswith("customer") and not field.startswith(_IMPERSONAL)


# --- faults between fields -------------------------------------------------------------------------


def _rule_faults(subscription: Subscription, at: datetime | None, refused: Sequence[Path]) -> list[Fault]:
    given = Given(subscription, at)
    return [
        Fault(fault.field, fault.rule, shown(fault.field, fault.value))
        for rule in RULES
        if not _touches(refused, [tuple(field.split(".")) for field in rule.reads])
        for fault in rule.check(given)
    ]


def _touches(refused: Sequence[Path], reads: Sequence[Path]) -> bool:
    return any(overlap(one, other) for one in refused for other in reads)


def _with_stand_ins(data: Any, error: ValidationError) -> tuple[Subscription, list[Fault], list[Path]]:
    """What is left when every refused part is replaced, with all faults on the way and where they are.

    Rules within one model run only when its fields are in order, so they may show up in a later round.
    """
    faults, refused = faults_in(error), _refused(error)
    document = repaired(data, refused, ()) if isinstance(data, Mapping) else dict(STAND_IN)
    for _ in range(_ROUNDS):
        try:
            return Subscription.model_validate(document), faults, refused
        except ValidationError as again:
            for one in _errors(again):
                if one["type"] == BROKEN_RULES:
                    faults.extend(_faults_of(one, _path(one), refused))
            paths = _refused(again)
            document = repaired(document, paths, refused)
            refused = [*refused, *paths]
    return Subscription.model_validate(STAND_IN), faults, [("*",)]


def _refused(error: ValidationError) -> list[Path]:
    """Where the faults are, those of a model's own rules at the fields that they name."""
    found = _errors(error)
    all_paths = [_path(one) for one in found]
    paths: list[Path] = []
    for one, path in zip(found, all_paths, strict=True):
        if one["type"] == BROKEN_RULES:
            paths.extend((*path, *rule.field.split(".")) for rule in one["ctx"]["rules"])
        elif not _follows(one, path, all_paths):
            paths.append(path)
    return paths
