"""Xendit's webhooks: whose they are, and what they say in our words. Source: the contract sheet, A6.

A static token is all that shows whose a message is: bytes and time are not signed. So nothing in a message is more
than a hint, repeats are dropped by their id, and the token is to be kept like a password.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field, ValidationError

from dunning.providers.base import MandateStatus, MessageKind, ProviderMessage, WebhookRefused
from dunning.providers.following import Plan, PlanMessage
from dunning.providers.xendit_plan_wire import LEGACY_PREFIX, OUR_PLAN
from dunning.providers.xendit_wire import (
    SUBSCRIPTION,
    Pairs,
    Wire,
    WirePayment,
    WireRefund,
    WireSession,
    WireToken,
    aware,
    mandate_of_session,
    mandate_of_token,
    payment_of,
    refund_of,
    text_in,
)

TOKEN_HEADER = "x-callback-token"  # noqa: S105 - a header's name
ID_HEADER = "webhook-id"
_ID = re.compile(r"[\x21-\x7e]{1,255}")
_IDENTITIES: tuple[str, ...] = ("payment_request_id", "payment_id", "payment_session_id", "payment_token_id", "id")
_STATES = ("status", "attempt_count", "forced_attempt_count")


class Envelope(Wire):
    """What every message has around its data. `created` is the time of the delivery attempt."""

    event: str = Field(min_length=1, max_length=200)
    created: datetime | None = None
    api_version: str | None = None
    data: Pairs = Field(default_factory=dict)


def verify(headers: Mapping[str, str], *, secrets: Sequence[str]) -> dict[str, str]:
    """The headers in small letters, when one of `secrets` came with them; two while the token is being changed.

    Raises:
        WebhookRefused: no token, or another one.
    """
    found = {name.lower(): value for name, value in headers.items()}
    offered = found.get(TOKEN_HEADER, "").encode()
    is_known = False
    for secret in secrets:
        # Every secret is compared, so the time taken tells nothing about which one matched.
        is_known |= bool(secret) and hmac.compare_digest(secret.encode(), offered)
    if not is_known:
        raise WebhookRefused("the message does not carry this account's callback token")
    return found


def message_of(headers: Mapping[str, str], body: bytes, now: datetime) -> ProviderMessage:
    """A verified message in our words. `now`: the machine clock, where the message names no instant.

    Raises:
        WebhookRefused: it is not JSON of the documented form.
    """
    try:
        envelope = Envelope.model_validate_json(body)
        return _read(envelope, _id(headers, envelope), now)
    except (ValidationError, ValueError, OverflowError, RecursionError) as error:
        raise WebhookRefused(f"the message cannot be read: {type(error).__name__}") from None


def _id(headers: Mapping[str, str], envelope: Envelope) -> str:
    """The message's id, or what makes up one: the fact, never the instant of its delivery."""
    told = headers.get(ID_HEADER, "")
    if _ID.fullmatch(told):
        return told
    data, names = envelope.data, _IDENTITIES
    if envelope.event.startswith("refund."):
        # One payment may be given back in parts: the refund's own id tells them apart.
        data, names = _refund_in(envelope), ("id",)
    identity = next((text for name in names if (text := text_in(data, name))), "")
    states = ":".join(str(data[name]) for name in _STATES if data.get(name) is not None)
    details = data.get("attempt_details")
    last = details[-1] if isinstance(details, list) and details else None
    if isinstance(last, dict) and last.get("action_number") is not None:
        states += f":{last['action_number']}"
    made = f"{envelope.event}:{identity}:{states}"
    if not identity or not _ID.fullmatch(made):
        raise ValueError("nothing identifies the message")
    return made


def _read(envelope: Envelope, message_id: str, now: datetime) -> ProviderMessage:
    common: dict[str, Any] = {
        "message_id": message_id,
        "raw_type": envelope.event,
        "occurred_at": aware(envelope.created, now),
    }
    family = envelope.event.partition(".")[0]
    if family == "recurring":
        return _plan_message(envelope, common)
    if family in ("payment", "payment_request"):
        return _payment_message(envelope, common)
    if family == "payment_session":
        return _session_message(envelope, common)
    if family == "payment_token":
        return _token_message(envelope, common)
    if family == "refund":
        return _refund_message(envelope, common)
    return ProviderMessage(kind=MessageKind.OTHER, reference=text_in(envelope.data, "id"), **common)


def _plan_message(envelope: Envelope, common: dict[str, Any]) -> ProviderMessage:
    """Which plan there is something to read of. Only the current contract's messages name their version.

    A message about the plan itself also tells its id, which is all that is known where a creation stayed unanswered.
    """
    data, prefix = envelope.data, "" if envelope.api_version else LEGACY_PREFIX
    is_plan = envelope.event.startswith("recurring.plan.")
    named = text_in(data, "id" if is_plan else "plan_id")
    if named is None:
        return ProviderMessage(kind=MessageKind.OTHER, reference=text_in(data, "id"), **common)
    plan_id = f"{prefix}{named}"
    metadata = data.get("metadata")
    ours = text_in(data, "reference_id")
    return PlanMessage(
        reference=plan_id,
        subscription=text_in(metadata, SUBSCRIPTION) if isinstance(metadata, dict) else None,
        plan=Plan(plan_id=plan_id, reference=ours, is_whole=False) if is_plan else None,
        **common,
    )


def _payment_message(envelope: Envelope, common: dict[str, Any]) -> ProviderMessage:
    wire = WirePayment.model_validate(envelope.data)
    # A plan's payment comes a second time as its cycle: money is counted from one stream only (sheet A6).
    is_of_plan = bool(wire.reference_id and OUR_PLAN.fullmatch(wire.reference_id))
    return ProviderMessage(
        kind=MessageKind.OTHER if is_of_plan else MessageKind.PAYMENT,
        subscription=text_in(wire.metadata, SUBSCRIPTION),
        reference=wire.payment_token_id or wire.customer_id,
        payment=payment_of(wire, otherwise=common["occurred_at"]),
        **common,
    )


def _refund_message(envelope: Envelope, common: dict[str, Any]) -> ProviderMessage:
    """Nothing in a refund names the subscription: the gateway finds it by our key, or by the payment's id.

    One that says less than it should tells nothing: refunds of ours are looked up besides.
    """
    try:
        refund = refund_of(WireRefund.model_validate(_refund_in(envelope)), otherwise=common["occurred_at"])
    except ValueError:
        return ProviderMessage(kind=MessageKind.OTHER, **common)
    return ProviderMessage(kind=MessageKind.REFUND, refund=refund, **common)


def _refund_in(envelope: Envelope) -> dict[str, Any]:
    """The published example wraps the refund in one more `data`; both forms are read (sheet 0.1 #8)."""
    inner = envelope.data.get("data")
    return inner if isinstance(inner, dict) else envelope.data


def _session_message(envelope: Envelope, common: dict[str, Any]) -> ProviderMessage:
    wire = WireSession.model_validate(envelope.data)
    mandate = mandate_of_session(wire)
    return ProviderMessage(
        kind=MessageKind.OTHER if mandate.status is MandateStatus.WAITING else MessageKind.MANDATE,
        subscription=text_in(wire.metadata, SUBSCRIPTION),
        reference=mandate.reference,
        mandate=mandate,
        **common,
    )


def _token_message(envelope: Envelope, common: dict[str, Any]) -> ProviderMessage:
    """A token that ends later, such as with its card, ends no subscription: the next charge finds it unusable."""
    wire = WireToken.model_validate(envelope.data)
    mandate = mandate_of_token(wire)
    is_about_linking = mandate.status in (MandateStatus.AUTHORIZED, MandateStatus.FAILED)
    return ProviderMessage(
        kind=MessageKind.MANDATE if is_about_linking else MessageKind.OTHER,
        subscription=text_in(wire.metadata, SUBSCRIPTION),
        reference=wire.payment_token_id,
        mandate=mandate,
        **common,
    )
