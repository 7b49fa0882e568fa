"""Google Play: it bills, retries and states access by itself; we read, acknowledge, tell, and ask for what its API has.

The plan is the purchase and its id the purchase token. Nothing is computed here about access: every state, expiry and
order is what `subscriptionsv2.get` and `orders` said. Source: the sheet, part G.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import httpx
from pydantic import SecretStr

from dunning.domain import play_actions
from dunning.domain.commands import CancelType
from dunning.domain.declines import DeclineClass, DeclineRow, DeclineTable
from dunning.domain.plan_rules import PLAN_RULES, PlanRules
from dunning.domain.plans import MoveNext, PlanChange, RefundOrder, RevokeAccess, StopRenewals
from dunning.domain.play_actions import PlayState, ReadPurchase
from dunning.domain.play_prices import PriceChangeMode
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
    PaymentQuery,
    ProviderMessage,
    ProviderRefused,
    ProviderUnavailable,
    Refund,
    RefundAnswer,
    RefundRequest,
    Resend,
    WebhookRefused,
)
from dunning.providers.cohorts import Cohort
from dunning.providers.following import Plan, PlanRequest, PlanUnclear
from dunning.providers.google_play_books import rows_of
from dunning.providers.google_play_client import GONE, PlayClient
from dunning.providers.google_play_orders import PlayOrders
from dunning.providers.google_play_plans import gone, plan_of, refund_of, refunds_of
from dunning.providers.google_play_quota import MINUTE, PER_MINUTE
from dunning.providers.google_play_wire import WireOrder, WirePurchase, purchase_of

CAPABILITIES = Capabilities(
    name="google_play",
    resend=Resend.NEVER,
    has_native_retries=True,
    has_mandate_link=False,
    is_asynchronous=True,
    has_customer_portal=True,
    requests_per_second=min(PER_MINUTE.values()) / MINUTE,
    quotas={quota.value: limit for quota, limit in PER_MINUTE.items()},
)
"""Sheet G.1: each kind of call has a quota of its own, which `PlayClient` keeps; no idempotency key anywhere."""

DECLINES = DeclineTable(
    provider="google_play",
    version="1",
    rows=tuple(
        DeclineRow(
            field="subscription_state",
            code=state.value,
            klass=DeclineClass.SOFT,
            source="sheet G.8: Play names no reason; it retries by itself",
        )
        for state in (PlayState.IN_GRACE_PERIOD, PlayState.ON_HOLD)
    ),
)
ONLY_THE_APP = "only the customer can buy, in your app; give the purchase token (provider_options.purchase_token)"


class GooglePlayProvider(PlayOrders):
    """One merchant account at Google Play: one app, one service account."""

    def __init__(
        self,
        key: SecretStr,
        *,
        package_name: str,
        is_test: bool,
        base_url: str | None = None,
        token_url: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connect nothing yet; raises `ValueError` for a key that is no service account's."""
        self.package_name = package_name
        self._is_test = is_test
        self.client = PlayClient(
            key,
            package_name=package_name,
            is_test=is_test,
            base_url=base_url,
            token_url=token_url,
            transport=transport,
        )

    @property
    def capabilities(self) -> Capabilities:
        """What Google Play can do, as data."""
        return CAPABILITIES

    @property
    def declines(self) -> DeclineTable:
        """Play tells no reason of a decline: there is only the state of the purchase."""
        return DECLINES

    @property
    def plan_rules(self) -> PlanRules:
        """What its purchases can do, as data."""
        return PLAN_RULES["google_play"]

    # --- purchases ----------------------------------------------------------------------------------

    async def create_plan(self, request: PlanRequest) -> Plan:
        """Take a purchase on that the app made, and acknowledge it.

        Raises:
            ProviderRefused: there is no purchase token, or it is not known.
            ProviderUnavailable: Google Play could not be asked.
        """
        token = request.terms.adopted_reference
        if token is None:
            raise ProviderRefused("no_purchase", ONLY_THE_APP)
        return await self.read_plan(token, business_at=request.business_at)

    async def find_plans(self, request: PlanRequest, *, since: datetime) -> tuple[Plan, ...]:
        """None: we make no purchases, so none was ever made unheard."""
        return ()

    async def read_plan(self, plan_id: str, *, business_at: datetime) -> Plan:
        """The purchase with the latest order of every item; one that is gone is over.

        A purchase that is not acknowledged yet is acknowledged here: the first read after it was made.
        """
        try:
            wire = await self.client.purchase(plan_id, business_at=business_at)
        except ProviderRefused as refused:
            if refused.code in GONE:
                return gone(plan_id, str(refused))
            raise
        self._refuse_other_mode(wire)
        purchase = purchase_of(wire)
        if purchase is not None and not purchase.is_acknowledged and purchase.state is PlayState.ACTIVE:
            await self.client.acknowledge(plan_id, wire.line_items[0].product_id, business_at=business_at)
        return plan_of(plan_id, wire, await self._orders(wire, business_at), business_at)

    async def end_plan(self, plan_id: str, *, business_at: datetime, reason: str) -> Plan:
        """Stop all payments for good; already over is success."""
        return await self._stop(plan_id, CancelType.DEVELOPER_REQUESTED_STOP_PAYMENTS, business_at)

    async def change_plan(self, plan_id: str, change: PlanChange, *, business_at: datetime) -> Plan:
        """Cancel or defer, and read the purchase back.

        Raises:
            ProviderRefused: Google Play does not do that, or not now; the reason is in it.
            ProviderUnavailable: nothing changed, ask again. `PlanUnclear`: perhaps it did.
        """
        if isinstance(change, StopRenewals):
            types = CancelType
            kind = types.USER_REQUESTED_STOP_RENEWALS if change.is_by_user else types.DEVELOPER_REQUESTED_STOP_PAYMENTS
            return await self._stop(plan_id, kind, business_at)
        if isinstance(change, MoveNext):
            return await self._defer(plan_id, change, business_at)
        if isinstance(change, RevokeAccess):
            return await self._revoke(plan_id, change, business_at)
        if isinstance(change, RefundOrder):
            return await self._refund_order(plan_id, change, business_at)
        raise ProviderRefused("not_offered", f"Google Play's API has no {change.change}")

    # --- what Play has not ----------------------------------------------------------------------------

    async def create_mandate(self, request: MandateRequest) -> Mandate:
        """Never: the customer buys in the app."""
        raise ProviderRefused("no_purchase", ONLY_THE_APP)

    async def read_mandate(self, reference: str) -> Mandate:
        """The purchase as an authorisation."""
        wire = await self.client.purchase(reference)
        purchase = purchase_of(wire)
        is_over = purchase is None or purchase.state in (PlayState.EXPIRED, PlayState.PENDING_PURCHASE_CANCELED)
        status = MandateStatus.ENDED if is_over else MandateStatus.AUTHORIZED
        return Mandate(reference=reference, status=status, method_token=reference)

    async def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Never: Google Play alone charges."""
        because = "Google Play charges by itself; there is no API that charges"
        return ChargeAnswer(kind=AnswerKind.REFUSED, code="not_offered", because=because)

    async def find_payment(self, query: PaymentQuery) -> LookUp:
        """Nothing of ours is ever there."""
        return LookUp(is_certain=True, because="Google Play takes no charges of ours")

    async def portal_link(self, reference: str, *, return_url: str | None = None) -> str:
        """Where the customer manages subscriptions: a page of Google Play's, the same for everybody."""
        return self.deep_link()

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """Give a whole order back; access stays. A part is refused: the Play Console alone can."""
        try:
            order = await self.client.order(request.payment_id)
            because = play_actions.refuses_refund(order.read(), datetime.now(UTC), request.amount)
            if because is not None:
                return RefundAnswer(kind=AnswerKind.REFUSED, code="not_offered", because=because)
            await self.client.refund(request.payment_id, revokes=False)
        except ProviderRefused as refused:
            return RefundAnswer(kind=AnswerKind.REFUSED, code=refused.code, because=str(refused))
        except PlanUnclear as unclear:
            return RefundAnswer(kind=AnswerKind.UNCLEAR, because=str(unclear))
        except ProviderUnavailable as away:
            wait = away.retry_after_seconds
            return RefundAnswer(kind=AnswerKind.OUTAGE, because=str(away), retry_after_seconds=wait)
        return await self._refunded(request)

    async def find_refund(self, payment_id: str, key: str) -> Refund | None:
        """An order that was given back whole; Play's refunds carry no key of ours, and there is one per order.

        Raises `ProviderUnavailable`/`ProviderRefused` when nothing is proved.
        """
        order = await self.client.order(payment_id)
        return refund_of(order) if order.state in ("REFUNDED", "PENDING_REFUND") else None

    async def _refunded(self, request: RefundRequest) -> RefundAnswer:
        """What was just taken, read back; that it was taken is certain already."""
        try:
            found = await self.find_refund(request.payment_id, request.key)
        except (ProviderRefused, ProviderUnavailable) as away:
            return RefundAnswer(kind=AnswerKind.UNCLEAR, because=f"taken, and not read back yet: {away}")
        if found is None:
            return RefundAnswer(kind=AnswerKind.UNCLEAR, because="taken; the order does not show it yet")
        return RefundAnswer(kind=AnswerKind.PAYMENT, refund=found)

    async def change_method(self, reference: str, token: str | None) -> MethodChange:
        """Never: the customer changes it in Google Play; the link is where."""
        return MethodChange(reference=reference, method_token=None, link=self.deep_link())

    async def end_mandate(self, reference: str, *, reason: str) -> None:
        """Stop all payments for good; already over is success."""
        await self._stop(reference, CancelType.DEVELOPER_REQUESTED_STOP_PAYMENTS, None)

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], now: datetime
    ) -> ProviderMessage:
        """Never here: notifications come through Pub/Sub, with a door of their own (`gateway.play_push`)."""
        raise WebhookRefused("Google Play's notifications come by Pub/Sub push")

    def deep_link(self, product_id: str | None = None) -> str:
        """Where the customer manages this subscription."""
        return play_actions.deep_link(self.package_name, product_id)

    async def move_cohort(self, cohort: Cohort, regions_version: str) -> None:
        """Move subscribers of an old price to the current one; see `CohortProvider`."""
        row = {
            "regionCode": cohort.region_code,
            "oldestAllowedPriceVersionTime": cohort.oldest_allowed_at.astimezone(UTC).isoformat(),
        }
        if cohort.mode in _INCREASES:
            row["priceIncreaseType"] = _INCREASES[cohort.mode]
        await self.client.migrate_prices(cohort.product_id, cohort.base_plan_id, [row], regions_version)

    async def aclose(self) -> None:
        """Close connections."""
        await self.client.aclose()

    # --- helpers --------------------------------------------------------------------------------------

    async def _stop(self, token: str, kind: CancelType, business_at: datetime | None) -> Plan:
        purchase = await self._purchase(token, business_at)
        at = business_at or datetime.now(UTC)
        if purchase.state not in (PlayState.CANCELED, PlayState.EXPIRED):
            because = play_actions.refuses_cancel(purchase)
            if because is not None:
                raise ProviderRefused("not_offered", because)
            await self.client.cancel(token, kind, business_at=business_at)
        return await self.read_plan(token, business_at=at)

    async def _defer(self, token: str, change: MoveNext, business_at: datetime) -> Plan:
        """Put every item off until the last ends at `change.to`: repeated, it finds that it did so already.

        The dry run comes first; both it and the deferral hold only while the purchase has the etag that was read.
        """
        wire = await self.client.purchase(token, business_at=business_at)
        purchase = purchase_of(wire)
        current = max((i.until for i in purchase.items if i.until is not None), default=None) if purchase else None
        if purchase is None or current is None or wire.etag is None:
            raise ProviderRefused("not_offered", "the purchase is in a state that cannot be deferred")
        by = change.to - current
        if by < timedelta(seconds=1):
            return await self.read_plan(token, business_at=business_at)
        because = play_actions.refuses_defer(purchase, round(by / timedelta(days=1)))
        if because is not None:
            raise ProviderRefused("not_offered", because)
        try:
            tried = await self.client.defer(token, by, wire.etag, is_dry_run=True, business_at=business_at)
            done = await self.client.defer(token, by, wire.etag, business_at=business_at)
        except ProviderRefused as refused:
            now = await self.client.purchase(token, business_at=business_at)
            if now.etag == wire.etag:
                raise
            raise ProviderUnavailable(f"the purchase changed meanwhile; asked again ({refused.code})", 60) from None
        plan = await self.read_plan(token, business_at=business_at)
        if tried != done:
            plan = plan.but(because="the deferral came out other than its dry run")
        return plan

    async def _revoke(self, token: str, change: RevokeAccess, business_at: datetime) -> Plan:
        """Whole, by the time left, or one item; what is over already is not asked for again."""
        purchase = await self._purchase(token, business_at)
        is_gone = change.product_id is None and purchase.state is PlayState.EXPIRED
        if not is_gone:
            because = play_actions.refuses_revoke(purchase, change.product_id, business_at)
            if because is not None:
                raise ProviderRefused("not_offered", because)
            await self.client.revoke(
                token, is_prorated=change.is_prorated, product_id=change.product_id, business_at=business_at
            )
        plan = await self.read_plan(token, business_at=business_at)
        # The order of an item that is gone is no item's latest any more; its refund is told all the same.
        ids = {item.order_id for item in purchase.items if item.product_id == change.product_id}
        return await self._with_order(plan, next(iter(ids), None), business_at)

    async def _refund_order(self, token: str, change: RefundOrder, business_at: datetime) -> Plan:
        """The whole order, once: one that is refunded already is success."""
        wire = await self.client.purchase(token, business_at=business_at)
        order = (await self.client.order(change.order_id, business_at=business_at)).read(latest=wire.order_ids)
        if order.state not in ("REFUNDED", "PENDING_REFUND"):
            because = play_actions.refuses_refund(order, business_at, change.amount)
            if because is not None:
                raise ProviderRefused("not_offered", because)
            await self.client.refund(change.order_id, revokes=change.revokes, business_at=business_at)
        plan = await self.read_plan(token, business_at=business_at)
        plan = await self._with_order(plan, change.order_id, business_at)
        if change.revokes and not play_actions.revokes_too(order):
            return plan.but(because="refunded; access stays, because it is not the latest order")
        return plan

    async def _with_order(self, plan: Plan, order_id: str | None, business_at: datetime) -> Plan:
        """The plan with one more order's rows and refunds, read now."""
        order = await self.order_shown(order_id, business_at) if order_id is not None else None
        if order is None:
            return plan
        known = {one.order_id for one in plan.refunds}
        refunds = tuple(one for one in refunds_of((order,)) if one.order_id not in known)
        return plan.but(rows=(*plan.rows, *rows_of(order)), refunds=(*plan.refunds, *refunds))

    async def _purchase(self, token: str, business_at: datetime | None) -> ReadPurchase:
        wire = await self.client.purchase(token, business_at=business_at)
        purchase = purchase_of(wire)
        if purchase is None:
            raise ProviderRefused(
                "unknown_state", f"the purchase is in a state that we do not know: {wire.subscription_state}"
            )
        return purchase

    async def _orders(self, wire: WirePurchase, business_at: datetime) -> tuple[WireOrder, ...]:
        pending = [wire.pending_order_id] if wire.pending_order_id else []
        return await self.orders_shown([*wire.order_ids, *pending], business_at)

    def _refuse_other_mode(self, wire: WirePurchase) -> None:
        if (wire.test_purchase is not None) is not self._is_test:
            kind, mode = ("test", "live") if wire.test_purchase is not None else ("real", "test")
            raise ProviderRefused("other_mode", f"a {kind} purchase and an account in {mode} mode are never mixed")


_INCREASES = {
    PriceChangeMode.PRICE_INCREASE: "PRICE_INCREASE_TYPE_OPT_IN",
    PriceChangeMode.OPT_OUT_PRICE_INCREASE: "PRICE_INCREASE_TYPE_OPT_OUT",
}
"""What Google calls them; a decrease has no type."""
