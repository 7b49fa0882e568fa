"""What Dodo's answers amount to: good, refused, unclear, or certain that nothing happened. Sheet D.2, D.3."""

from __future__ import annotations

from typing import TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from dunning.domain.declines import classify
from dunning.providers.base import AnswerKind, ChargeAnswer, ProviderRefused, ProviderUnavailable
from dunning.providers.dodo_declines import DODO_DECLINES
from dunning.providers.dodo_wire import Wire
from dunning.providers.http import Reply

W = TypeVar("W", bound=Wire)

_CURRENCY = "this account cannot take the currency: enable it in the dashboard, or charge in one that it takes"
ADVICE = {
    "INVALID_REQUEST_BODY": "a mandate needs on_demand.mandate_only, a charge product_price; see the field named",
    "UNSUPPORTED_CURRENCY": _CURRENCY,
    "UNSUPPORTED_BILLING_CURRENCY": _CURRENCY,
    "UNSUPPORTED_PAYMENT_CURRENCY": _CURRENCY,
    "EXCHANGE_RATE_NOT_FOUND": _CURRENCY,
    "SUBSCRIPTION_NOT_ON_DEMAND": "the mandate was not made for charges on demand: let the customer complete a new one",
    "MERCHANT_NOT_LIVE": "the business is not approved for live payments yet",
}
"""What an operator can do about a refusal. Source: the guide's page of common faults, and the sheet's D.8."""


def part(value: str) -> str:
    """One part of a path: an id that came from outside never becomes a path of its own."""
    return quote(value, safe="")


def required(reply: Reply) -> Reply:
    """The answer, if it is a good one; raises what else it amounts to."""
    if reply.is_ok:
        return reply
    code = reply.text("code")
    is_client_error = reply.status is not None and 400 <= reply.status < 500
    if is_client_error and code is not None and reply.status not in (401, 403, 408, 429):
        raise ProviderRefused(code, advised(code, reply.text("message") or reply.because))
    raise ProviderUnavailable(outage(reply), reply.retry_after_seconds)


def unpaid(reply: Reply) -> ChargeAnswer:
    """A charge request that brought no payment: certain that nothing was charged, refused, or unclear."""
    code = reply.text("code")
    wait = reply.retry_after_seconds
    if reply.is_unsent or reply.status in (401, 403, 429):
        return ChargeAnswer(kind=AnswerKind.OUTAGE, code=code, because=outage(reply), retry_after_seconds=wait)
    is_client_error = reply.status is not None and 400 <= reply.status < 500 and reply.status != 408
    if is_client_error and code == "PREVIOUS_PAYMENT_PENDING":
        because = "an earlier payment of this subscription is not settled yet; nothing was charged"
        return ChargeAnswer(kind=AnswerKind.OUTAGE, code=code, because=because, retry_after_seconds=wait)
    is_known = code is not None and not classify(DODO_DECLINES, "api_code", code).is_unknown
    if is_client_error and code is not None and (is_known or reply.status != 409):
        message = advised(code, reply.text("message") or reply.because)
        return ChargeAnswer(kind=AnswerKind.REFUSED, code=code, because=message)
    return ChargeAnswer(kind=AnswerKind.UNCLEAR, code=code, because=reply.because)


def advised(code: str, message: str) -> str:
    """The provider's words, with what can be done about them."""
    advice = ADVICE.get(code)
    return f"{message} ({advice})" if advice else message


def outage(reply: Reply) -> str:
    """Why the provider could not be asked, for operators."""
    code = reply.text("code")
    if reply.status in (401, 403):
        return f"attention: Dodo does not accept this account's key ({code or reply.status})"
    if reply.status == 429:
        return "Dodo throttles this account"
    return reply.because


def read(model: type[W], reply: Reply) -> W:
    """An answer as a wire model; raises `ProviderUnavailable` when it cannot be read."""
    try:
        return model.model_validate(reply.body)
    except ValidationError as error:
        raise ProviderUnavailable(f"the answer cannot be read: {error.error_count()} faults") from None
