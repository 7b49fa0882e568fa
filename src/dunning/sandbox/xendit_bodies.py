"""Requests as Xendit takes them: keys by Basic authentication, JSON, major units, lists by cursor. Sheet A1, A2."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from fastapi import Request

from dunning.domain.money import NO_SMALL_UNITS, from_major
from dunning.sandbox.book import MetadataValue
from dunning.sandbox.xendit_errors import XenditError, invalid

Row = TypeVar("Row")
SECRET_KEY = "xnd_development_"  # noqa: S105 - how a test key begins
READ_ONLY = "xnd_development_readonly"
CURRENCIES = frozenset("IDR PHP VND THB SGD MYR USD HKD AUD GBP EUR JPY MXN".split())  # noqa: SIM905 - a word list
COUNTRIES = frozenset("ID PH VN TH SG MY HK MX".split())  # noqa: SIM905 - a word list
PAYMENTS_VERSION = "2024-11-11"
MAX_PAIRS, MAX_KEY, MAX_VALUE = 50, 40, 500


async def require_key(request: Request) -> None:
    """Test secret keys only; one that begins with `xnd_development_readonly` may not write.

    Raises:
        XenditError: `INVALID_API_KEY`, also for live keys, or `REQUEST_FORBIDDEN_ERROR`.
    """
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    try:
        user = base64.b64decode(encoded, validate=True).decode().partition(":")[0]
    except (binascii.Error, ValueError):
        user = ""
    if scheme.lower() != "basic" or not user.startswith(SECRET_KEY):
        raise XenditError("INVALID_API_KEY", "API key is not authorized for this API service")
    if user.startswith(READ_ONLY) and request.method != "GET":
        raise XenditError("REQUEST_FORBIDDEN_ERROR", "The API key is forbidden to perform this request")


async def require_version(request: Request) -> None:
    """The version of the payments' contract; raises `API_VALIDATION_ERROR` without it."""
    if request.headers.get("api-version") != PAYMENTS_VERSION:
        raise invalid(f"header api-version must be {PAYMENTS_VERSION}")


async def fields_of(request: Request) -> dict[str, Any]:
    """The JSON object in a body; raises `API_VALIDATION_ERROR`."""
    try:
        found = json.loads(await request.body() or b"{}")
    except ValueError:
        raise invalid("the body is not JSON") from None
    if not isinstance(found, dict):
        raise invalid("the body is not an object")
    return found


def text(fields: dict[str, Any], name: str, *, most: int = 255) -> str:
    """A text that has to be there; raises `API_VALIDATION_ERROR`."""
    found = fields.get(name)
    if not isinstance(found, str) or not 1 <= len(found) <= most:
        raise invalid(f"{name} must be a text of 1 to {most} characters")
    return found


def one_of(fields: dict[str, Any], name: str, known: frozenset[str]) -> str:
    """A word of a list; raises `API_VALIDATION_ERROR`."""
    found = text(fields, name)
    if found not in known:
        raise invalid(f"{name} must be one of {', '.join(sorted(known))}")
    return found


def money(fields: dict[str, Any], name: str, currency: str) -> int:
    """An amount in minor units, given in major ones; raises `API_VALIDATION_ERROR`."""
    found = fields.get(name)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise invalid(f"{name} must be a number")
    try:
        exact = Decimal(str(found))
        amount = from_major(exact, currency)
    except (InvalidOperation, ValueError):
        raise invalid(f"{name} has more decimals than {currency}") from None
    if amount < 0 or (currency in NO_SMALL_UNITS and exact != exact.to_integral_value()):
        raise invalid(f"{name} must be a whole number, 0 or more")
    return amount


def pairs(fields: dict[str, Any]) -> dict[str, MetadataValue]:
    """Metadata: at most 50 texts; raises `API_VALIDATION_ERROR`."""
    found = fields.get("metadata") or {}
    if not isinstance(found, dict) or len(found) > MAX_PAIRS:
        raise invalid(f"metadata must be an object of at most {MAX_PAIRS} pairs")
    for name, value in found.items():
        if len(name) > MAX_KEY or not isinstance(value, str) or len(value) > MAX_VALUE:
            raise invalid(f"metadata.{name} must be a text of at most {MAX_VALUE} characters")
    return dict(found)


def page_of(
    request: Request, rows: Sequence[Row], view: Callable[[Row], dict[str, Any]], *, most: int = 50
) -> dict[str, Any]:
    """The wanted part of a list, in the order given: `limit` rows after the one of `after_id`."""
    # The official Python SDK writes a limit as a number with a fraction.
    limit = request.query_params.get("limit", "10").removesuffix(".0")
    if not limit.isdigit() or not 1 <= int(limit) <= most:
        raise invalid(f"limit must be 1 to {most}")
    views = [view(row) for row in rows]
    after = request.query_params.get("after_id")
    start = 0 if after is None else next((at + 1 for at, one in enumerate(views) if one["id"] == after), len(views))
    shown = views[start : start + int(limit)]
    return {"has_more": start + len(shown) < len(views), "data": shown, "links": []}
