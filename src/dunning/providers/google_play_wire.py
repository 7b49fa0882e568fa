"""Google Play's own words, as the discovery document has them, and what they mean to us. Sheet G-A.

Unknown fields are ignored: Google adds some. Everything that is read here is the only ground for access.
"""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from dunning.domain.money import EXPONENTS
from dunning.domain.play_actions import CanceledBy, PlayState, ReadItem, ReadOrder, ReadPurchase
from dunning.domain.play_prices import PriceChangeMode, PriceChangeState

STATE_PREFIX = "SUBSCRIPTION_STATE_"
_NANOS = 1_000_000_000


class Wire(BaseModel):
    """Something of Google's: unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True)


class WireMoney(Wire):
    """An amount in whole units and nanos."""

    currency_code: str
    units: int = 0
    nanos: int = 0

    def minor(self) -> int:
        """Minor units, half to even where a currency has fewer digits than nanos tell."""
        scale = 10 ** EXPONENTS[self.currency_code]
        return round(Fraction((self.units * _NANOS + self.nanos) * scale, _NANOS))


class WirePriceChange(Wire):
    """`SubscriptionItemPriceChangeDetails`."""

    new_price: WireMoney | None = None
    price_change_mode: str | None = None
    price_change_state: str | None = None
    expected_new_price_charge_time: datetime | None = None


class WireInstallments(Wire):
    """`InstallmentPlan`."""

    remaining_committed_payments_count: int = 0
    pending_cancellation: dict[str, Any] | None = None


class WireAutoRenewing(Wire):
    """`AutoRenewingPlan`."""

    auto_renew_enabled: bool = False
    recurring_price: WireMoney | None = None
    price_change_details: WirePriceChange | None = None
    installment_details: WireInstallments | None = None


class WireOffer(Wire):
    """`OfferDetails`."""

    base_plan_id: str | None = None
    offer_id: str | None = None


class WireLineItem(Wire):
    """`SubscriptionPurchaseLineItem`."""

    product_id: str
    expiry_time: datetime | None = None
    latest_successful_order_id: str | None = None
    auto_renewing_plan: WireAutoRenewing | None = None
    prepaid_plan: dict[str, Any] | None = None
    offer_details: WireOffer | None = None
    deferred_item_removal: dict[str, Any] | None = None
    deferred_item_replacement: dict[str, Any] | None = None

    @property
    def recurring_price(self) -> WireMoney | None:
        """What a whole period costs; None for a plan that does not renew by itself."""
        return self.auto_renewing_plan.recurring_price if self.auto_renewing_plan else None


class WireDeclined(Wire):
    """`RenewalDeclinedContext`."""

    pending_order_id: str | None = None


class WireDeclinedState(Wire):
    """`InGracePeriodStateContext` and `OnHoldStateContext`."""

    renewal_declined: WireDeclined | None = None


class WirePaused(Wire):
    """`PausedStateContext`."""

    auto_resume_time: datetime | None = None


class WireCanceled(Wire):
    """`CanceledStateContext`: exactly one is there."""

    user_initiated_cancellation: dict[str, Any] | None = None
    system_initiated_cancellation: dict[str, Any] | None = None
    developer_initiated_cancellation: dict[str, Any] | None = None
    replacement_cancellation: dict[str, Any] | None = None

    def by(self) -> CanceledBy | None:
        """Who ended the renewals."""
        found = {
            CanceledBy.USER: self.user_initiated_cancellation,
            CanceledBy.SYSTEM: self.system_initiated_cancellation,
            CanceledBy.DEVELOPER: self.developer_initiated_cancellation,
            CanceledBy.REPLACEMENT: self.replacement_cancellation,
        }
        return next((who for who, said in found.items() if said is not None), None)


class WireAccounts(Wire):
    """`ExternalAccountIdentifiers`."""

    obfuscated_external_account_id: str | None = None


class WireOutOfApp(Wire):
    """`OutOfAppPurchaseContext`: a purchase made anew in Google Play itself."""

    expired_purchase_token: str | None = None
    expired_external_account_identifiers: WireAccounts | None = None


class WirePurchase(Wire):
    """`SubscriptionPurchaseV2`."""

    subscription_state: str
    line_items: tuple[WireLineItem, ...] = ()
    etag: str | None = None
    start_time: datetime | None = None
    region_code: str | None = None
    linked_purchase_token: str | None = None
    acknowledgement_state: str = "ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED"
    canceled_state_context: WireCanceled | None = None
    in_grace_period_state_context: WireDeclinedState | None = None
    on_hold_state_context: WireDeclinedState | None = None
    paused_state_context: WirePaused | None = None
    out_of_app_purchase_context: WireOutOfApp | None = None
    external_account_identifiers: WireAccounts | None = None
    test_purchase: dict[str, Any] | None = None

    @property
    def pending_order_id(self) -> str | None:
        """The order whose payment was declined."""
        context = self.in_grace_period_state_context or self.on_hold_state_context
        declined = context.renewal_declined if context else None
        return declined.pending_order_id if declined else None

    @property
    def order_ids(self) -> tuple[str, ...]:
        """The latest paid order of each item, each named once."""
        found = (item.latest_successful_order_id for item in self.line_items)
        return tuple(dict.fromkeys(one for one in found if one is not None))


class WireSubscriptionDetails(Wire):
    """`SubscriptionDetails` of an order's line."""

    service_period_start_time: datetime | None = None
    service_period_end_time: datetime | None = None


class WireOrderLine(Wire):
    """`LineItem` of an order."""

    product_id: str
    total: WireMoney | None = None
    tax: WireMoney | None = None
    listing_price: WireMoney | None = None
    subscription_details: WireSubscriptionDetails | None = None
    one_time_purchase_details: dict[str, Any] | None = None


class WireRefundDetails(Wire):
    """`RefundDetails`."""

    total: WireMoney | None = None
    tax: WireMoney | None = None


class WireRefundEvent(Wire):
    """`RefundEvent`, and `PartialRefundEvent` as far as both tell the same."""

    event_time: datetime | None = None
    create_time: datetime | None = None
    refund_details: WireRefundDetails | None = None


class WireOrderHistory(Wire):
    """`OrderHistory`."""

    refund_event: WireRefundEvent | None = None
    partial_refund_events: tuple[WireRefundEvent, ...] = ()


class WireOrder(Wire):
    """`Order`."""

    order_id: str
    state: str
    purchase_token: str | None = None
    create_time: datetime
    last_event_time: datetime | None = None
    total: WireMoney | None = None
    tax: WireMoney | None = None
    line_items: tuple[WireOrderLine, ...] = ()
    order_history: WireOrderHistory | None = None
    developer_revenue_in_buyer_currency: WireMoney | None = None

    def read(self, *, latest: tuple[str, ...] | None = None) -> ReadOrder:
        """The order in our words. `latest`: the latest orders of its purchase; None: it has none."""
        total = self.total or WireMoney(currency_code="USD")
        is_subscription = any(line.subscription_details is not None for line in self.line_items)
        return ReadOrder(
            order_id=self.order_id,
            state=self.state,
            created_at=self.create_time.astimezone(UTC),
            total=total.minor(),
            currency=total.currency_code,
            is_subscription=is_subscription,
            is_latest=latest is None or self.order_id in latest,
        )


class WireExpiry(Wire):
    """`ItemExpiryTimeDetails`."""

    product_id: str
    expiry_time: datetime


class WireDeferred(Wire):
    """`DeferSubscriptionPurchaseResponse`."""

    item_expiry_time_details: tuple[WireExpiry, ...] = ()


class WireVoided(Wire):
    """`VoidedPurchase`. Instants are milliseconds since 1970."""

    order_id: str
    purchase_token: str
    purchase_time_millis: int
    voided_time_millis: int
    voided_reason: int = 0
    voided_source: int = 0
    voided_quantity: int | None = None


class WireTokenPagination(Wire):
    """`TokenPagination`."""

    next_page_token: str | None = None


class WireVoidedPage(Wire):
    """`VoidedPurchasesListResponse`."""

    voided_purchases: tuple[WireVoided, ...] = ()
    token_pagination: WireTokenPagination | None = None


class ItemPriceChange(Wire):
    """A price change as it was read of an item."""

    product_id: str
    mode: PriceChangeMode
    state: PriceChangeState
    new_amount: int
    currency: str
    charge_at: datetime | None = None


def state_of(text: str) -> PlayState | None:
    """The state in our words; None for one that Google added after us."""
    try:
        return PlayState(text.removeprefix(STATE_PREFIX))
    except ValueError:
        return None


def purchase_of(wire: WirePurchase) -> ReadPurchase | None:
    """The purchase in our words; None for a state that we do not know."""
    state = state_of(wire.subscription_state)
    if state is None:
        return None
    return ReadPurchase(
        state=state,
        items=tuple(_item(line) for line in wire.line_items),
        canceled_by=wire.canceled_state_context.by() if wire.canceled_state_context else None,
        is_acknowledged=wire.acknowledgement_state == "ACKNOWLEDGEMENT_STATE_ACKNOWLEDGED",
        started_at=wire.start_time.astimezone(UTC) if wire.start_time else None,
    )


def price_changes_of(wire: WirePurchase) -> tuple[ItemPriceChange, ...]:
    """The price changes that the purchase tells of, item by item; what cannot be understood is left out."""
    found = []
    for line in wire.line_items:
        told = line.auto_renewing_plan.price_change_details if line.auto_renewing_plan else None
        if told is None or told.new_price is None:
            continue
        try:
            mode, state = PriceChangeMode(str(told.price_change_mode)), PriceChangeState(str(told.price_change_state))
        except ValueError:
            continue
        found.append(
            ItemPriceChange(
                product_id=line.product_id,
                mode=mode,
                state=state,
                new_amount=told.new_price.minor(),
                currency=told.new_price.currency_code,
                charge_at=told.expected_new_price_charge_time,
            )
        )
    return tuple(found)


def _item(line: WireLineItem) -> ReadItem:
    plan = line.auto_renewing_plan
    left = plan.installment_details.remaining_committed_payments_count if plan and plan.installment_details else 0
    is_leaving = line.deferred_item_removal is not None or line.deferred_item_replacement is not None
    return ReadItem(
        product_id=line.product_id,
        until=line.expiry_time.astimezone(UTC) if line.expiry_time else None,
        is_renewing=bool(plan and plan.auto_renew_enabled) and not is_leaving,
        is_prepaid=line.prepaid_plan is not None,
        order_id=line.latest_successful_order_id,
        commitment_left=left,
    )
