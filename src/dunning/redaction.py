"""Keeps secrets and contacts out of logs, by the name of a field and by the look of a value. SPEC 18."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import SecretBytes, SecretStr

REDACTED = "[redacted]"

_PRIVATE_WORDS = frozenset(
    {
        "authorization",
        "contacts",
        "cookie",
        "credentials",
        "email",
        "msisdn",
        "passphrase",
        "password",
        "phone",
        "recipient",
        "recipients",
        "secret",
        "secrets",
        "signature",
        "token",
        "tokens",
    }
)
_PRIVATE_NAMES = frozenset(
    {"api_key", "apikey", "cardholder_name", "customer_name", "private_key", "wa_id", "x_api_key"}
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_PRIVATE_TEXT = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s:@]*:[^/\s@]*@"  # credentials in a URL
    r"|\b(?:Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{4,}"
    r"|\bwhsec_[A-Za-z0-9+/=_-]+"
    r"|\bdodo_(?:live|test)_[A-Za-z0-9._-]+"
    r"|\bdnk_[0-9a-f]{12}_[0-9a-f]{48}"
    r"|\b(?:sk|pk|skey|pkey|xnd)_[A-Za-z0-9_-]{8,}"
    r"|(?P<mail>[^\s@<>\"'(),;:\[\]=]+@[^\s@<>\"'(),;:\[\]]+\.[A-Za-z]{2,})"
    r"|(?<![\w.:+-])\+[1-9][0-9](?:[ .-]?[0-9]){6,13}(?![\w])",
    re.IGNORECASE,
)
_MAX_DEPTH = 12


def is_private(name: str) -> bool:
    """Whether a field of this name holds a secret or a contact: `backend_secret`, `apiKey`, `X-Api-Key`."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return any(word in _PRIVATE_WORDS for word in words) or "_".join(words) in _PRIVATE_NAMES


def redact_text(text: str) -> str:
    """The text without e-mail addresses, phone numbers in E.164, keys, and credentials in URLs."""
    return _PRIVATE_TEXT.sub(lambda found: f"{found['scheme']}{REDACTED}@" if found["scheme"] else REDACTED, text)


def redact(value: Any, name: str = "", depth: int = 0) -> Any:
    """The value, however nested, without what is private. Counts and flags (`has_token`) stay readable."""
    if value is None or isinstance(value, bool | int | float):
        return value if not is_private(name) or isinstance(value, bool) or value is None else REDACTED
    if isinstance(value, SecretStr | SecretBytes) or is_private(name):
        return REDACTED
    if depth >= _MAX_DEPTH:
        return "[too deep]"
    if isinstance(value, Mapping):
        return {redact_text(str(key)): redact(inner, str(key), depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(inner, name, depth + 1) for inner in value]
    return redact_text(value if isinstance(value, str) else str(value))
