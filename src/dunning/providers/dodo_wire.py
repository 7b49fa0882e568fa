"""Dodo's words, and what they mean in ours. Source: the contract sheet, D.4 to D.9.

Wire models keep only what is used and ignore the rest, so that a new field of the provider's breaks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from dunning.domain.fields import MAX_AMOUNT
from dunning.providers.base import (
    Mandate,
    MandateStatus,
    MessageKind,
    Payment,
    PaymentStatus,
    ProviderMessage,
    Refund,
    RefundStatus,
    WebhookRefused,
)

KEY = "dunning_key"
FIRST_KEY = "dunning_first_key"
"""A first price's key has a name of its own: Dodo copies a subscription's metadata to payments that bring none."""
SUBSCRIPTION = "subscription"
MAX_RETRY_AFTER_SECONDS = 366 * 86_400

_PAYMENT_STATUS = {
    "succeeded": PaymentStatus.SUCCEEDED,
    "failed": PaymentStatus.FAILED,
    "cancelled": PaymentStatus.FAILED,
}
_REFUND_STATUS = {"succeeded": RefundStatus.SUCCEEDED, "failed": RefundStatus.FAILED}
_MANDATE_STATUS = {
    "pending": MandateStatus.WAITING,
    "active": MandateStatus.AUTHORIZED,
    "past_due": MandateStatus.AUTHORIZED,
    "on_hold": MandateStatus.AUTHORIZED,
    "paused": MandateStatus.AUTHORIZED,
    "failed": MandateStatus.FAILED,
    "cancelled": MandateStatus.ENDED,
    "expired": MandateStatus.ENDED,
}
_TELLING = frozenset({"active", "failed", "cancelled", "expired"})
"""Subscription statuses that tell the engine something; the others are the provider's own bookkeeping."""


def _credible_wait(value: object) -> int | None:
    """Nothing promises this field, so an odd value must not cost us the payment that it comes with."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_RETRY_AFTER_SECONDS else None


class Wire(BaseModel):
    """What came over the wire."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class WireCustomer(Wire):
    """The customer inside payments and subscriptions; contacts are not read."""

    customer_id: str | None = None


class WireRefundId(Wire):
    """A refund inside a payment: its metadata are not shown there."""

    refund_id: str = Field(min_length=1)


class WirePayment(Wire):
    """A payment in a list, on its own, or in a message. Amounts are minor units.

    `retry_after_seconds` is no field of the published contract; it is honoured where an answer carries it.
    """

    payment_id: str = Field(min_length=1)
    status: str | None = None
    total_amount: int = Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)
    tax: int | None = None
    currency: str
    error_code: str | None = None
    error_message: str | None = None
    retry_after_seconds: Annotated[int | None, BeforeValidator(_credible_wait)] = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    subscription_id: str | None = None
    charge_type: str | None = None
    is_update_payment_method: bool = False
    payment_method_id: str | None = None
    refunds: tuple[WireRefundId, ...] = ()
    created_at: datetime | None = None

    @property
    def refund_ids(self) -> tuple[str, ...]:
        """The refunds of this payment, where the payment itself was read."""
        return tuple(one.refund_id for one in self.refunds)

    @property
    def key(self) -> str | None:
        """Our attempt key, if it is an attempt of ours: what a change of method made is none.

        What the mandate's page made is one only where a first price was asked there.
        """
        if self.is_update_payment_method:
            return None
        value = self.metadata.get(FIRST_KEY if self.charge_type == "new" else KEY)
        return value if isinstance(value, str) and value else None

    @property
    def is_untouched(self) -> bool:
        """Whether it only stands for a mandate's page that waits for its customer: nothing was charged."""
        return self.charge_type == "new" and self.status == "requires_payment_method"

    def names(self, key: str) -> bool:
        """Whether it may be this attempt's: a row of a list need not say what made the payment."""
        return key in (self.key, self.metadata.get(FIRST_KEY) if self.charge_type is None else None)

    def costs(self, amount: int, currency: str) -> bool:
        """Whether it collects this price, with or without a tax that the provider put on top."""
        prices = (self.total_amount, self.total_amount - (self.tax or 0))
        return self.currency == currency and amount in prices


class WireSubscription(Wire):
    """A subscription, as read or in a message."""

    subscription_id: str = Field(min_length=1)
    status: str
    payment_method_id: str | None = None
    product_id: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    customer: WireCustomer | None = None
    expires_at: datetime | None = None


class WireRefund(Wire):
    """A refund, as read or in a message. Amounts are minor units; a status that nobody documented is pending."""

    refund_id: str = Field(min_length=1)
    payment_id: str = Field(min_length=1)
    status: str | None = None
    amount: int = 0
    currency: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    created_at: datetime | None = None


class WireDispute(Wire):
    """A dispute in a message; the amount is a decimal string there and is not used."""

    payment_id: str = Field(min_length=1)
    dispute_status: str
    currency: str = ""
    created_at: datetime | None = None


class Envelope(Wire):
    """What every message has around its data."""

    type: str = Field(min_length=1, max_length=200)
    timestamp: datetime | None = None
    data: dict[str, Any] = Field(default_factory=dict)


PAYMENTS: TypeAdapter[list[WirePayment]] = TypeAdapter(list[WirePayment])


def aware(instant: datetime | None, otherwise: datetime) -> datetime:
    """An instant in UTC; Dodo writes UTC, so one without an offset is read as such."""
    if instant is None:
        return otherwise
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)


def payment_of(wire: WirePayment, *, otherwise: datetime) -> Payment:
    """A payment in our words. `otherwise`: its instant when the payload names none.

    Statuses that are neither paid nor refused (null too) are pending: nothing may be concluded from them.
    """
    status = _PAYMENT_STATUS.get(wire.status or "", PaymentStatus.PENDING)
    is_failed = status is PaymentStatus.FAILED
    code = wire.error_code
    if is_failed and code is None and wire.status == "cancelled":
        code = "CUSTOMER_CANCELLED"
    return Payment(
        payment_id=wire.payment_id,
        status=status,
        key=wire.key,
        amount=wire.total_amount,
        currency=wire.currency,
        code=code if is_failed else None,
        message=wire.error_message if is_failed else None,
        retry_after_seconds=wire.retry_after_seconds if is_failed else None,
        created_at=aware(wire.created_at, otherwise),
        method_token=wire.payment_method_id,
        is_method_update=wire.is_update_payment_method,
        is_first_price=wire.charge_type == "new" and wire.key is not None,
        provider_reference=wire.subscription_id,
    )


def mandate_of(wire: WireSubscription, link: str | None = None) -> Mandate:
    """Where the authorisation behind a subscription stands; a status that nobody documented is waiting."""
    return Mandate(
        reference=wire.subscription_id,
        status=_MANDATE_STATUS.get(wire.status, MandateStatus.WAITING),
        link=link,
        method_token=wire.payment_method_id,
        expires_at=None if wire.expires_at is None else aware(wire.expires_at, wire.expires_at),
        customer_reference=wire.customer.customer_id if wire.customer else None,
    )


def refund_of(wire: WireRefund, *, otherwise: datetime) -> Refund:
    """A refund in our words. `otherwise`: its instant when the payload names none."""
    key = wire.metadata.get(KEY)
    return Refund(
        refund_id=wire.refund_id,
        payment_id=wire.payment_id,
        status=_REFUND_STATUS.get(wire.status or "", RefundStatus.PENDING),
        key=key if isinstance(key, str) and key else None,
        amount=wire.amount,
        currency=wire.currency,
        created_at=aware(wire.created_at, otherwise),
    )


def message_of(message_id: str, body: bytes, now: datetime) -> ProviderMessage:
    """A verified message in our words. `now`: the machine clock, where the message names no instant.

    A message is read by what its data say, never by its type alone: the provider sends the latest payload at
    the time of delivery, so the two can disagree (sheet D.9).

    Raises:
        WebhookRefused: it is not JSON of the documented form.
    """
    try:
        envelope = Envelope.model_validate_json(body)
        family = envelope.type.partition(".")[0]
        common = {
            "message_id": message_id,
            "raw_type": envelope.type,
            "occurred_at": aware(envelope.timestamp, now),
        }
        if family == "payment":
            return _payment_message(envelope, common)
        if family == "subscription":
            return _subscription_message(envelope, common)
        if family == "dispute":
            return _dispute_message(envelope, common)
        if family == "refund":
            return _refund_message(envelope, common)
        return ProviderMessage(kind=MessageKind.OTHER, reference=_reference(envelope.data), **common)
    except (ValidationError, ValueError, OverflowError, RecursionError) as error:
        raise WebhookRefused(f"the message cannot be read: {type(error).__name__}") from None


def _payment_message(envelope: Envelope, common: dict[str, Any]) -> ProviderMessage:
    wire = WirePayment.model_validate(envelope.data)
    return ProviderMessage(
        kind=MessageKind.PAYMENT,
        subscription=_ours(wire.metadata),
        reference=wire.subscription_id,
        payment=payment_of(wire, otherwise=common["occurred_at"]),
        **common,
    )


def _subscription_message(envelope: Envelope, common: dict[str, Any]) -> ProviderMessage:
    wire = WireSubscription.model_validate(envelope.data)
    mandate = mandate_of(wire)
    kind = MessageKind.MANDATE if wire.status in _TELLING else MessageKind.OTHER
    is_update = envelope.type == "subscription.update_payment_method" and mandate.method_token is not None
    if is_update and mandate.status is MandateStatus.AUTHORIZED:
        kind = MessageKind.METHOD_UPDATED
    return ProviderMessage(
        kind=kind,
        subscription=_ours(wire.metadata),
        reference=wire.subscription_id,
        mandate=mandate,
        **common,
    )


def _refund_message(envelope: Envelope, common: dict[str, Any]) -> ProviderMessage:
    """Nothing in a refund names the subscription: the gateway finds it by our key, or by the payment's id.

    One that says less than it should tells nothing: refunds of ours are looked up besides.
    """
    try:
        refund = refund_of(WireRefund.model_validate(envelope.data), otherwise=common["occurred_at"])
    except ValidationError:
        return ProviderMessage(kind=MessageKind.OTHER, **common)
    return ProviderMessage(kind=MessageKind.REFUND, refund=refund, **common)


def _dispute_message(envelope: Envelope, common: dict[str, Any]) -> ProviderMessage:
    wire = WireDispute.model_validate(envelope.data)
    paid = Payment(
        payment_id=wire.payment_id,
        status=PaymentStatus.SUCCEEDED,
        amount=0,
        currency=wire.currency,
        created_at=aware(wire.created_at, common["occurred_at"]),
    )
    # Nothing in a dispute names the subscription: the gateway finds it by the payment's id.
    return ProviderMessage(
        kind=MessageKind.DISPUTE,
        payment=paid,
        dispute_is_open=wire.dispute_status in ("dispute_opened", "dispute_challenged"),
        **common,
    )


def _ours(metadata: Mapping[str, Any]) -> str | None:
    value = metadata.get(SUBSCRIPTION)
    return value if isinstance(value, str) and value else None


def _reference(data: Mapping[str, Any]) -> str | None:
    value = data.get("subscription_id")
    return value if isinstance(value, str) and value else None
