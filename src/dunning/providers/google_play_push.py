"""Google Play's developer notifications: Pub/Sub's push, its OIDC token, and what a notification means. Sheet G.4.

A notification only says that something changed. What changed is read of Google Play, so neither loss, repetition nor
order of notifications matters; the message id is what repeats are known by.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Protocol

import httpx
from google.auth import exceptions, jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from dunning.providers.base import MessageKind, ProviderUnavailable, WebhookRefused
from dunning.providers.following import Plan, PlanMessage

ISSUERS = frozenset({"accounts.google.com", "https://accounts.google.com"})
CLOCK_SKEW_SECONDS = 30
KEYS_LIFE_SECONDS = 3600.0
_decode: Callable[..., Mapping[str, Any]] = jwt.decode

SUBSCRIPTION_TYPES: Mapping[int, str] = {
    1: "SUBSCRIPTION_RECOVERED",
    2: "SUBSCRIPTION_RENEWED",
    3: "SUBSCRIPTION_CANCELED",
    4: "SUBSCRIPTION_PURCHASED",
    5: "SUBSCRIPTION_ON_HOLD",
    6: "SUBSCRIPTION_IN_GRACE_PERIOD",
    7: "SUBSCRIPTION_RESTARTED",
    8: "SUBSCRIPTION_PRICE_CHANGE_CONFIRMED",
    9: "SUBSCRIPTION_DEFERRED",
    10: "SUBSCRIPTION_PAUSED",
    11: "SUBSCRIPTION_PAUSE_SCHEDULE_CHANGED",
    12: "SUBSCRIPTION_REVOKED",
    13: "SUBSCRIPTION_EXPIRED",
    17: "SUBSCRIPTION_ITEMS_CHANGED",
    18: "SUBSCRIPTION_CANCELLATION_SCHEDULED",
    19: "SUBSCRIPTION_PRICE_CHANGE_UPDATED",
    20: "SUBSCRIPTION_PENDING_PURCHASE_CANCELED",
    22: "SUBSCRIPTION_PRICE_STEP_UP_CONSENT_UPDATED",
}
"""By number. Others (Google adds some) are taken under their number, and read like these."""
ONE_TIME_TYPES: Mapping[int, str] = {1: "ONE_TIME_PRODUCT_PURCHASED", 2: "ONE_TIME_PRODUCT_CANCELED"}


class KeySource(Protocol):
    """Where the keys that sign push tokens come from."""

    async def keys(self, now: datetime, *, missing: str | None = None) -> Mapping[str, str]:
        """Certificates (PEM) by key id; `missing` is an id that the last answer did not have.

        Raises `ProviderUnavailable` when they cannot be had.
        """
        ...


class FixedKeys:
    """Keys that are given: from a file, or in tests; nothing is fetched."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = dict(given)

    async def keys(self, now: datetime, *, missing: str | None = None) -> Mapping[str, str]:
        """The keys that were given."""
        return self._given


class FetchedKeys:
    """Google's keys, fetched when needed and kept for an hour; for an unknown key id at most once a minute."""

    def __init__(self, url: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url
        self._transport = transport
        self._keys: Mapping[str, str] = {}
        self._fetched_at: datetime | None = None

    async def keys(self, now: datetime, *, missing: str | None = None) -> Mapping[str, str]:
        """The keys of today."""
        age = None if self._fetched_at is None else (now - self._fetched_at).total_seconds()
        is_fresh = age is not None and 0 <= age < (60 if missing is not None else KEYS_LIFE_SECONDS)
        if not is_fresh:
            self._keys = await self._fetch()
            self._fetched_at = now
        return self._keys

    async def _fetch(self) -> Mapping[str, str]:
        try:
            async with httpx.AsyncClient(timeout=5.0, transport=self._transport) as http:
                answer = await http.get(self._url)
                body = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ProviderUnavailable(f"the keys that sign pushes cannot be had: {type(error).__name__}") from None
        if answer.status_code != 200 or not isinstance(body, dict):
            raise ProviderUnavailable(f"the keys that sign pushes cannot be had: HTTP {answer.status_code}")
        return {str(name): str(pem) for name, pem in body.items()}


class PushVerifier:
    """Whether a push is Pub/Sub's for us: signature, time, issuer, audience, and whose service account pushes."""

    def __init__(self, keys: KeySource, *, audience: str, email: str) -> None:
        self._keys = keys
        self._audience = audience
        self._email = email

    async def verify(self, headers: Mapping[str, str], now: datetime) -> None:
        """Return when the push is genuine.

        Raises:
            WebhookRefused: it is not. The reason is for operators and names no token.
            ProviderUnavailable: the keys cannot be had just now; the push is to come again.
        """
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise WebhookRefused("the push carries no token")
        claims = self._claims(token, await self._usable(token, now))
        if claims.get("iss") not in ISSUERS:
            raise WebhookRefused("the token is of another issuer")
        # One string: the library would also take a list that holds ours.
        if claims.get("aud") != self._audience:
            raise WebhookRefused("the token is for another audience")
        if claims.get("email") != self._email or claims.get("email_verified") is not True:
            raise WebhookRefused("the token is of another service account, or its address is not verified")

    async def _usable(self, token: str, now: datetime) -> Mapping[str, str]:
        try:
            key_id = json.loads(_unpadded(token.split(".", maxsplit=1)[0])).get("kid")
        except (ValueError, AttributeError):
            raise WebhookRefused("the token cannot be read") from None
        found = await self._keys.keys(now)
        if isinstance(key_id, str) and key_id not in found:
            found = await self._keys.keys(now, missing=key_id)
        return found

    def _claims(self, token: str, keys: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            return _decode(token, certs=keys, audience=self._audience, clock_skew_in_seconds=CLOCK_SKEW_SECONDS)
        except (exceptions.GoogleAuthError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise WebhookRefused(f"the token does not verify: {type(error).__name__}") from None


Id = Annotated[str, Field(pattern="^[^\\x00]+$")]
"""What is looked up and stored: no text of the ledger holds a NUL."""


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class _Subscription(_Wire):
    notification_type: int
    purchase_token: Id = Field(max_length=2000)


class _OneTime(_Wire):
    notification_type: int
    purchase_token: Id = Field(max_length=2000)
    sku: str = ""


class _Voided(_Wire):
    purchase_token: Id = Field(max_length=2000)
    order_id: str = ""
    product_type: int = 1
    refund_type: int = 1


class Notification(_Wire):
    """`DeveloperNotification`: exactly one part says what happened."""

    package_name: str
    event_time_millis: int = Field(ge=0, le=4_102_444_800_000)
    subscription_notification: _Subscription | None = None
    one_time_product_notification: _OneTime | None = None
    voided_purchase_notification: _Voided | None = None
    pending_refund_review_notification: dict[str, Any] | None = None
    test_notification: dict[str, Any] | None = None


class _Message(_Wire):
    data: str
    message_id: Id = Field(max_length=200)


class _Envelope(_Wire):
    message: _Message


def read_push(body: bytes) -> tuple[str, Notification]:
    """(message id, notification) of a verified push; raises `ValueError` when it cannot be read."""
    try:
        envelope = _Envelope.model_validate_json(body)
        data = base64.b64decode(envelope.message.data, validate=True)
        return envelope.message.message_id, Notification.model_validate_json(data)
    except (ValidationError, binascii.Error, ValueError, RecursionError) as error:
        raise ValueError(f"the push cannot be read: {type(error).__name__}") from None


def message_of(message_id: str, told: Notification) -> PlanMessage:
    """The notification in our words: about a purchase, there is something to read; the rest is recorded."""
    at = datetime.fromtimestamp(told.event_time_millis / 1000, UTC)
    kind, raw_type, reference = _about(told)
    return PlanMessage(
        message_id=f"pubsub:{message_id}", kind=kind, raw_type=raw_type, occurred_at=at, reference=reference
    )


def in_place_of(message: PlanMessage, token: str, old: str, subscription: str) -> PlanMessage:
    """The same, where the purchase goes on from one that we know: `subscription`'s."""
    plan = Plan(plan_id=token, takes_place_of=old, is_whole=False)
    return message.but(plan=plan, subscription=subscription)


def _about(told: Notification) -> tuple[MessageKind, str, str | None]:
    if told.subscription_notification is not None:
        number = told.subscription_notification.notification_type
        name = SUBSCRIPTION_TYPES.get(number, f"SUBSCRIPTION_{number}")
        return MessageKind.PLAN, name, told.subscription_notification.purchase_token
    if told.voided_purchase_notification is not None:
        voided = told.voided_purchase_notification
        kind = MessageKind.PLAN if voided.product_type == 1 else MessageKind.OTHER
        return kind, f"VOIDED:{voided.order_id}"[:200], voided.purchase_token
    if told.one_time_product_notification is not None:
        one = told.one_time_product_notification
        number = one.notification_type
        return MessageKind.OTHER, ONE_TIME_TYPES.get(number, f"ONE_TIME_PRODUCT_{number}"), one.purchase_token
    name = "PENDING_REFUND_REVIEW" if told.pending_refund_review_notification is not None else "TEST"
    return MessageKind.OTHER, name, None


def _unpadded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
