"""The small types that models of input are made of: each refuses what would only look right. SPEC 4.

Scalars are strict (`"3"` is no number, `1` is no flag); lists and texts of enums are taken as JSON gives them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timezone
from typing import Annotated, Any, NamedTuple

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
)
from pydantic_core import PydanticCustomError

from dunning.domain.money import is_currency

MAX_AMOUNT = 9_007_199_254_740_991
"""The largest integer that every JSON reader keeps exactly."""

LARGEST = 2**63 - 1
"""Integers of metadata are those of 64 bits with a sign: what other languages and the ledger keep whole."""

UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What PostgreSQL keeps in no text: NUL, and halves of surrogate pairs, which are no UTF-8."""

STORABLE = "must be text without NUL and without halves of surrogate pairs"

BROKEN_RULES = "broken_rules"
"""The type of the error that carries several broken rules of one model; see `broken`."""


class BrokenRule(NamedTuple):
    """One broken rule: the path below the model that raises it, the rule in words, the value given.

    `reads` are the other fields of the model that it depends on: when one of them was refused, it says nothing.
    """

    field: str
    rule: str
    value: Any
    reads: tuple[str, ...] = ()


def broken(rules: Iterable[BrokenRule]) -> None:
    """Raise all of them in one error, so that none hides another; nothing when there are none.

    Raises:
        PydanticCustomError: with the rules in its context.
    """
    found = list(rules)
    if found:
        said = "; ".join(f"{one.field}: {one.rule}" if one.field else one.rule for one in found)
        raise PydanticCustomError(BROKEN_RULES, "{said}", {"said": said, "rules": found})


def _instant_text(value: Any) -> Any:
    """Numbers and bare digits are refused: they would be read as Unix time."""
    if isinstance(value, datetime):
        return value
    if isinstance(value, str) and "T" in value.upper().replace(" ", "T"):
        return value
    raise PydanticCustomError("instant", "must be an instant with an offset, like 2026-03-05T13:10:00Z")


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError("instant", "must lie within the years 1 to 9999, in UTC too") from None


def _with_fixed_offset(value: datetime) -> datetime:
    offset, in_utc = value.utcoffset(), _in_utc(value)
    return value.astimezone(timezone(offset)) if offset else in_utc


def _is_known(code: str) -> str:
    if not is_currency(code):
        raise PydanticCustomError("currency", "must be a currency of ISO 4217, in capitals")
    return code


def _storable(value: Any) -> Any:
    # Before pydantic's own look at a text: it has only words for programmers about surrogates.
    if isinstance(value, str) and UNSTORABLE.search(value):
        raise PydanticCustomError("storable", STORABLE)
    return value


def _metadata_value(value: Any) -> Any:
    _storable(value)
    is_text = isinstance(value, str) and len(value) <= 500
    if not is_text and not isinstance(value, bool | int):
        raise PydanticCustomError("metadata", "must be a text of at most 500 characters, an integer or a flag")
    if not is_text and not -LARGEST - 1 <= value <= LARGEST:
        raise PydanticCustomError("metadata_integer", "must be an integer of 64 bits, from -2^63 to 2^63 - 1")
    return value


def _is_token(value: str) -> str:
    if is_card_number(value):
        raise PydanticCustomError("card_number", "must be the provider's token, never a card number")
    return value


def is_card_number(text: str) -> bool:
    """Whether a text is (nearly surely) a card number: 12 to 19 digits with a right check digit."""
    digits = text.replace("-", "").replace(" ", "")
    if not digits.isascii() or not digits.isdigit() or not 12 <= len(digits) <= 19:
        return False
    doubled = (int(d) * (2 if place % 2 else 1) for place, d in enumerate(reversed(digits)))
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


STORED = BeforeValidator(_storable)
"""Put to every text that a backend gives."""

Identifier = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$"), STORED]
"""Ids stand in histories and search attributes, so the alphabet leaves no room for an e-mail address. SPEC 18."""

Text = Annotated[StrictStr, StringConstraints(min_length=1, max_length=255), STORED]
"""A short text for people."""

Token = Annotated[StrictStr, Field(pattern=r"^[!-~]{1,255}$"), AfterValidator(_is_token), STORED]
"""A payment method at the provider."""

Month = Annotated[StrictStr, Field(pattern=r"^2\d{3}-(0[1-9]|1[0-2])$"), STORED]
"""`YYYY-MM`; a card is valid to the end of it."""

Instant = Annotated[AwareDatetime, BeforeValidator(_instant_text), AfterValidator(_in_utc)]
"""An instant with an offset, kept in UTC. Naive ones are refused."""

AnchorInstant = Annotated[AwareDatetime, BeforeValidator(_instant_text), AfterValidator(_with_fixed_offset)]
"""An instant that keeps the fixed offset it came with: the calendar's days are counted there. SPEC 5."""

Currency = Annotated[StrictStr, AfterValidator(_is_known), STORED]
"""ISO 4217."""

Whole = StrictInt
Flag = StrictBool

Amount = Annotated[StrictInt, Field(ge=0, le=MAX_AMOUNT)]
"""Money in minor units."""

MetadataKey = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9._:-]{1,40}$"), STORED]
Metadata = dict[MetadataKey, Annotated[str | int | bool, BeforeValidator(_metadata_value)]]
"""What the backend wants back with every event and payment."""
