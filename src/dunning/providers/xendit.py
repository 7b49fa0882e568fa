"""Xendit, where our engine collects: payment requests on a saved token, the customer absent. Source: the sheet, part A.

The reference is Xendit's id of the token that authorises us (of the hosted page until the customer has completed it).
A payment request has no idempotency key; its reference is our attempt key, which is unique for cards alone, so
it is sent once, whatever the channel. What is unclear is looked up by that reference in the list of transactions:
what is found counts, what is not listed may exist all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
from pydantic import SecretStr, ValidationError

from dunning.domain.declines import DeclineTable
from dunning.providers import xendit_messages
from dunning.providers.base import (
    AnswerKind,
    Capabilities,
    ChargeAnswer,
    ChargeRequest,
    LookUp,
    Mandate,
    MandateRequest,
    MandateStatus,
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
    Resend,
)
from dunning.providers.http import Reply
from dunning.providers.xendit_client import XenditClient, read, refusal, required, unpaid
from dunning.providers.xendit_customers import customer_of
from dunning.providers.xendit_declines import XENDIT_DECLINES
from dunning.providers.xendit_plans import XenditPlans
from dunning.providers.xendit_requests import (
    charge_body,
    options_of,
    refund_body,
    session_body,
    token_body,
    wire_instant,
)
from dunning.providers.xendit_wire import (
    WirePayment,
    WireRefund,
    WireSession,
    WireToken,
    WireTransaction,
    mandate_of_session,
    mandate_of_token,
    payment_of,
    refund_of,
)

SESSION_PREFIX = "ps-"
CLOCK_SKEW = timedelta(minutes=5)
_RANK = {PaymentStatus.SUCCEEDED: 0, PaymentStatus.PENDING: 1, PaymentStatus.FAILED: 2}
_ENDED_TOKENS = ("CANCELED", "EXPIRED", "FAILED")
_ENDED_SESSIONS = ("CANCELED", "EXPIRED")

CAPABILITIES = Capabilities(
    name="xendit",
    resend=Resend.NEVER,
    look_up_lag_seconds=60,
    look_up_proves_absence=False,
    finds_keyless=False,
    signs_messages=False,
    is_asynchronous=False,
    has_mandate_link=True,
    method_update_may_charge=False,
    one_pending_charge_at_a_time=False,
    max_metadata_pairs=50,
    requests_per_second=10.0,
)
"""Sheet A1: 600 requests a minute for each endpoint of a live account, 60 of a test one. The list of transactions is
documented for money that moved, so that nothing follows from what it does not show."""


class XenditProvider(XenditPlans):
    """One merchant account at Xendit, in one mode."""

    def __init__(
        self,
        api_key: SecretStr,
        *,
        is_test: bool,
        base_url: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connect nothing yet.

        Raises:
            ValueError: a public key, or a key of the other mode (SPEC 12: never mixed).
        """
        super().__init__(XenditClient(api_key, is_test=is_test, base_url=base_url, transport=transport))

    @property
    def capabilities(self) -> Capabilities:
        """What Xendit can do, as data."""
        return CAPABILITIES

    @property
    def declines(self) -> DeclineTable:
        """Raw code -> class, for failed payments and for refused requests."""
        return XENDIT_DECLINES

    async def create_mandate(self, request: MandateRequest) -> Mandate:
        """Open a hosted page that saves a payment method, or (asked for in the options) link one channel.

        Raises:
            ProviderUnavailable: Xendit could not be asked; a link made all the same is never shown.
            ProviderRefused: the request was understood and refused.
        """
        options = options_of(request)
        customer = options.customer_id or await customer_of(self._client, request.account, request.contacts)
        if options.channel_code is not None:
            body = token_body(request, customer, options.channel_code)
            return mandate_of_token(read(WireToken, required(await self._client.post("/v3/payment_tokens", body))))
        body = session_body(request, customer, datetime.now(UTC))
        return mandate_of_session(read(WireSession, required(await self._client.post("/sessions", body))))

    async def read_mandate(self, reference: str) -> Mandate:
        """Where an authorisation stands, by a token's or a hosted page's id.

        Raises:
            ProviderUnavailable: Xendit could not be asked.
            ProviderRefused: there is no such token or page.
        """
        if not reference.startswith(SESSION_PREFIX):
            return mandate_of_token(await self._token(reference))
        mandate = mandate_of_session(await self._session(reference))
        if mandate.method_token is None:
            return mandate
        return mandate_of_token(await self._token(mandate.method_token))

    async def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Send one payment request, once. Never raises for anything that the network or the provider does.

        The token is read first: it tells country and channel, and one that cannot be used is not charged.
        """
        try:
            token = await self._token(request.method_token)
            body = charge_body(request, token)
        except ProviderUnavailable as failure:
            wait = failure.retry_after_seconds
            return ChargeAnswer(kind=AnswerKind.OUTAGE, because=str(failure), retry_after_seconds=wait)
        except ProviderRefused as refused:
            return refusal(refused)
        if mandate_of_token(token).status is not MandateStatus.AUTHORIZED:
            return refusal(ProviderRefused("INVALID_TOKEN", f"not sent: the token is {token.status}"))
        reply = await self._client.post("/v3/payment_requests", body)
        payment = _payment_in(reply, request.key)
        if payment is None:
            return unpaid(reply)
        return ChargeAnswer(kind=AnswerKind.PAYMENT, payment=await self._advised(reply, payment), because="answered")

    async def find_payment(self, query: PaymentQuery) -> LookUp:
        """Find one attempt's payment. Never raises for anything that the network or the provider does."""
        try:
            if query.payment_id is not None:
                return await self._find_by_id(query, query.payment_id)
            return await self._find_by_reference(query)
        except (ProviderUnavailable, ProviderRefused) as error:
            return LookUp(is_certain=False, because=str(error))

    async def change_method(self, reference: str, token: str | None) -> MethodChange:
        """See that a saved token can be charged. It charges nothing, and there is nothing to change at Xendit.

        Raises:
            ProviderUnavailable: Xendit could not be asked.
            ProviderRefused: the token is unknown or not active; or none was given: a new link is a new mandate.
        """
        if token is None:
            raise ProviderRefused("NO_LINK", "a new method at Xendit is a new mandate: give its token")
        found = await self._token(token)
        if mandate_of_token(found).status is not MandateStatus.AUTHORIZED:
            raise ProviderRefused("INVALID_TOKEN", f"the token is {found.status}")
        return MethodChange(reference=reference, method_token=token)

    async def end_mandate(self, reference: str, *, reason: str) -> None:
        """Cancel the token, or a page that nobody completed; already ended is success.

        Raises:
            ProviderUnavailable: Xendit could not be asked.
            ProviderRefused: Xendit refused although the authorisation has not ended.
        """
        if reference.startswith(SESSION_PREFIX):
            session = await self._session(reference)
            if session.payment_token_id is None:
                if session.status not in _ENDED_SESSIONS:
                    required(await self._client.post(f"/sessions/{_part(reference)}/cancel", {}))
                return
            reference = session.payment_token_id
        if (await self._token(reference)).status in _ENDED_TOKENS:
            return
        required(await self._client.post(f"/v3/payment_tokens/{_part(reference)}/cancel", {}))

    async def portal_link(self, reference: str, *, return_url: str | None = None) -> str:
        """Xendit hosts no page of the customer's; raises `ProviderRefused`."""
        raise ProviderRefused("NO_LINK", "Xendit has no page where a customer sees what is stored")

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """Send one refund, once: all or part. Never raises for anything that the network or the provider does.

        Its key is Xendit's idempotency key as well; an unclear one is looked up (`find_refund`).
        """
        try:
            body = refund_body(request)
        except ProviderRefused as refused:
            return RefundAnswer(kind=AnswerKind.REFUSED, code=refused.code, because=str(refused))
        reply = await self._client.post("/refunds", body, idempotency_key=request.key)
        try:
            refund = refund_of(read(WireRefund, required(reply)), otherwise=datetime.now(UTC))
        except (ProviderUnavailable, ProviderRefused, ValueError):
            found = unpaid(reply)
            return RefundAnswer(
                kind=found.kind, code=found.code, because=found.because, retry_after_seconds=found.retry_after_seconds
            )
        return RefundAnswer(kind=AnswerKind.PAYMENT, refund=refund)

    async def find_refund(self, payment_id: str, key: str) -> Refund | None:
        """The refund of a payment that carries this key; None: there surely is none.

        Raises:
            ProviderUnavailable: Xendit could not be asked, so nothing is proved.
        """
        found: Refund | None = None
        async for wire in self._client.rows("/refunds", WireRefund, {"payment_request_id": payment_id}):
            try:
                refund = refund_of(wire, otherwise=datetime.now(UTC))
            except ValueError:
                raise ProviderUnavailable("a refund cannot be read") from None
            found = refund if refund.key == key else found
        return found

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], now: datetime
    ) -> ProviderMessage:
        """Verify whose it is and translate; raises `WebhookRefused`. `now` is the machine clock."""
        return xendit_messages.message_of(xendit_messages.verify(headers, secrets=secrets), body, now)

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def _token(self, token: str) -> WireToken:
        return read(WireToken, required(await self._client.get(f"/v3/payment_tokens/{_part(token)}")))

    async def _session(self, session: str) -> WireSession:
        return read(WireSession, required(await self._client.get(f"/sessions/{_part(session)}")))

    async def _payment(self, payment_id: str, business_at: datetime | None) -> Payment:
        """A payment by its request's id, with what the card network advised where it failed."""
        where = "payments" if payment_id.startswith("py-") else "payment_requests"
        reply = required(await self._client.get(f"/v3/{where}/{_part(payment_id)}", business_at))
        wire = read(WirePayment, reply)
        latest = wire.latest_payment_id
        if wire.is_failed and latest is not None:
            told = read(WirePayment, required(await self._client.get(f"/v3/payments/{_part(latest)}", business_at)))
            changes = {
                "status": told.status,
                "failure_code": told.failure_code,
                "payment_details": told.payment_details,
            }
            wire = wire.model_copy(update={name: value for name, value in changes.items() if value is not None})
        return _translated(wire, datetime.now(UTC))

    async def _advised(self, reply: Reply, payment: Payment) -> Payment:
        """A payment as answered; a failed one with the network's advice, which may forbid what its code allows.

        Until that could be read the payment counts as pending: it is looked up by its id.
        """
        if payment.status is not PaymentStatus.FAILED or reply.text("latest_payment_id") is None:
            return payment
        try:
            return (await self._payment(payment.payment_id, None)).but(key=payment.key)
        except (ProviderUnavailable, ProviderRefused):
            return payment.but(status=PaymentStatus.PENDING, code=None, message=None, retry_after_seconds=None)

    async def _find_by_id(self, query: PaymentQuery, payment_id: str) -> LookUp:
        payment = await self._payment(payment_id, query.business_at)
        if payment.key not in (None, query.key):
            return LookUp(is_certain=False, because=f"{payment_id} carries the key of another attempt")
        return LookUp(is_certain=True, payment=payment)

    async def _find_by_reference(self, query: PaymentQuery) -> LookUp:
        asked = {
            "reference_id": query.key,
            "types": "PAYMENT",
            "created[gte]": wire_instant(query.since - CLOCK_SKEW),
        }
        found: dict[str, Payment] = {}
        async for row in self._client.rows("/transactions", WireTransaction, asked):
            payment_id = row.payment_request_id or row.product_id
            if payment_id is None or payment_id in found or row.reference_id != query.key:
                continue
            payment = await self._payment(payment_id, query.business_at)
            if payment.key == query.key:
                found[payment_id] = payment
        if not found:
            because = "no transaction has this reference, which does not prove that there is no payment"
            return LookUp(is_certain=False, because=because)
        return LookUp(is_certain=True, payment=min(found.values(), key=lambda one: _RANK[one.status]))


def _part(value: str) -> str:
    """One part of a path: an id that came from outside never becomes a path of its own."""
    return quote(value, safe="") or "-"


def _payment_in(reply: Reply, key: str) -> Payment | None:
    """The payment that an answer shows, when it is surely the one asked for."""
    if not reply.is_ok:
        return None
    try:
        wire = WirePayment.model_validate(reply.body)
        payment = payment_of(wire, otherwise=datetime.now(UTC))
    except (ValidationError, ValueError):
        return None
    is_ours = wire.payment_request_id is not None and payment.key in (None, key)
    return payment.but(key=key) if is_ours else None


def _translated(wire: WirePayment, otherwise: datetime) -> Payment:
    try:
        return payment_of(wire, otherwise=otherwise)
    except ValueError:
        raise ProviderUnavailable("the answer cannot be read: no id, or an odd amount") from None
