"""Declines: a class is data, one table per provider. SPEC 7."""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import Self

from pydantic import model_validator

from dunning.domain.base import Value


class DeclineClass(StrEnum):
    """What a provider's "no" means for the next attempt."""

    HARD = "HARD"
    ACTION = "ACTION"
    SOFT = "SOFT"
    TECHNICAL = "TECHNICAL"
    MERCHANT = "MERCHANT"
    PENDING = "PENDING"


ALWAYS_HARD = frozenset(
    {"STOLEN_CARD", "LOST_CARD", "PICKUP_CARD", "FRAUDULENT", "DO_NOT_HONOR", "AUTHENTICATION_FAILURE"}
)
"""Never retried, at every provider, whatever it says. SPEC 7."""

CONCEALED = frozenset({"STOLEN_CARD", "LOST_CARD", "PICKUP_CARD", "FRAUDULENT"})
"""Never revealed to the customer. SPEC 7."""


class DeclineRow(Value):
    """One code of one field.

    Attributes:
        source: where the code and its class come from.
        cap: so many retries may answer to this code within one obligation; then its ladder ends.
    """

    code: str
    klass: DeclineClass
    source: str
    field: str = "error_code"
    cap: int | None = None


class DeclineTable(Value):
    """Everything that one provider can say. `provider` and `version` name the deciding rule."""

    provider: str
    version: str
    rows: tuple[DeclineRow, ...]

    @model_validator(mode="after")
    def _has_each_code_once(self) -> Self:
        if len(self._index) < len(self.rows):
            raise ValueError("each code of a field must have one row")
        return self

    @cached_property
    def _index(self) -> dict[tuple[str, str], DeclineRow]:
        return {(row.field, row.code.upper()): row for row in self.rows}

    def row(self, field: str, code: str) -> DeclineRow | None:
        """The row of a code, compared without regard to case; None when the table does not know it."""
        return self._index.get((field, code.strip().upper()))


class Classified(Value):
    """A decline's class, and the rule that decided it; unknown codes are SOFT and flagged."""

    klass: DeclineClass
    rule_id: str
    is_unknown: bool = False
    cap: int | None = None


def classify(table: DeclineTable, field: str, raw_code: str | None) -> Classified:
    """The class of a raw code, compared without regard to case.

    `rule_id` is `universal.CODE` for the six codes that no provider may soften, `provider@version.CODE` for a
    row of the table, and `provider@version.unknown` otherwise. SPEC 7.
    """
    code = (raw_code or "").strip().upper()
    if code in ALWAYS_HARD:
        return Classified(klass=DeclineClass.HARD, rule_id=f"universal.{code}")
    table_id = f"{table.provider}@{table.version}"
    row = table.row(field, code)
    if row is None:
        return Classified(klass=DeclineClass.SOFT, rule_id=f"{table_id}.unknown", is_unknown=True)
    return Classified(klass=row.klass, rule_id=f"{table_id}.{row.code}", cap=row.cap)


class ReasonKey(StrEnum):
    """Why a payment failed, in words that may be told. Texts stand in the locales."""

    INSUFFICIENT_FUNDS = "insufficient_funds"
    LIMIT = "limit"
    EXPIRED = "expired"
    DETAILS = "details"
    AUTHENTICATION = "authentication"
    MANDATE = "mandate"
    DECLINED = "declined"
    GENERIC = "generic"


_REASONS = {
    "INSUFFICIENT_FUNDS": ReasonKey.INSUFFICIENT_FUNDS,
    "INSUFFICIENT_BALANCE": ReasonKey.INSUFFICIENT_FUNDS,
    "LIMIT_EXCEEDED": ReasonKey.LIMIT,
    "PAYMENT_AMOUNT_LIMITS_EXCEEDED": ReasonKey.LIMIT,
    "PAYMENT_ATTEMPT_COUNTS_EXCEEDED": ReasonKey.LIMIT,
    "CARD_VELOCITY_EXCEEDED": ReasonKey.LIMIT,
    "EXPIRED_CARD": ReasonKey.EXPIRED,
    **dict.fromkeys(
        ("INCORRECT_CVC", "INCORRECT_NUMBER", "INVALID_CARD_NUMBER", "INVALID_CARD_OWNER", "INVALID_CVC",
         "INVALID_EXPIRY_YEAR", "INVALID_PIN", "INVALID_UPI_ID"),
        ReasonKey.DETAILS,
    ),
    **dict.fromkeys(
        ("AUTHENTICATION_FAILURE", "AUTHENTICATION_FAILED", "AUTHENTICATION_REQUIRED", "AUTHENTICATION_TIMEOUT"),
        ReasonKey.AUTHENTICATION,
    ),
    **dict.fromkeys(
        ("INVALID_TOKEN", "MANDATE_INVALID", "MANDATE_REQUIRED", "REVOCATION_OF_AUTHORIZATION",
         "SUBSCRIPTION_INACTIVE"),
        ReasonKey.MANDATE,
    ),
}  # fmt: skip


def customer_reason(klass: DeclineClass, raw_code: str) -> ReasonKey:
    """What the customer may be told: never the raw code, and nothing of stolen, lost, pick-up or fraud."""
    code = raw_code.strip().upper()
    if code in CONCEALED:
        return ReasonKey.DECLINED
    if code in _REASONS:
        return _REASONS[code]
    return ReasonKey.DECLINED if klass is DeclineClass.HARD else ReasonKey.GENERIC
