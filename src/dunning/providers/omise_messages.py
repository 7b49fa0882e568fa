"""Omise's messages in our words, sent to us or read from the list of events. Sheet B7."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from dunning.providers.base import MandateStatus, MessageKind, Payment, PaymentStatus, ProviderMessage, WebhookRefused
from dunning.providers.omise_schedules_wire import schedule_message, scheduled_charge_message
from dunning.providers.omise_wire import (
    OPEN_DISPUTES,
    SUBSCRIPTION,
    Envelope,
    WireCharge,
    WireCustomer,
    WireDispute,
    WireRefund,
    aware,
    mandate_of,
    payment_of,
    refund_of,
    text_in,
)


def message_of(body: bytes, now: datetime, *, is_test: bool) -> ProviderMessage:
    """A verified message in our words. `now`: the machine clock, where the message names no instant.

    Raises:
        WebhookRefused: it is not JSON of the documented form, or of the other mode.
    """
    try:
        return event_of(Envelope.model_validate_json(body), now, is_test=is_test)
    except (ValidationError, ValueError, OverflowError, RecursionError) as error:
        raise WebhookRefused(f"the message cannot be read: {type(error).__name__}") from None


def event_of(envelope: Envelope, now: datetime, *, is_test: bool) -> ProviderMessage:
    """An event in our words, whether it was sent to us or read from the list of events.

    Raises:
        ValueError: its data cannot be read.
        WebhookRefused: it is of the other mode.
    """
    if envelope.livemode is is_test:
        raise WebhookRefused("the message is of the other mode")
    common = {
        "message_id": envelope.id,
        "raw_type": envelope.key,
        "occurred_at": aware(envelope.created_at, now),
    }
    kind = envelope.data.get("object")
    if kind == "charge":
        return _charge_message(envelope, common)
    if kind == "schedule":
        return schedule_message(envelope.data, common)
    if kind == "customer":
        return _customer_message(envelope, common)
    if kind == "dispute":
        return _dispute_message(envelope, common)
    if kind == "refund":
        return _refund_message(envelope, common)
    return ProviderMessage(kind=MessageKind.OTHER, **common)


def _charge_message(envelope: Envelope, common: dict[str, Any]) -> ProviderMessage:
    wire = WireCharge.model_validate(envelope.data)
    if wire.schedule is not None and wire.key is None:
        return scheduled_charge_message(wire, common)
    return ProviderMessage(
        kind=MessageKind.PAYMENT,
        subscription=text_in(wire.metadata, SUBSCRIPTION),
        reference=wire.customer,
        payment=payment_of(wire, otherwise=common["occurred_at"]),
        **common,
    )


def _customer_message(envelope: Envelope, common: dict[str, Any]) -> ProviderMessage:
    """Making and destroying tell something; a change of cards does not, for every charge of ours names its card."""
    mandate = mandate_of(WireCustomer.model_validate(envelope.data))
    is_telling = envelope.key in ("customer.create", "customer.destroy")
    is_decided = mandate.status in (MandateStatus.AUTHORIZED, MandateStatus.ENDED)
    metadata = envelope.data.get("metadata") or {}
    return ProviderMessage(
        kind=MessageKind.MANDATE if is_telling and is_decided else MessageKind.OTHER,
        subscription=text_in(metadata, SUBSCRIPTION),
        reference=mandate.reference,
        mandate=mandate,
        **common,
    )


def _refund_message(envelope: Envelope, common: dict[str, Any]) -> ProviderMessage:
    """Nothing in a refund names the subscription: the gateway finds it by our key, or by the charge's id.

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
        payment_id=wire.charge,
        status=PaymentStatus.SUCCEEDED,
        amount=0,
        currency=wire.currency.upper(),
        created_at=aware(wire.created_at, common["occurred_at"]),
    )
    # Nothing in a dispute names the subscription: the gateway finds it by the charge's id.
    return ProviderMessage(
        kind=MessageKind.DISPUTE, payment=paid, dispute_is_open=wire.status in OPEN_DISPUTES, **common
    )
