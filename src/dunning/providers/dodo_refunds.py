"""Refunds at Dodo. Source: the contract sheet, D.4.8; the fields of lists as the official SDK has them.

A refund takes no idempotency key, so it is sent once and found again by our key in its metadata. A list of refunds,
also that inside a payment, shows no metadata: each is read by its id.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dunning.providers.base import (
    AnswerKind,
    ProviderRefused,
    ProviderUnavailable,
    Refund,
    RefundAnswer,
    RefundRequest,
)
from dunning.providers.dodo_client import part, read, required, unpaid
from dunning.providers.dodo_requests import refund_body
from dunning.providers.dodo_wire import WirePayment, WireRefund, WireSubscription, refund_of
from dunning.providers.http import HttpCaller


class Refunds:
    """The refunds of one merchant account."""

    def __init__(self, http: HttpCaller) -> None:
        self._http = http

    async def make(self, request: RefundRequest) -> RefundAnswer:
        """Send one refund, once. A part needs the product that it is a part of, which is read first."""
        try:
            product = await self._product_of_part(request)
        except ProviderUnavailable as failure:
            wait = failure.retry_after_seconds
            return RefundAnswer(kind=AnswerKind.OUTAGE, because=str(failure), retry_after_seconds=wait)
        except ProviderRefused as refused:
            return RefundAnswer(kind=AnswerKind.REFUSED, code=refused.code, because=str(refused))
        reply = await self._http.call("POST", "/refunds", json_body=refund_body(request, product))
        try:
            refund = refund_of(read(WireRefund, required(reply)), otherwise=datetime.now(UTC))
        except (ProviderUnavailable, ProviderRefused):
            found = unpaid(reply)
            return RefundAnswer(
                kind=found.kind,
                code=found.code,
                because=found.because,
                retry_after_seconds=found.retry_after_seconds,
            )
        return RefundAnswer(kind=AnswerKind.PAYMENT, refund=refund)

    async def find(self, payment_id: str, key: str) -> Refund | None:
        """The refund of a payment that carries this key; None: there surely is none."""
        for refund_id in (await self._payment(payment_id)).refund_ids:
            reply = required(await self._http.call("GET", f"/refunds/{part(refund_id)}"))
            refund = refund_of(read(WireRefund, reply), otherwise=datetime.now(UTC))
            if refund.key == key:
                return refund
        return None

    async def _payment(self, payment_id: str) -> WirePayment:
        return read(WirePayment, required(await self._http.call("GET", f"/payments/{part(payment_id)}")))

    async def _product_of_part(self, request: RefundRequest) -> str | None:
        """None for a refund of everything that was paid: it is asked for without items."""
        payment = await self._payment(request.payment_id)
        if not payment.refund_ids and request.amount == payment.total_amount:
            return None
        if payment.subscription_id is None:
            raise ProviderRefused("PARTIAL_REFUND_NOT_ALLOWED", "not sent: the payment belongs to no subscription")
        reply = await self._http.call("GET", f"/subscriptions/{part(payment.subscription_id)}")
        found: Any = read(WireSubscription, required(reply)).product_id
        if not found:
            raise ProviderRefused("PARTIAL_REFUND_NOT_ALLOWED", "not sent: the subscription names no product")
        return str(found)
