"""Makes more of what schemathesis draws worth sending: both ids of a command, where both are right, are the same."""

from __future__ import annotations

import re
from typing import Any

import schemathesis

_IDENTIFIER = re.compile(r"[A-Za-z0-9._:-]{1,64}")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    given = case.body.get("command_id") if isinstance(case.body, dict) else None
    key = (case.headers or {}).get("Idempotency-Key")
    if all(isinstance(one, str) and _IDENTIFIER.fullmatch(one) for one in (given, key)):
        case.body["command_id"] = key
