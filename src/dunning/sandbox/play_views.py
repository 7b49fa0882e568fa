"""Purchases and orders as Google Play shows them. Sheet G-A."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from dunning.domain.money import EXPONENTS
from dunning.domain.play_actions import CanceledBy, PlayState
from dunning.sandbox.play_book import Line, Order, OrderLine, Purchase

_CANCELED_BY = {
    CanceledBy.USER: "userInitiatedCancellation",
    CanceledBy.DEVELOPER: "developerInitiatedCancellation",
    CanceledBy.SYSTEM: "systemInitiatedCancellation",
    CanceledBy.REPLACEMENT: "replacementCancellation",
}


def wire_instant(at: datetime) -> str:
    """An instant as Google writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def money(amount: int, currency: str) -> dict[str, Any]:
    """Minor units as units and nanos."""
    scale = 10 ** EXPONENTS[currency]
    whole, rest = divmod(amount, scale)
    return {"currencyCode": currency, "units": str(whole), "nanos": rest * (1_000_000_000 // scale)}


def purchase_view(purchase: Purchase) -> dict[str, Any]:
    """`SubscriptionPurchaseV2`."""
    acknowledged = "ACKNOWLEDGED" if purchase.acknowledged else "PENDING"
    found: dict[str, Any] = {
        "kind": "androidpublisher#subscriptionPurchaseV2",
        "regionCode": purchase.region,
        "subscriptionState": f"SUBSCRIPTION_STATE_{purchase.state.value}",
        "acknowledgementState": f"ACKNOWLEDGEMENT_STATE_{acknowledged}",
        "lineItems": [_line_view(purchase, line) for line in purchase.lines],
        "etag": purchase.etag,
        "testPurchase": {},
        **_contexts(purchase),
    }
    if purchase.started_at is not None:
        found["startTime"] = wire_instant(purchase.started_at)
    if purchase.linked_token is not None:
        found["linkedPurchaseToken"] = purchase.linked_token
    if purchase.account is not None:
        found["externalAccountIdentifiers"] = {"obfuscatedExternalAccountId": purchase.account}
    if purchase.revived_token is not None and not purchase.acknowledged:
        found["outOfAppPurchaseContext"] = {"expiredPurchaseToken": purchase.revived_token}
    return found


def shown_expiry(purchase: Purchase, line: Line) -> datetime:
    """What `expiryTime` says: during grace it is moved on, on hold it lies in the past for every item."""
    decline = purchase.decline
    if decline is None:
        return line.expiry
    if purchase.state is PlayState.ON_HOLD:
        return min(line.expiry, decline.grace_until)
    return max(line.expiry, decline.grace_until)


def _contexts(purchase: Purchase) -> dict[str, Any]:
    declined = {"renewalDeclined": {"pendingOrderId": purchase.pending_order}} if purchase.pending_order else {}
    if purchase.state is PlayState.IN_GRACE_PERIOD:
        return {"inGracePeriodStateContext": declined}
    if purchase.state is PlayState.ON_HOLD:
        return {"onHoldStateContext": declined}
    if purchase.state is PlayState.PAUSED and purchase.resume_at is not None:
        return {"pausedStateContext": {"autoResumeTime": wire_instant(purchase.resume_at)}}
    if purchase.state in (PlayState.CANCELED, PlayState.EXPIRED) and purchase.canceled_by is not None:
        is_user = purchase.canceled_by is CanceledBy.USER
        said = {"cancelTime": wire_instant(purchase.clock)} if is_user else {}
        return {"canceledStateContext": {_CANCELED_BY[purchase.canceled_by]: said}}
    return {}


def _line_view(purchase: Purchase, line: Line) -> dict[str, Any]:
    found: dict[str, Any] = {
        "productId": line.product_id,
        "expiryTime": wire_instant(shown_expiry(purchase, line)),
        "offerDetails": {"basePlanId": line.base_plan_id},
        "offerPhase": {"freeTrial": {}} if line.is_in_trial else {"basePrice": {}},
    }
    if line.order_id is not None:
        found["latestSuccessfulOrderId"] = line.order_id
    if line.is_removed:
        found["deferredItemRemoval"] = {}
    if line.is_prepaid:
        return {**found, "prepaidPlan": {}}
    plan: dict[str, Any] = {
        "autoRenewEnabled": line.auto_renew,
        "recurringPrice": money(line.price, purchase.currency),
    }
    if line.installments:
        plan["installmentDetails"] = {
            "remainingCommittedPaymentsCount": line.installments,
            **({"pendingCancellation": {}} if purchase.pending_cancel else {}),
        }
    change = line.price_change
    if change is not None:
        plan["priceChangeDetails"] = {
            "newPrice": money(change.amount, purchase.currency),
            "priceChangeMode": change.mode,
            "priceChangeState": change.state,
            "expectedNewPriceChargeTime": wire_instant(change.charge_at),
        }
    return {**found, "autoRenewingPlan": plan}


def order_view(order: Order) -> dict[str, Any]:
    """`Order`."""
    currency = order.currency
    tax = sum(line.tax for line in order.lines)
    revenue = max(0, order.total - tax - order.fee - order.refunded)
    history: dict[str, Any] = {"processedEvent": {"eventTime": wire_instant(order.created_at)}}
    if order.refunds and order.state == "REFUNDED" and len(order.refunds) == 1:
        at, _, amount = order.refunds[0]
        history["refundEvent"] = {"eventTime": wire_instant(at), "refundDetails": _refund(amount, order)}
    elif order.refunds:
        history["partialRefundEvents"] = [
            {
                "createTime": wire_instant(at),
                "processTime": wire_instant(at),
                "state": "PROCESSED_SUCCESSFULLY",
                "refundDetails": _refund(amount, order),
            }
            for at, _, amount in order.refunds
        ]
    return {
        "orderId": order.order_id,
        "purchaseToken": order.token,
        "state": order.state,
        "createTime": wire_instant(order.created_at),
        "lastEventTime": wire_instant(order.voided_at or order.created_at),
        "lineItems": [_order_line(order, line) for line in order.lines],
        "total": money(order.total, currency),
        "tax": money(tax, currency),
        "developerRevenueInBuyerCurrency": money(revenue, currency),
        "orderDetails": {"taxInclusive": True},
        "orderHistory": history,
        "buyerAddress": {"buyerCountry": "US"},
        "salesChannel": "IN_APP",
    }


def voided_view(order: Order) -> dict[str, Any]:
    """`VoidedPurchase`."""
    voided = order.voided_at or order.created_at
    return {
        "kind": "androidpublisher#voidedPurchase",
        "orderId": order.order_id,
        "purchaseToken": order.token,
        "purchaseTimeMillis": str(int(order.created_at.timestamp() * 1000)),
        "voidedTimeMillis": str(int(voided.timestamp() * 1000)),
        "voidedReason": 0,
        "voidedSource": 1,
    }


def _refund(amount: int, order: Order) -> dict[str, Any]:
    tax = sum(line.tax for line in order.lines)
    part = round(tax * amount / order.total) if order.total else 0
    return {"total": money(amount, order.currency), "tax": money(part, order.currency)}


def _order_line(order: Order, line: OrderLine) -> dict[str, Any]:
    found = {
        "productId": line.product_id,
        "productTitle": line.product_id,
        "total": money(line.total, order.currency),
        "tax": money(line.tax, order.currency),
        "listingPrice": money(line.total, order.currency),
    }
    if not line.is_subscription:
        return {**found, "oneTimePurchaseDetails": {"quantity": 1}}
    phase: dict[str, Any] = {"prorationPeriodDetails": {}} if line.is_prorated else {"baseDetails": {}}
    details: dict[str, Any] = {"basePlanId": "monthly", "offerPhaseDetails": phase}
    if line.start is not None and line.end is not None:
        details["servicePeriodStartTime"] = wire_instant(line.start)
        details["servicePeriodEndTime"] = wire_instant(line.end)
    return {**found, "subscriptionDetails": details}
