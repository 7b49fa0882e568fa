"""What we send to Xendit, built from our own words. Amounts are minor units here and major units there. Sheet A2."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dunning.domain.limits import LIMITS, OWN_METADATA
from dunning.domain.money import to_major
from dunning.domain.options import XenditOptions
from dunning.domain.terms import Contacts
from dunning.providers.base import ChargeRequest, MandateRequest, ProviderRefused, RefundRequest
from dunning.providers.xendit_wire import KEY, SUBSCRIPTION, WireToken

ACCOUNT = "merchant_account"
MAX_METADATA = 50
MAX_DESCRIPTION = 1000
MAX_NAME = 50
MAX_EMAIL = 50
UNSCHEDULED, RECURRING = "MERCHANT_UNSCHEDULED", "RECURRING"
NO_END = "2099-12-31"
"""Card networks want to know how often a card on file is charged, and until when. All attempts of one obligation say
the same: nothing is varied to look different to risk systems (SPEC 7)."""
REASON = "REQUESTED_BY_CUSTOMER"

_LIMITS = LIMITS["xendit"]


def charge_body(request: ChargeRequest, token: WireToken) -> dict[str, Any]:
    """`POST /v3/payment_requests`, with the customer absent. Country and channel are the token's own.

    Our own pairs win over the merchant's of the same name: messages are told apart by them. Values of metadata are
    texts at Xendit.

    Raises:
        ProviderRefused: an amount that the currency has no unit for, or more metadata than is taken; nothing is sent.
    """
    ours: dict[str, str | int | bool] = {
        KEY: request.key,
        "retry_attempt": request.retry_attempt,
        "planned_at": wire_instant(request.planned_at),
        "business_at": wire_instant(request.business_at),
        SUBSCRIPTION: request.subscription,
        "obligation": request.obligation,
    }
    metadata = _texts({**_plain(request.metadata), **ours})
    if len(metadata) > MAX_METADATA:
        raise ProviderRefused("MAXIMUM_KEYS_REACHED", "not sent: it carries more metadata pairs than Xendit takes")
    body: dict[str, Any] = {
        "reference_id": request.key,
        "type": "PAY",
        "payment_token_id": request.method_token,
        "country": country_of(token.country, request.currency),
        "currency": request.currency,
        "request_amount": major(request.amount, request.currency),
        "capture_method": "AUTOMATIC",
        "description": request.description[:MAX_DESCRIPTION] or request.key,
        "metadata": metadata,
    }
    if token.channel_code:
        body["channel_code"] = token.channel_code
    if token.is_card:
        body["channel_properties"] = {"skip_three_ds": True, **_card_on_file(request.recurs_every_days)}
    return body


def _card_on_file(every_days: int | None) -> dict[str, Any]:
    if every_days is None:
        return {"card_on_file_type": UNSCHEDULED}
    return {
        "card_on_file_type": RECURRING,
        "recurring_configuration": {"recurring_expiry": NO_END, "recurring_frequency": every_days},
    }


def customer_body(contacts: Contacts) -> dict[str, Any]:
    """`POST /customers`: the payer, under the id that the product knows them by."""
    body: dict[str, Any] = {
        "reference_id": contacts.id,
        "type": "INDIVIDUAL",
        "individual_detail": {"given_names": (contacts.name or contacts.id)[:MAX_NAME]},
    }
    if contacts.email and len(contacts.email) <= MAX_EMAIL:
        body["email"] = contacts.email
    if contacts.phone:
        body["mobile_number"] = contacts.phone
    return body


def session_body(request: MandateRequest, customer: str, now: datetime) -> dict[str, Any]:
    """`POST /sessions`: a hosted page that saves a payment method, of whatever channel the customer chooses.

    `now` is the machine clock, by which the page's life is counted; Xendit's own half hour is too short for a mail.
    """
    options = options_of(request)
    given = {
        "success_return_url": options.success_return_url,
        "cancel_return_url": options.failure_return_url,
    }
    return {
        "reference_id": _reference(request),
        "session_type": "SAVE",
        "mode": "PAYMENT_LINK",
        "amount": 0,
        "currency": request.terms.currency,
        "country": country_of(options.country, request.terms.currency),
        "customer_id": customer,
        "locale": (options.locale or request.terms.customer.locale)[:2].lower(),
        "description": request.terms.description[:MAX_DESCRIPTION],
        "expires_at": wire_instant(now + timedelta(days=request.terms.activation_timeout_days)),
        "metadata": _mandate_metadata(request),
        **{name: value for name, value in given.items() if value is not None},
    }


def token_body(request: MandateRequest, customer: str, channel: str) -> dict[str, Any]:
    """`POST /v3/payment_tokens`: link one channel, which the customer confirms on the channel's own page."""
    options = options_of(request)
    pages = {"success_return_url": options.success_return_url, "failure_return_url": options.failure_return_url}
    return {
        "reference_id": _reference(request),
        "country": country_of(options.country, request.terms.currency),
        "currency": request.terms.currency,
        "channel_code": channel,
        "channel_properties": {name: value for name, value in pages.items() if value is not None},
        "customer_id": customer,
        "description": request.terms.description[:MAX_DESCRIPTION],
        "metadata": _mandate_metadata(request),
    }


def refund_body(request: RefundRequest) -> dict[str, Any]:
    """`POST /refunds`; the reference is the key, by which it is found again."""
    return {
        "payment_request_id": request.payment_id,
        "reference_id": request.key,
        "reason": REASON,
        "currency": request.currency,
        "amount": major(request.amount, request.currency),
        "metadata": _texts({**_plain(request.metadata), KEY: request.key}),
    }


def options_of(request: MandateRequest) -> XenditOptions:
    """Xendit's options of these terms; raises `ProviderRefused` when they are another provider's."""
    options = request.terms.provider_options
    if not isinstance(options, XenditOptions):
        raise ProviderRefused("OPTIONS", f"these terms are for {request.terms.provider.value}")
    return options


def major(amount: int, currency: str) -> int | float:
    """Minor units as a JSON number in major ones.

    Raises:
        ProviderRefused: the currency is unknown, or has no unit that small in payments (no sen of a rupiah).
    """
    try:
        exact = to_major(amount, currency)
    except KeyError:
        raise ProviderRefused("UNSUPPORTED_AMOUNT", f"not sent: {currency} is no currency that is known") from None
    if amount % _LIMITS.step(currency):
        raise ProviderRefused("UNSUPPORTED_AMOUNT", f"not sent: {exact} {currency} is less than a whole unit apart")
    return int(exact) if exact == exact.to_integral_value() else float(exact)


def country_of(told: str | None, currency: str) -> str:
    """Where a payment is made: as told, or the currency's own country; raises `ProviderRefused` for neither."""
    found = told or _LIMITS.countries.get(currency)
    if found is None:
        raise ProviderRefused("COUNTRY", f"{currency} belongs to no one country: give provider_options.country")
    return found


def derived(*parts: str) -> str:
    """A key made of what it stands for: the same request has the same one."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:48]


def wire_instant(instant: datetime) -> str:
    """ISO 8601 in UTC."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _reference(request: MandateRequest) -> str:
    """One for each try: a link that was lost on its way is never shown, and is not to bar the next one."""
    return derived(request.account, request.subscription, wire_instant(request.business_at))


def _mandate_metadata(request: MandateRequest) -> dict[str, str]:
    ours: dict[str, str | int | bool] = {SUBSCRIPTION: request.subscription, ACCOUNT: request.account}
    return own_texts(request.terms.metadata, ours)


def own_texts(metadata: Mapping[str, str | int | bool], ours: Mapping[str, str | int | bool]) -> dict[str, str]:
    """The merchant's pairs and ours as Xendit takes them: ours win, and none of theirs passes for one of ours."""
    return _texts({**_plain(metadata), **ours})


def _plain(metadata: Mapping[str, str | int | bool]) -> dict[str, str | int | bool]:
    """The merchant's pairs without names that are ours: none of them may pass for an attempt's key."""
    return {name: value for name, value in metadata.items() if name not in OWN_METADATA}


def _texts(metadata: Mapping[str, str | int | bool]) -> dict[str, str]:
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in metadata.items()}
