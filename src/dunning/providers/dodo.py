"""Dodo Payments, on-demand subscriptions. Source: the contract sheet, part D.

Dodo has no idempotency for charges, so a request is sent once and an unclear one is only ever looked up, by
the attempt key in the payment's metadata (sheet D.3). The answer to a charge is an acceptance; the outcome
follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import httpx
from pydantic import SecretStr, ValidationError

from dunning.domain.declines import DeclineTable
from dunning.providers import standard_webhooks
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
from dunning.providers.dodo_client import part, read, required, unpaid
from dunning.providers.dodo_declines import DODO_DECLINES
from dunning.providers.dodo_endpoints import endpoints_of
from dunning.providers.dodo_refunds import Refunds
from dunning.providers.dodo_requests import charge_body, checkout_body, options_of, subscription_body
from dunning.providers.dodo_wire import (
    PAYMENTS,
    WirePayment,
    WireSubscription,
    mandate_of,
    message_of,
    payment_of,
)
from dunning.providers.endpoints import Endpoint
from dunning.providers.http import HttpCaller, Reply

TEST_URL = "https://test.dodopayments.com"
LIVE_URL = "https://live.dodopayments.com"
BUSINESS_AT_HEADER = "x-dunning-business-at"
"""Sent in test mode only: the sandbox settles scripted pending payments by the business clock."""
SESSION_PREFIX = "cks_"
CLOCK_SKEW = timedelta(minutes=5)
PAGE_SIZE = 100
MAX_PAGES = 200
_TERMINAL = ("cancelled", "expired", "failed")
_CANCEL_REASONS = frozenset(
    {
        "cancelled_by_customer",
        "cancelled_by_merchant",
        "cancelled_by_merchant_send_dunning",
        "cancelled_by_merchant_grace_period_expired",
    }
)
_RANK = {PaymentStatus.SUCCEEDED: 0, PaymentStatus.PENDING: 1, PaymentStatus.FAILED: 2}

CAPABILITIES = Capabilities(
    name="dodo",
    resend=Resend.NEVER,
    look_up_lag_seconds=60,
    is_asynchronous=True,
    has_mandate_link=True,
    method_update_may_charge=True,
    one_pending_charge_at_a_time=True,
    has_customer_portal=True,
    max_metadata_pairs=50,
    requests_per_second=4.0,
)
"""Sheet D.2 (the default tier sustains 240 requests a minute), D.3, D.4. The docs promise nothing about how
soon a payment is listed, hence the lag."""


class DodoProvider:
    """One merchant account at Dodo, in one mode."""

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
            ValueError: a live key in test mode or the other way round (SPEC 12: never mixed).
        """
        key = api_key.get_secret_value()
        if key.startswith("dodo_live_" if is_test else "dodo_test_"):
            mode = "test" if is_test else "live"
            raise ValueError(f"this account is in {mode} mode and its Dodo key is of the other mode")
        self._is_test = is_test
        self._http = HttpCaller(
            base_url or (TEST_URL if is_test else LIVE_URL),
            {"authorization": f"Bearer {key}"},
            transport=transport,
        )
        self._refunds = Refunds(self._http)

    @property
    def capabilities(self) -> Capabilities:
        """What Dodo can do, as data."""
        return CAPABILITIES

    @property
    def declines(self) -> DeclineTable:
        """Raw code -> class, for declined payments and for refused requests."""
        return DODO_DECLINES

    async def create_mandate(self, request: MandateRequest) -> Mandate:
        """Open a checkout that authorises on-demand charging, or (asked for in the options) a subscription.

        A checkout's subscription exists only once the customer has completed it: until then the mandate's
        reference is the session's id, which `read_mandate` resolves.

        Raises:
            ProviderUnavailable: Dodo could not be asked; a link made all the same is never shown.
            ProviderRefused: the request was understood and refused.
        """
        if options_of(request).use_subscriptions_endpoint:
            reply = await self._http.call("POST", "/subscriptions", json_body=subscription_body(request))
            return _created(required(reply), "subscription_id", "payment_link")
        reply = await self._http.call("POST", "/checkouts", json_body=checkout_body(request))
        return _created(required(reply), "session_id", "checkout_url")

    async def read_mandate(self, reference: str) -> Mandate:
        """Where an authorisation stands, by a subscription's or a checkout session's id.

        Raises:
            ProviderUnavailable: Dodo could not be asked.
            ProviderRefused: there is no such subscription or session.
        """
        if not reference.startswith(SESSION_PREFIX):
            return mandate_of(await self._subscription(reference))
        session = required(await self._http.call("GET", f"/checkouts/{part(reference)}"))
        waiting = Mandate(reference=reference, status=MandateStatus.WAITING)
        payment_id = session.text("payment_id")
        if payment_id is None:
            return waiting
        payment = await self._payment(payment_id)
        if payment.subscription_id is None:
            return waiting
        return mandate_of(await self._subscription(payment.subscription_id))

    async def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Send one charge, once. Never raises for anything that the network or the provider does."""
        body = charge_body(request)
        if len(body["metadata"]) > CAPABILITIES.max_metadata_pairs:
            because = "not sent: it carries more metadata pairs than Dodo takes"
            return ChargeAnswer(kind=AnswerKind.REFUSED, code="MAXIMUM_KEYS_REACHED", because=because)
        path = f"/subscriptions/{part(request.reference)}/charge"
        reply = await self._http.call("POST", path, json_body=body)
        payment_id = reply.text("payment_id") if reply.is_ok else None
        if payment_id is None:
            return unpaid(reply)
        accepted = Payment(
            payment_id=payment_id,
            status=PaymentStatus.PENDING,
            key=request.key,
            amount=request.amount,
            currency=request.currency,
            created_at=datetime.now(UTC),
            provider_reference=request.reference,
        )
        return ChargeAnswer(kind=AnswerKind.PAYMENT, payment=accepted, because="accepted")

    async def find_payment(self, query: PaymentQuery) -> LookUp:
        """Find one attempt's payment. Never raises for anything that the network or the provider does."""
        try:
            if query.payment_id is not None:
                return await self._find_by_id(query, query.payment_id)
            return await self._find_in_list(query)
        except (ProviderUnavailable, ProviderRefused) as error:
            return LookUp(is_certain=False, because=str(error))

    async def change_method(self, reference: str, token: str | None) -> MethodChange:
        """Make a stored token current, or (None) get the link where the customer gives a new one.

        On a subscription on hold Dodo then collects by itself what is owed; that payment is returned, so that
        nothing is charged on top of it (sheet D.4.5).

        Raises:
            ProviderUnavailable: Dodo could not be asked, or its answer is lost: ask again, it does no harm.
            ProviderRefused: Dodo refused, for instance a token that it does not know.
        """
        started_at = datetime.now(UTC)
        was_on_hold = (await self._subscription(reference)).status == "on_hold"
        body = {"type": "new"} if token is None else {"type": "existing", "payment_method_id": token}
        path = f"/subscriptions/{part(reference)}/update-payment-method"
        reply = required(await self._http.call("POST", path, json_body=body))
        change = MethodChange(reference=reference, method_token=token, link=reply.text("payment_link"))
        if token is None or not was_on_hold:
            return change
        return change.but(payment=await self._own_charge(reference, reply.text("payment_id"), started_at))

    async def end_mandate(self, reference: str, *, reason: str) -> None:
        """Give the authorisation back; already ended is success, and so is a link that nobody completed.

        Raises:
            ProviderUnavailable: Dodo could not be asked.
            ProviderRefused: Dodo refused although the subscription has not ended.
        """
        if reference.startswith(SESSION_PREFIX):
            reference = (await self.read_mandate(reference)).reference
            if reference.startswith(SESSION_PREFIX):
                return
        cause = reason if reason in _CANCEL_REASONS else "cancelled_by_merchant"
        body = {"status": "cancelled", "cancel_reason": cause}
        try:
            required(await self._http.call("PATCH", f"/subscriptions/{part(reference)}", json_body=body))
        except ProviderRefused:
            if (await self._subscription(reference)).status not in _TERMINAL:
                raise

    async def portal_link(self, reference: str, *, return_url: str | None = None) -> str:
        """Where the customer of a mandate sees and changes what Dodo has of them. The link lives for a day.

        Raises:
            ProviderUnavailable: Dodo could not be asked.
            ProviderRefused: there is no such subscription, or nobody has completed its link yet.
        """
        customer = (await self.read_mandate(reference)).customer_reference
        if customer is None:
            raise ProviderRefused("NO_CUSTOMER", "nobody has completed the mandate's link yet")
        query = {"return_url": return_url} if return_url is not None else {}
        path = f"/customers/{part(customer)}/customer-portal/session"
        link = required(await self._http.call("POST", path, query=query)).text("link")
        if link is None:
            raise ProviderUnavailable("the answer names no link")
        return link

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """Send one refund, once: all or part. Never raises for anything that the network or the provider does."""
        return await self._refunds.make(request)

    async def find_refund(self, payment_id: str, key: str) -> Refund | None:
        """The refund of a payment that carries this key; None: there surely is none.

        Raises:
            ProviderUnavailable: Dodo could not be asked, so nothing is proved.
            ProviderRefused: there is no such payment.
        """
        return await self._refunds.find(payment_id, key)

    async def endpoints(self) -> tuple[Endpoint, ...]:
        """Where Dodo sends this account's messages, for `dunning doctor`.

        Raises:
            ProviderUnavailable: Dodo could not be asked.
            ProviderRefused: the key may not read endpoints.
        """
        return await endpoints_of(self._http)

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], now: datetime
    ) -> ProviderMessage:
        """Verify the raw bytes and translate; raises `WebhookRefused`. `now` is the machine clock."""
        message_id = standard_webhooks.verify(headers, body, secrets=secrets, now=now)
        return message_of(message_id, body, now)

    async def aclose(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def _subscription(self, reference: str) -> WireSubscription:
        reply = await self._http.call("GET", f"/subscriptions/{part(reference)}")
        return read(WireSubscription, required(reply))

    async def _payment(self, payment_id: str, business_at: datetime | None = None) -> WirePayment:
        headers = self._clock(business_at)
        reply = await self._http.call("GET", f"/payments/{part(payment_id)}", headers=headers)
        return read(WirePayment, required(reply))

    def _clock(self, business_at: datetime | None) -> dict[str, str]:
        if business_at is None or not self._is_test:
            return {}
        return {BUSINESS_AT_HEADER: business_at.isoformat()}

    async def _find_by_id(self, query: PaymentQuery, payment_id: str) -> LookUp:
        wire = await self._payment(payment_id, query.business_at)
        if wire.key not in (None, query.key):
            return LookUp(is_certain=False, because=f"{payment_id} carries the key of another attempt")
        return LookUp(is_certain=True, payment=payment_of(wire, otherwise=query.since))

    async def _find_in_list(self, query: PaymentQuery) -> LookUp:
        reference = await self._paid_reference(query.reference)
        if reference is None:
            return LookUp(is_certain=True, because="nobody has completed the mandate's page")
        rows = await self._list(reference, query.since - CLOCK_SKEW, query.business_at)
        wanted = [row for row in rows if row.names(query.key)]
        if not wanted and query.accept_keyless:
            free = [row for row in rows if row.key is None and row.payment_id not in query.known_payments]
            wanted = [row for row in free if row.costs(query.amount, query.currency)]
        # Rows of a list carry no decline code, and do not say whether a method update made them.
        found = [await self._payment(row.payment_id, query.business_at) for row in wanted]
        payments = [payment_of(wire, otherwise=query.since) for wire in found if not wire.is_untouched]
        if not payments:
            return LookUp(is_certain=True, because="no payment carries this attempt's key")
        return LookUp(is_certain=True, payment=min(payments, key=lambda one: _RANK[one.status]))

    async def _paid_reference(self, reference: str) -> str | None:
        """The subscription that payments are listed of; None: there is none yet, so nothing can have been paid.

        A reference that is empty stands for a page that nobody was ever shown.
        """
        if reference.startswith(SESSION_PREFIX):
            reference = (await self.read_mandate(reference)).reference
        return None if not reference or reference.startswith(SESSION_PREFIX) else reference

    async def _list(self, reference: str, since: datetime, business_at: datetime | None) -> list[WirePayment]:
        """All payments of a subscription since an instant. Only an empty page proves the end of the list."""
        query: dict[str, str | int] = {
            "subscription_id": reference,
            "created_at_gte": since.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "page_size": PAGE_SIZE,
        }
        rows: dict[str, WirePayment] = {}
        for page in range(MAX_PAGES):
            reply = await self._http.call(
                "GET", "/payments", query={**query, "page_number": page}, headers=self._clock(business_at)
            )
            items = _rows(required(reply))
            if not items:
                return list(rows.values())
            rows |= {row.payment_id: row for row in items}
        raise ProviderUnavailable(f"the list of payments did not end after {MAX_PAGES} pages")

    async def _own_charge(self, reference: str, payment_id: str | None, since: datetime) -> Payment | None:
        """What the provider charged by itself after a method update, if anything."""
        if payment_id is not None:
            found = [await self._payment(payment_id)]
        else:
            rows = await self._list(reference, since - CLOCK_SKEW, None)
            found = [row for row in rows if row.key is None]
        payments = [payment_of(wire, otherwise=since) for wire in found if wire.total_amount > 0]
        recent = [one for one in payments if payment_id or one.created_at >= since - timedelta(minutes=1)]
        return recent[0] if recent else None


def _created(reply: Reply, reference: str, link: str) -> Mandate:
    found = reply.text(reference)
    if found is None:
        raise ProviderUnavailable(f"the answer names no {reference}")
    expires = reply.text("expires_on")
    return Mandate(
        reference=found,
        status=MandateStatus.WAITING,
        link=reply.text(link),
        expires_at=None if expires is None else _instant(expires),
    )


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _rows(reply: Reply) -> list[WirePayment]:
    items = reply.body.get("items")
    try:
        return PAYMENTS.validate_python(items)
    except ValidationError as error:
        raise ProviderUnavailable(f"the list cannot be read: {error.error_count()} faults") from None
