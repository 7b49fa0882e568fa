"""TinyPay: charges a stored card of a customer with the customer absent. No idempotency, so nothing is sent twice."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from dunning.domain.declines import DeclineTable
from dunning.providers.base import (
    AnswerKind,
    Capabilities,
    ChargeAnswer,
    ChargeRequest,
    LookUp,
    Mandate,
    MandateRequest,
    MandateStatus,
    MessageKind,
    MethodChange,
    Payment,
    PaymentQuery,
    PaymentStatus,
    ProviderMessage,
    ProviderRefused,
    ProviderUnavailable,
    Refund,
    RefundAnswer,
    RefundRequest,
    RefundStatus,
    Resend,
    WebhookRefused,
)
from dunning.providers.http import HttpCaller, Reply
from examples.adding_a_provider.tinypay_declines import TINYPAY_DECLINES

KEY = "dunning_key"
"""The name of our key in a charge's metadata: the look-up searches for it."""
ENDED = "dunning_ended"
PAGE = 100
STATUS = {"successful": PaymentStatus.SUCCEEDED, "failed": PaymentStatus.FAILED}


class TinyPay:
    """One merchant account."""

    capabilities = Capabilities(
        name="tinypay",
        resend=Resend.NEVER,
        look_up_lag_seconds=60,
        has_mandate_link=False,
        requests_per_second=10.0,
    )
    declines: DeclineTable = TINYPAY_DECLINES

    def __init__(self, api_key: SecretStr, *, base_url: str) -> None:
        credentials = base64.b64encode(f"{api_key.get_secret_value()}:".encode()).decode()
        self._http = HttpCaller(base_url, {"authorization": f"Basic {credentials}"})

    # --- charging -----------------------------------------------------------------------------------

    async def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Our own names win over the merchant's: the look-up depends on them."""
        ours = {
            KEY: request.key,
            "retry_attempt": request.retry_attempt,
            "planned_at": _wire(request.planned_at),
            "business_at": _wire(request.business_at),
            "subscription": request.subscription,
            "obligation": request.obligation,
        }
        body = {
            "amount": request.amount,
            "currency": request.currency.lower(),
            "customer": request.reference,
            "card": request.method_token,
            "description": request.description,
            "metadata": {**request.metadata, **ours},
        }
        reply = await self._http.call("POST", "/charges", json_body=body)
        if reply.is_ok and reply.text("id") is not None:
            return ChargeAnswer(kind=AnswerKind.PAYMENT, payment=_payment(reply.body))
        return _unpaid(reply)

    async def find_payment(self, query: PaymentQuery) -> LookUp:
        """What is unclear is looked up by our key; a list that could not be read to its end proves nothing."""
        try:
            if query.payment_id is not None:
                found = [await self._charge(query.payment_id, query)]
                if found[0].key not in (None, query.key):
                    return LookUp(is_certain=False, because="it carries the key of another attempt")
            else:
                found = [await self._charge(own, query) for own in await self._candidates(query)]
        except (ProviderUnavailable, ProviderRefused) as failure:
            return LookUp(is_certain=False, because=str(failure))
        paid_first = sorted(found, key=lambda one: one.status is not PaymentStatus.SUCCEEDED)
        return LookUp(is_certain=True, payment=paid_first[0] if paid_first else None)

    async def _candidates(self, query: PaymentQuery) -> list[str]:
        since = {"from": _wire(query.since - timedelta(minutes=5)), "order": "chronological"}
        rows = [row async for row in self._rows("/charges", since)]
        ours = [row["id"] for row in rows if row["metadata"].get(KEY) == query.key]
        price = (query.amount, query.currency.lower(), query.reference)
        keyless = [
            row["id"]
            for row in rows
            if KEY not in row["metadata"]
            and (row["amount"], row["currency"], row["customer"]) == price
            and row["id"] not in query.known_payments
        ]
        return ours or (keyless if query.accept_keyless else [])

    async def _charge(self, own: str, query: PaymentQuery) -> Payment:
        clock = {} if query.business_at is None else {"x-dunning-business-at": query.business_at.isoformat()}
        return _payment(_required(await self._http.call("GET", f"/charges/{quote(own, safe='')}", headers=clock)))

    async def _rows(self, path: str, query: Mapping[str, str | int]) -> AsyncIterator[dict[str, Any]]:
        taken = 0
        while True:
            page = _required(await self._http.call("GET", path, query={**query, "limit": PAGE, "offset": taken}))
            for row in page["data"]:
                yield row
            taken += len(page["data"])
            if not page["data"]:
                return

    # --- given back ---------------------------------------------------------------------------------

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """Sent once; our key in its metadata finds it again."""
        body = {"amount": request.amount, "metadata": {**request.metadata, KEY: request.key}}
        reply = await self._http.call("POST", f"/charges/{quote(request.payment_id, safe='')}/refunds", json_body=body)
        if reply.is_ok and reply.text("id") is not None:
            return RefundAnswer(kind=AnswerKind.PAYMENT, refund=_refund(reply.body))
        answer = _unpaid(reply)
        wait = answer.retry_after_seconds
        return RefundAnswer(kind=answer.kind, code=answer.code, because=answer.because, retry_after_seconds=wait)

    async def find_refund(self, payment_id: str, key: str) -> Refund | None:
        path = f"/charges/{quote(payment_id, safe='')}/refunds"
        found = [_refund(row) async for row in self._rows(path, {})]
        return next((one for one in found if one.key == key), None)

    # --- the customer's authorisation ---------------------------------------------------------------

    async def create_mandate(self, request: MandateRequest) -> Mandate:
        """The product's page made a token of the card; here it becomes a customer."""
        token = getattr(request.terms.provider_options, "card_token", None)
        body = {"card": token, "metadata": {"subscription": request.subscription}}
        return _mandate(_required(await self._http.call("POST", "/customers", json_body=body)))

    async def read_mandate(self, reference: str) -> Mandate:
        return _mandate(_required(await self._http.call("GET", f"/customers/{quote(reference, safe='')}")))

    async def change_method(self, reference: str, token: str | None) -> MethodChange:
        if token is None:
            raise ProviderRefused("NO_LINK", "TinyPay has no page where a customer gives a card")
        path = f"/customers/{quote(reference, safe='')}"
        _required(await self._http.call("PATCH", path, json_body={"default_card": token}))
        return MethodChange(reference=reference, method_token=token)

    async def end_mandate(self, reference: str, *, reason: str) -> None:
        body = {"metadata": {ENDED: reason}}
        _required(await self._http.call("PATCH", f"/customers/{quote(reference, safe='')}", json_body=body))

    async def portal_link(self, reference: str, *, return_url: str | None = None) -> str:
        raise ProviderRefused("NO_LINK", "TinyPay has no page for customers")

    # --- messages -----------------------------------------------------------------------------------

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], now: datetime
    ) -> ProviderMessage:
        """Signed over time and bytes; older than five minutes is refused."""
        stamp, signature = headers.get("omise-signature-timestamp", "0"), headers.get("omise-signature", "")
        is_fresh = stamp.isdecimal() and abs(now.timestamp() - int(stamp)) <= 300
        signed = stamp.encode() + b"." + body
        known = [hmac.new(base64.b64decode(one), signed, hashlib.sha256).hexdigest() for one in secrets]
        if not is_fresh or not any(hmac.compare_digest(one, signature) for one in known):
            raise WebhookRefused("no signature of this message is ours, or it is too old")
        try:
            event = json.loads(body)
            return _message(event)
        except (ValueError, KeyError, TypeError) as failure:
            raise WebhookRefused("the message cannot be read") from failure

    async def aclose(self) -> None:
        await self._http.aclose()


def _message(event: dict[str, Any]) -> ProviderMessage:
    data, common = event["data"], {"message_id": event["id"], "raw_type": event["key"]}
    common["occurred_at"] = datetime.fromisoformat(event["created_at"])
    if data["object"] == "charge":
        ours = data["metadata"].get("subscription")
        return ProviderMessage(
            kind=MessageKind.PAYMENT, payment=_payment(data), subscription=ours, reference=data["customer"], **common
        )
    if data["object"] == "refund":
        return ProviderMessage(kind=MessageKind.REFUND, refund=_refund(data), **common)
    if data["object"] == "customer":
        mandate, ours = _mandate(data), data["metadata"].get("subscription")
        kind = MessageKind.MANDATE if event["key"] == "customer.create" else MessageKind.OTHER
        return ProviderMessage(kind=kind, mandate=mandate, subscription=ours, reference=mandate.reference, **common)
    return ProviderMessage(kind=MessageKind.OTHER, **common)


def _payment(charge: Mapping[str, Any]) -> Payment:
    """A status that nobody documented is pending: nothing may be concluded from it."""
    status = STATUS.get(charge["status"], PaymentStatus.PENDING)
    card = charge.get("card")
    return Payment(
        payment_id=charge["id"],
        status=status,
        key=charge["metadata"].get(KEY),
        amount=charge["amount"],
        currency=charge["currency"].upper(),
        code=charge["failure_code"] if status is PaymentStatus.FAILED else None,
        message=charge["failure_message"],
        retry_after_seconds=charge.get("retry_after_seconds"),
        created_at=datetime.fromisoformat(charge["created_at"]),
        method_token=card["id"] if isinstance(card, dict) else card,
    )


def _refund(refund: Mapping[str, Any]) -> Refund:
    return Refund(
        refund_id=refund["id"],
        payment_id=refund["charge"],
        status=RefundStatus.PENDING if refund.get("status") == "pending" else RefundStatus.SUCCEEDED,
        key=refund["metadata"].get(KEY),
        amount=refund["amount"],
        currency=refund["currency"].upper(),
        created_at=datetime.fromisoformat(refund["created_at"]),
    )


def _mandate(customer: Mapping[str, Any]) -> Mandate:
    card = customer["default_card"]
    status = MandateStatus.AUTHORIZED if card else MandateStatus.WAITING
    if customer.get("deleted") or customer["metadata"].get(ENDED):
        status = MandateStatus.ENDED
    return Mandate(reference=customer["id"], status=status, method_token=card)


def _unpaid(reply: Reply) -> ChargeAnswer:
    """Certain that nothing happened, refused, or unclear: the question that decides about money."""
    code, wait = reply.text("code"), reply.retry_after_seconds
    if reply.is_unsent or reply.status in (401, 403, 429):
        why = "attention: TinyPay does not take this key" if reply.status in (401, 403) else reply.because
        return ChargeAnswer(kind=AnswerKind.OUTAGE, code=code, because=why, retry_after_seconds=wait)
    if code is not None and reply.status is not None and 400 <= reply.status < 500 and reply.status != 408:
        return ChargeAnswer(kind=AnswerKind.REFUSED, code=code, because=reply.text("message") or "")
    return ChargeAnswer(kind=AnswerKind.UNCLEAR, because=reply.because)


def _required(reply: Reply) -> dict[str, Any]:
    if reply.is_ok:
        return dict(reply.body)
    answer = _unpaid(reply)
    if answer.kind is AnswerKind.REFUSED:
        raise ProviderRefused(answer.code or "", answer.because)
    raise ProviderUnavailable(answer.because, answer.retry_after_seconds)


def _wire(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
