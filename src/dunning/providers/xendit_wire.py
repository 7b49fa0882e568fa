"""Xendit's words, and what they mean in ours. Source: the contract sheet, part A.

Wire models keep only what is used and ignore the rest, so that a new field of the provider's breaks nothing.
Amounts come in major units and leave here in minor ones.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dunning.domain.declines import DeclineClass, classify
from dunning.domain.fields import MAX_AMOUNT
from dunning.domain.money import from_major
from dunning.providers.base import (
    Mandate,
    MandateStatus,
    Payment,
    PaymentStatus,
    Refund,
    RefundStatus,
)
from dunning.providers.xendit_declines import (
    ADVICE,
    ADVISED_WAITS,
    FAILURE,
    NETWORK,
    SILENT_ADVICE,
    STATUS,
    WAITS,
    XENDIT_DECLINES,
)

KEY = "dunning_key"
SUBSCRIPTION = "subscription"
MAX_RETRY_AFTER_SECONDS = 366 * 86_400
_OUR_REFERENCE = re.compile(r"at_[0-9a-f]{40}")

_PAYMENT_STATUS = {
    "SUCCEEDED": PaymentStatus.SUCCEEDED,
    "FAILED": PaymentStatus.FAILED,
    "EXPIRED": PaymentStatus.FAILED,
    "CANCELED": PaymentStatus.FAILED,
}
_TOKEN_STATUS = {
    "REQUIRES_ACTION": MandateStatus.WAITING,
    "PENDING": MandateStatus.WAITING,
    "ACTIVE": MandateStatus.AUTHORIZED,
    "FAILED": MandateStatus.FAILED,
    "EXPIRED": MandateStatus.ENDED,
    "CANCELED": MandateStatus.ENDED,
}
_SESSION_STATUS = {
    "ACTIVE": MandateStatus.WAITING,
    "EXPIRED": MandateStatus.FAILED,
    "CANCELED": MandateStatus.FAILED,
}
_REFUND_STATUS = {
    "SUCCEEDED": RefundStatus.SUCCEEDED,
    "FAILED": RefundStatus.FAILED,
    "CANCELLED": RefundStatus.FAILED,
}
_NETWORK_OVER = {"92": "INACTIVE_OR_UNAUTHORIZED_CARD", "94": "DECLINED_BY_PROCESSOR"}
"""Network codes that mean something else than the failure code under which they come."""


def _credible_wait(value: object) -> int | None:
    """Nothing promises this field, so an odd value must not cost us the payment that it comes with."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_RETRY_AFTER_SECONDS else None


def _number(value: object) -> Decimal:
    """A JSON number exactly as it was written, or the same in quotes."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("an amount is a number")
    try:
        found = Decimal(str(value))
    except InvalidOperation:
        raise ValueError("an amount is a number") from None
    if not found.is_finite() or abs(found) > MAX_AMOUNT:
        raise ValueError("no amount is so large")
    return found


def _pairs(value: object) -> object:
    return {} if value is None else value


Number = Annotated[Decimal, BeforeValidator(_number)]
Pairs = Annotated[dict[str, Any], BeforeValidator(_pairs)]


class Wire(BaseModel):
    """What came over the wire."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class WireAuthorization(Wire):
    """What the card network said. The sheet has two spellings of its code; both are read."""

    network_response_code: str | int | None = None
    card_network_response_code: str | int | None = None
    merchant_advice_code: str | int | None = None

    @property
    def network(self) -> str | None:
        """The network's response code."""
        code = self.network_response_code or self.card_network_response_code
        return None if code is None else str(code).strip().upper().zfill(2)

    @property
    def advice(self) -> str | None:
        """The merchant advice code, in two digits; codes that ask for nothing are none."""
        if self.merchant_advice_code is None:
            return None
        code = str(self.merchant_advice_code).strip().zfill(2)
        return None if code in SILENT_ADVICE else code


class WireDetails(Wire):
    """The part of a payment that tells how it was authorised."""

    authorization_data: WireAuthorization | None = None


class WirePayment(Wire):
    """A payment request, or a payment of one: on its own, or in a message. Amounts are major units.

    `retry_after_seconds` is no field of the published contract; it is honoured where an answer carries it.
    """

    payment_request_id: str | None = None
    payment_id: str | None = None
    latest_payment_id: str | None = None
    status: str | None = None
    request_amount: Number
    currency: str
    reference_id: str | None = None
    payment_token_id: str | None = None
    customer_id: str | None = None
    failure_code: str | None = None
    payment_details: WireDetails | None = None
    retry_after_seconds: Annotated[int | None, BeforeValidator(_credible_wait)] = None
    metadata: Pairs = Field(default_factory=dict)
    created: datetime | None = None

    @property
    def key(self) -> str | None:
        """Our attempt key, if we sent this payment: in the metadata, or as the reference."""
        found = text_in(self.metadata, KEY)
        is_ours = self.reference_id is not None and _OUR_REFERENCE.fullmatch(self.reference_id)
        return found or (self.reference_id if is_ours else None)

    @property
    def is_failed(self) -> bool:
        """Whether it surely brought no money."""
        return _PAYMENT_STATUS.get(self.status or "") is PaymentStatus.FAILED

    @property
    def authorization(self) -> WireAuthorization:
        """What the card network said, if anything."""
        details = self.payment_details
        return (details.authorization_data if details else None) or WireAuthorization()


class WireAction(Wire):
    """What the customer has to do."""

    type: str | None = None
    descriptor: str | None = None
    value: str | None = None


class WireToken(Wire):
    """A payment token."""

    payment_token_id: str = Field(min_length=1)
    status: str | None = None
    country: str | None = None
    currency: str | None = None
    channel_code: str | None = None
    customer_id: str | None = None
    actions: list[WireAction] = Field(default_factory=list)
    metadata: Pairs = Field(default_factory=dict)

    @property
    def is_card(self) -> bool:
        """Whether it stands for a card: only there is a reference unique, and 3-D Secure to be skipped."""
        return self.channel_code == "CARDS"

    @property
    def link(self) -> str | None:
        """Where the customer completes it."""
        pages = (one.value for one in self.actions if one.type == "REDIRECT_CUSTOMER")
        return next((page for page in pages if page), None)


class WireSession(Wire):
    """A hosted page on which the customer saves a payment method."""

    payment_session_id: str = Field(min_length=1)
    status: str | None = None
    payment_link_url: str | None = None
    payment_token_id: str | None = None
    customer_id: str | None = None
    expires_at: datetime | None = None
    metadata: Pairs = Field(default_factory=dict)


class WireRefund(Wire):
    """A refund. Amounts are major units."""

    id: str = Field(min_length=1)
    payment_request_id: str | None = None
    status: str | None = None
    reference_id: str | None = None
    amount: Number
    currency: str
    failure_code: str | None = None
    metadata: Pairs = Field(default_factory=dict)
    created: datetime | None = None


class WireTransaction(Wire):
    """A row of the list of transactions: which payment a reference belongs to, and no more than that."""

    id: str = Field(min_length=1)
    product_id: str | None = None
    reference_id: str | None = None
    product_data: Pairs = Field(default_factory=dict)

    @property
    def payment_request_id(self) -> str | None:
        """The payment request that it belongs to."""
        return text_in(self.product_data, "payment_request_id")


def text_in(metadata: Mapping[str, Any], name: str) -> str | None:
    """A text among metadata; None when it is absent or something else."""
    value = metadata.get(name)
    return value if isinstance(value, str) and value else None


def aware(instant: datetime | None, otherwise: datetime) -> datetime:
    """An instant in UTC; one without an offset is read as such."""
    if instant is None:
        return otherwise
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def minor(amount: Decimal, currency: str) -> int:
    """Major units as minor ones. `ValueError` for an unknown currency or a fraction of its smallest unit."""
    try:
        return from_major(amount, currency.upper())
    except KeyError:
        raise ValueError(f"{currency} is no currency that is known") from None


def payment_of(wire: WirePayment, *, otherwise: datetime) -> Payment:
    """A payment in our words. `otherwise`: its instant when the payload names none.

    Statuses that nobody documented are pending: nothing may be concluded from them.

    Raises:
        ValueError: it names no id, or an amount that its currency does not have.
    """
    payment_id = wire.payment_request_id or wire.payment_id
    if not payment_id:
        raise ValueError("a payment without any id")
    status = _PAYMENT_STATUS.get(wire.status or "", PaymentStatus.PENDING)
    is_failed = status is PaymentStatus.FAILED
    field, code, message = _refusal(wire) if is_failed else (FAILURE, None, None)
    return Payment(
        payment_id=payment_id,
        status=status,
        key=wire.key,
        amount=minor(wire.request_amount, wire.currency),
        currency=wire.currency.upper(),
        code_field=field,
        code=code,
        message=message,
        retry_after_seconds=_wait(wire) if is_failed else None,
        created_at=aware(wire.created, otherwise),
        method_token=wire.payment_token_id,
        provider_reference=wire.payment_token_id or wire.customer_id,
    )


def _refusal(wire: WirePayment) -> tuple[str, str | None, str | None]:
    """Field, raw code and message of a failed payment: advice over network code over failure code. Sheet part C.

    What overrides a code has that code in its message. Nothing softens a code that is HARD, but for the one that
    Xendit also gives to a temporary error.
    """
    code = wire.failure_code.strip() if wire.failure_code else None
    if code is None and wire.status != "FAILED":
        return STATUS, wire.status, None
    told = wire.authorization
    klass = classify(XENDIT_DECLINES, FAILURE, code).klass
    network = told.network if told.network and _NETWORK_OVER.get(told.network) == code else None
    if klass is DeclineClass.HARD and network is None:
        return FAILURE, code, None
    row = XENDIT_DECLINES.row(ADVICE, told.advice) if told.advice else None
    if row is not None and row.klass is klass:
        return FAILURE, code, None
    if row is not None:
        return ADVICE, row.code, f"{code}, merchant advice {row.code}"
    if network is not None:
        return NETWORK, network, f"{code}, network code {network}"
    return FAILURE, code, None


def _wait(wire: WirePayment) -> int | None:
    advised = ADVISED_WAITS.get(wire.authorization.advice or "")
    by_code = WAITS.get((wire.failure_code or "").strip())
    return max((one for one in (advised, by_code, wire.retry_after_seconds) if one is not None), default=None)


def mandate_of_token(wire: WireToken) -> Mandate:
    """Where the authorisation behind a token stands; a status that nobody documented is waiting."""
    return Mandate(
        reference=wire.payment_token_id,
        status=_TOKEN_STATUS.get(wire.status or "", MandateStatus.WAITING),
        link=wire.link,
        method_token=wire.payment_token_id,
        customer_reference=wire.customer_id,
    )


def mandate_of_session(wire: WireSession) -> Mandate:
    """Where a hosted page stands. Once it is completed, the token is the authorisation."""
    token = wire.payment_token_id
    is_done = wire.status == "COMPLETED" and token is not None
    status = MandateStatus.AUTHORIZED if is_done else _SESSION_STATUS.get(wire.status or "", MandateStatus.WAITING)
    return Mandate(
        reference=token if is_done and token else wire.payment_session_id,
        status=status,
        link=wire.payment_link_url,
        method_token=token if is_done else None,
        expires_at=None if wire.expires_at is None else aware(wire.expires_at, wire.expires_at),
        customer_reference=wire.customer_id,
    )


def refund_of(wire: WireRefund, *, otherwise: datetime) -> Refund:
    """A refund in our words; a status that nobody documented is pending.

    Raises:
        ValueError: an amount that its currency does not have.
    """
    return Refund(
        refund_id=wire.id,
        payment_id=wire.payment_request_id,
        status=_REFUND_STATUS.get(wire.status or "", RefundStatus.PENDING),
        key=text_in(wire.metadata, KEY) or wire.reference_id,
        amount=minor(wire.amount, wire.currency),
        currency=wire.currency.upper(),
        code=wire.failure_code,
        created_at=aware(wire.created, otherwise),
    )
