"""Omise, where our engine collects: charges to a stored card with the customer absent. Source: the sheet, part B.

The reference is Omise's id of the customer, the method token that of a card. Omise hosts no page on which
a customer authorises us: the product's own page turns a card into a token, and the token is attached here. Nothing
official promises idempotency (sheet 0.1 #14), so a charge is sent once and an unclear one is only looked up, by
the attempt key in its metadata. A decline comes as HTTP 200.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx
from pydantic import SecretStr, ValidationError

from dunning.domain.declines import DeclineTable
from dunning.domain.plan_rules import PLAN_RULES, PlanRules
from dunning.domain.plans import PlanChange
from dunning.providers import omise_signature
from dunning.providers.base import (
    AnswerKind,
    Capabilities,
    ChargeAnswer,
    ChargeRequest,
    LookUp,
    Mandate,
    MandateRequest,
    MethodChange,
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
from dunning.providers.following import Plan, PlanRequest
from dunning.providers.http import Reply
from dunning.providers.omise_client import OmiseClient, read, refusal, required, unpaid
from dunning.providers.omise_customers import Customers
from dunning.providers.omise_declines import OMISE_DECLINES
from dunning.providers.omise_messages import event_of, message_of
from dunning.providers.omise_requests import charge_body, refund_body, wire_instant
from dunning.providers.omise_schedules import Schedules
from dunning.providers.omise_wire import (
    Envelope,
    WireCharge,
    WireRefund,
    mandate_of,
    payment_of,
    refund_of,
)

CLOCK_SKEW = timedelta(minutes=5)
_RANK = {PaymentStatus.SUCCEEDED: 0, PaymentStatus.PENDING: 1, PaymentStatus.FAILED: 2}

CAPABILITIES = Capabilities(
    name="omise",
    resend=Resend.NEVER,
    look_up_lag_seconds=60,
    is_asynchronous=False,
    has_mandate_link=False,
    method_update_may_charge=False,
    one_pending_charge_at_a_time=False,
    requests_per_second=10.0,
)
"""Sheet B1: no number is published for the rate limit, the advice is at most ten parallel workers; nothing is said
about how soon a charge is listed, hence the lag."""


class OmiseProvider:
    """One merchant account at Omise, in one mode."""

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
        self._is_test = is_test
        self._client = OmiseClient(api_key, is_test=is_test, base_url=base_url, transport=transport)
        self._customers = Customers(self._client)
        self._schedules = Schedules(self._client, self._customers)

    @property
    def capabilities(self) -> Capabilities:
        """What Omise can do, as data."""
        return CAPABILITIES

    @property
    def declines(self) -> DeclineTable:
        """Raw code -> class, for failed charges and for refused requests."""
        return OMISE_DECLINES

    async def create_mandate(self, request: MandateRequest) -> Mandate:
        """Make what the product gave chargeable: a token becomes a card, an adopted customer is looked over.

        Safe creation (SPEC 12): the customer exists, has a usable card, and it has not expired at `business_at`.

        Raises:
            ProviderUnavailable: Omise could not be asked; a customer made all the same is found by the next try.
            ProviderRefused: the token is spent or wrong, the customer unknown, or without a usable card.
        """
        return await self._customers.authorise(request)

    async def read_mandate(self, reference: str) -> Mandate:
        """Where an authorisation stands, by the customer's id.

        Raises:
            ProviderUnavailable: Omise could not be asked.
            ProviderRefused: there is no such customer.
        """
        return mandate_of(await self._customers.read(reference))

    async def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Send one charge, once. Never raises for anything that the network or the provider does.

        A token is attached to the customer first, which charges nothing: where that fails, nothing was charged.
        """
        try:
            card = await self._customers.card_for(request.reference, request.method_token)
        except ProviderUnavailable as failure:
            wait = failure.retry_after_seconds
            return ChargeAnswer(kind=AnswerKind.OUTAGE, because=str(failure), retry_after_seconds=wait)
        except ProviderRefused as refused:
            return refusal(refused)
        reply = await self._client.send("POST", "/charges", charge_body(request, card))
        charge = _charge_in(reply, request.key)
        if charge is None:
            return unpaid(reply)
        payment = payment_of(charge, otherwise=datetime.now(UTC))
        return ChargeAnswer(kind=AnswerKind.PAYMENT, payment=payment.but(key=request.key), because="answered")

    async def find_payment(self, query: PaymentQuery) -> LookUp:
        """Find one attempt's charge. Never raises for anything that the network or the provider does."""
        try:
            if query.payment_id is not None:
                return await self._find_by_id(query, query.payment_id)
            return await self._find_in_list(query)
        except (ProviderUnavailable, ProviderRefused) as error:
            return LookUp(is_certain=False, because=str(error))

    async def change_method(self, reference: str, token: str | None) -> MethodChange:
        """Make a stored card, or the card that a token stands for, the customer's default. It charges nothing.

        Raises:
            ProviderUnavailable: Omise could not be asked.
            ProviderRefused: the card or token is unknown or spent; or none was given: Omise has no page to ask on.
        """
        if token is None:
            raise ProviderRefused("NO_LINK", "Omise has no page where a customer gives a card: give its token")
        card = await self._customers.make_default(reference, token)
        return MethodChange(reference=reference, method_token=card)

    async def end_mandate(self, reference: str, *, reason: str) -> None:
        """Note on the customer that we charge no more; already noted, or a customer that is gone, is success.

        Customer and cards stay: the product may use them for other things, and deleting is for good.

        Raises:
            ProviderUnavailable: Omise could not be asked.
        """
        await self._customers.end(reference, reason)

    async def portal_link(self, reference: str, *, return_url: str | None = None) -> str:
        """Omise hosts no page of the customer's; raises `ProviderRefused`."""
        raise ProviderRefused("NO_LINK", "Omise has no page where a customer sees what is stored")

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """Send one refund, once: all or part. Never raises for anything that the network or the provider does.

        An unclear one is looked up by its key (`find_refund`), never sent again blindly.
        """
        path = f"/charges/{_part(request.payment_id)}/refunds"
        reply = await self._client.send("POST", path, refund_body(request))
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

    async def find_refund(self, payment_id: str, key: str) -> Refund | None:
        """The refund of a charge that carries this key; None: there surely is none.

        Raises:
            ProviderUnavailable: Omise could not be asked, so nothing is proved.
            ProviderRefused: there is no such charge.
        """
        found: Refund | None = None
        async for wire in self._client.rows(f"/charges/{_part(payment_id)}/refunds", WireRefund):
            refund = refund_of(wire, otherwise=datetime.now(UTC))
            found = refund if refund.key == key else found
        return found

    @property
    def plan_rules(self) -> PlanRules:
        """What Omise's schedules can do, as data."""
        return PLAN_RULES["omise"]

    async def create_plan(self, request: PlanRequest) -> Plan:
        """Make a schedule by the steps of Omise's guide; see `Schedules.create` for what it raises."""
        return await self._schedules.create(request)

    async def find_plans(self, request: PlanRequest, *, since: datetime) -> tuple[Plan, ...]:
        """Schedules that run and carry our reference; all of the customer's are looked at, whatever `since`."""
        return await self._schedules.find(request, since)

    async def read_plan(self, plan_id: str, *, business_at: datetime) -> Plan:
        """A schedule, its due days and their tries."""
        return await self._schedules.read(plan_id, business_at)

    async def end_plan(self, plan_id: str, *, business_at: datetime, reason: str) -> Plan:
        """Destroy a schedule for good and read it back. Omise takes no reason."""
        return await self._schedules.end(plan_id, business_at)

    async def change_plan(self, plan_id: str, change: PlanChange, *, business_at: datetime) -> Plan:
        """Always refused: a schedule cannot be changed (sheet B2.2).

        Raises:
            ProviderRefused: with the alternative.
        """
        raise ProviderRefused("immutable", f"an Omise schedule cannot {change.change}: make a new one and end this one")

    async def messages_since(self, since: datetime) -> tuple[ProviderMessage, ...]:
        """Every event since an instant of the provider's clock, oldest first: what lost webhooks would have told.

        Omise does not promise to deliver again (sheet 0.1 #13). Events that cannot be read are left out.

        Raises:
            ProviderUnavailable: Omise could not be asked.
        """
        now = datetime.now(UTC)
        found: dict[str, ProviderMessage] = {}
        query = {"from": wire_instant(since), "order": "chronological"}
        async for envelope in self._client.rows("/events", Envelope, **query):
            try:
                found.setdefault(envelope.id, event_of(envelope, now, is_test=self._is_test))
            except ValidationError:
                continue
        return tuple(found.values())

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], now: datetime
    ) -> ProviderMessage:
        """Verify the raw bytes and translate; raises `WebhookRefused`. `now` is the machine clock."""
        omise_signature.verify(headers, body, secrets=secrets, now=now)
        return message_of(body, now, is_test=self._is_test)

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()

    async def _charge(self, charge_id: str, business_at: datetime | None) -> WireCharge:
        reply = await self._client.get(f"/charges/{_part(charge_id)}", business_at)
        return read(WireCharge, required(reply))

    async def _find_by_id(self, query: PaymentQuery, charge_id: str) -> LookUp:
        wire = await self._charge(charge_id, query.business_at)
        if wire.key not in (None, query.key):
            return LookUp(is_certain=False, because=f"{charge_id} carries the key of another attempt")
        return LookUp(is_certain=True, payment=payment_of(wire, otherwise=query.since))

    async def _find_in_list(self, query: PaymentQuery) -> LookUp:
        """Charges in the order of their making, so that new ones only ever come behind what was read.

        There is no upper bound: nothing promises that a charge is made soon after its request.
        """
        period = {"from": wire_instant(query.since - CLOCK_SKEW), "order": "chronological"}
        ours: set[str] = set()
        keyless: set[str] = set()
        async with aclosing(self._client.rows("/charges", WireCharge, **period)) as rows:
            async for row in rows:
                if row.key == query.key:
                    ours.add(row.id)
                elif query.accept_keyless and _may_be(row, query):
                    keyless.add(row.id)
                if row.key == query.key and row.is_paid:
                    break  # nothing that follows could say more
        # A list may be older than the charge itself.
        found = [await self._charge(one, query.business_at) for one in sorted(ours or keyless)]
        payments = [payment_of(wire, otherwise=query.since) for wire in found]
        if not payments:
            return LookUp(is_certain=True, because="no charge carries this attempt's key")
        return LookUp(is_certain=True, payment=min(payments, key=lambda one: _RANK[one.status]))


def _part(value: str) -> str:
    """One part of a path: an id that came from outside never becomes a path of its own."""
    return quote(value, safe="")


def _may_be(row: WireCharge, query: PaymentQuery) -> bool:
    """Whether a charge without any key is of this customer and price, and pays nothing else."""
    is_theirs = (
        row.key is None
        and row.schedule is None
        and row.customer == query.reference
        and row.id not in query.known_payments
    )
    return is_theirs and row.costs(query.amount, query.currency)


def _charge_in(reply: Reply, key: str) -> WireCharge | None:
    """The charge that an answer shows, when it is surely the one asked for."""
    if not reply.is_ok or reply.text("object") != "charge":
        return None
    try:
        charge = WireCharge.model_validate(reply.body)
    except ValidationError:
        return None
    return charge if charge.key in (None, key) else None
