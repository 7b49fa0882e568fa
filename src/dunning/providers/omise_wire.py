"""Omise's words, and what they mean in ours. Source: the contract sheet, B2 to B8.

Wire models keep only what is used and ignore the rest, so that a new field of the provider's breaks nothing.
Messages come in the version that the account had at the time, so older names of fields are read too (B3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from dunning.domain.declines import DeclineClass, classify
from dunning.domain.fields import MAX_AMOUNT
from dunning.providers.base import (
    Mandate,
    MandateStatus,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
)
from dunning.providers.omise_declines import ADVICE, DO_NOT_RETRY, FAILURE, OMISE_DECLINES, STATUS

KEY = "dunning_key"
SUBSCRIPTION = "subscription"
ACCOUNT = "merchant_account"
TOKEN = "dunning_token"  # noqa: S105 - the name of a metadata pair
"""On a customer that we made: the token that it was made with."""
ENDED = "dunning_ended"
"""On a customer: why nothing may be charged any more. Omise itself knows no such state."""
CARD_OF = "dunning_card_of_"
"""On a customer, followed by a token: the card that the token became. A token is gone once it is used."""
MAX_RETRY_AFTER_SECONDS = 366 * 86_400

_PAYMENT_STATUS = {
    "successful": PaymentStatus.SUCCEEDED,
    "failed": PaymentStatus.FAILED,
    "expired": PaymentStatus.FAILED,
    "reversed": PaymentStatus.FAILED,
}
_REFUND_STATUS = {"pending": RefundStatus.PENDING, "failed": RefundStatus.FAILED}
OPEN_DISPUTES = frozenset({"open", "pending"})
_ADVICE_CODES = frozenset({"9101"})
"""The only advice code whose text is published: do not retry with the same card."""
_DO_NOT_RETRY = re.compile(r"do\s+not\s+re-?try", re.IGNORECASE)


def _credible_wait(value: object) -> int | None:
    """Nothing promises this field, so an odd value must not cost us the payment that it comes with."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_RETRY_AFTER_SECONDS else None


def _id(value: object) -> object:
    """An id, also where the whole object stands in its place."""
    return value.get("id") if isinstance(value, Mapping) else value


def _pairs(value: object) -> object:
    return {} if value is None else value


Id = Annotated[str | None, BeforeValidator(_id)]
Pairs = Annotated[dict[str, Any], BeforeValidator(_pairs)]
_CREATED = AliasChoices("created_at", "created")


class Wire(BaseModel):
    """What came over the wire."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class WireCard(Wire):
    """A stored card. It is good to the end of its month."""

    id: str = Field(min_length=1)
    expiration_month: int | None = None
    expiration_year: int | None = None
    deleted: bool = False

    def is_expired(self, at: datetime) -> bool:
        """Whether the card's last month is over at `at`; a card that names no month is not."""
        if self.expiration_month is None or self.expiration_year is None:
            return False
        return (at.year, at.month) > (self.expiration_year, self.expiration_month)


class WireCards(Wire):
    """The cards inside a customer: the first page of them."""

    data: tuple[WireCard, ...] = ()


class WireCharge(Wire):
    """A charge in a list, on its own, or in a message. Amounts are minor units, currencies in small letters.

    `retry_after_seconds` is no field of the published contract; it is honoured where an answer carries it.
    """

    id: str = Field(min_length=1)
    status: str | None = None
    amount: int = Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)
    currency: str
    customer: Id = None
    card: Id = None
    schedule: Id = None
    metadata: Pairs = Field(default_factory=dict)
    failure_code: str | None = None
    failure_message: str | None = None
    merchant_advice: str | None = None
    merchant_advice_code: str | int | None = None
    retry_after_seconds: Annotated[int | None, BeforeValidator(_credible_wait)] = None
    created_at: datetime | None = Field(default=None, validation_alias=_CREATED)

    @property
    def key(self) -> str | None:
        """Our attempt key, if we sent this charge."""
        return text_in(self.metadata, KEY)

    @property
    def is_paid(self) -> bool:
        """Whether the money was collected."""
        return _PAYMENT_STATUS.get(self.status or "") is PaymentStatus.SUCCEEDED

    def costs(self, amount: int, currency: str) -> bool:
        """Whether it collects this price."""
        return (self.amount, self.currency.upper()) == (amount, currency)

    @property
    def is_advised_against(self) -> bool:
        """Whether the issuer says not to try this card again."""
        if _DO_NOT_RETRY.search(self.merchant_advice or ""):
            return True
        return str(self.merchant_advice_code) in _ADVICE_CODES


class WireCustomer(Wire):
    """A customer; contacts are not read."""

    id: str = Field(min_length=1)
    default_card: Id = None
    cards: WireCards = WireCards()
    metadata: Pairs = Field(default_factory=dict)
    deleted: bool = False

    def card_of(self, token: str) -> str | None:
        """The card that a token became, if we noted it."""
        return text_in(self.metadata, CARD_OF + token)

    def stored(self, card: str | None) -> WireCard | None:
        """A card of the first page."""
        return next((one for one in self.cards.data if one.id == card and not one.deleted), None)


class WireRefund(Wire):
    """A refund. Amounts are minor units."""

    id: str = Field(min_length=1)
    amount: int = Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)
    currency: str
    charge: Id = None
    status: str | None = None
    metadata: Pairs = Field(default_factory=dict)
    created_at: datetime | None = Field(default=None, validation_alias=_CREATED)


class WireDispute(Wire):
    """A dispute in a message."""

    charge: Annotated[str, BeforeValidator(_id)]
    status: str | None = None
    currency: str = ""
    created_at: datetime | None = Field(default=None, validation_alias=_CREATED)


class Envelope(Wire):
    """What every message has around its data."""

    id: str = Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")
    key: str = Field(min_length=1, max_length=200)
    livemode: bool | None = None
    created_at: datetime | None = Field(default=None, validation_alias=_CREATED)
    data: dict[str, Any] = Field(default_factory=dict)


def text_in(metadata: Mapping[str, Any], name: str) -> str | None:
    """A text among metadata; None when it is absent or something else."""
    value = metadata.get(name)
    return value if isinstance(value, str) and value else None


def aware(instant: datetime | None, otherwise: datetime) -> datetime:
    """An instant in UTC; one without an offset is read as such."""
    if instant is None:
        return otherwise
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def payment_of(wire: WireCharge, *, otherwise: datetime) -> Payment:
    """A charge in our words. `otherwise`: its instant when the payload names none.

    Statuses that nobody documented are pending: nothing may be concluded from them.
    """
    status = _PAYMENT_STATUS.get(wire.status or "", PaymentStatus.PENDING)
    field, code, message = _refusal(wire) if status is PaymentStatus.FAILED else (FAILURE, None, None)
    return Payment(
        payment_id=wire.id,
        status=status,
        key=wire.key,
        amount=wire.amount,
        currency=wire.currency.upper(),
        code_field=field,
        code=code,
        message=message,
        retry_after_seconds=wire.retry_after_seconds if status is PaymentStatus.FAILED else None,
        created_at=aware(wire.created_at, otherwise),
        method_token=wire.card,
        provider_reference=wire.customer,
    )


def _refusal(wire: WireCharge) -> tuple[str, str | None, str | None]:
    """Field, raw code and message of a failed charge.

    An advice not to retry wins over a failure code that would allow it; that code then stands in the message.
    """
    if wire.failure_code is None and wire.status != "failed":
        return STATUS, wire.status, wire.failure_message
    is_hard = classify(OMISE_DECLINES, FAILURE, wire.failure_code).klass is DeclineClass.HARD
    if is_hard or not wire.is_advised_against:
        return FAILURE, wire.failure_code, wire.failure_message
    told = (wire.failure_code, wire.failure_message, wire.merchant_advice)
    return ADVICE, DO_NOT_RETRY, ": ".join(one for one in told if one)


def refund_of(wire: WireRefund, *, otherwise: datetime) -> Refund:
    """A refund in our words; one whose status is not published counts as made."""
    return Refund(
        refund_id=wire.id,
        payment_id=wire.charge,
        status=_REFUND_STATUS.get(wire.status or "", RefundStatus.SUCCEEDED),
        key=text_in(wire.metadata, KEY),
        amount=wire.amount,
        currency=wire.currency.upper(),
        created_at=aware(wire.created_at, otherwise),
    )


def mandate_of(wire: WireCustomer) -> Mandate:
    """Where the authorisation to charge this customer stands: they have a default card, and we did not end it."""
    status = MandateStatus.AUTHORIZED if wire.default_card is not None else MandateStatus.WAITING
    if wire.deleted or text_in(wire.metadata, ENDED) is not None:
        status = MandateStatus.ENDED
    return Mandate(reference=wire.id, status=status, method_token=wire.default_card, customer_reference=wire.id)
