"""Taking a subscription in: every fault at once, or a validated `Subscription`. SPEC 4."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from pydantic import ValidationError

from dunning.domain.rules import broken_rules
from dunning.domain.terms import Subscription
from dunning.errors import Fault, InvalidInput


def parse_subscription(data: Mapping[str, Any]) -> Subscription:
    """Validate one document of JSON values (instants may be `datetime` objects, as YAML gives them).

    Raises:
        InvalidInput: with every fault, each naming field, rule and value; nothing has started.
    """
    plain = json.loads(json.dumps(dict(data), default=_text))
    faults: list[Fault] = []
    subscription: Subscription | None = None
    try:
        subscription = Subscription.model_validate_json(json.dumps(plain), strict=True)
    except ValidationError as refused:
        faults.extend(_fault(error) for error in refused.errors(include_url=False))
    named = {fault.field for fault in faults}
    faults.extend(Fault(f, rule, value) for f, rule, value in broken_rules(plain) if f not in named)
    if faults or subscription is None:
        raise InvalidInput(faults)
    return subscription


def creation_warnings(subscription: Subscription) -> list[str]:
    """What is allowed and still worth saying."""
    warnings = []
    attempts = subscription.retry.attempts_allowed
    if attempts > 4:
        warnings.append(f"retry.max_attempts: {attempts} attempts are more than the 4 that networks tolerate well")
    return warnings


def _text(value: Any) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"not a JSON value: {value!r}")


def _fault(error: Any) -> Fault:
    field = ".".join(str(part) for part in error["loc"]) or "(whole)"
    value = None if error["type"] == "missing" else error["input"]
    return Fault(field, error["msg"].removeprefix("Value error, ").lower(), value)
