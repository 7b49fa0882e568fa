"""Google Play as one part of a sandbox: its books, its desk, its key, and the way its notifications go out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from dunning.sandbox.play_book import OneTime, Order, PlayBook, Purchase
from dunning.sandbox.play_desk import PlayDesk
from dunning.sandbox.play_push import SigningKey, notification, push_event
from dunning.sandbox.settings import SandboxSettings
from dunning.sandbox.webhooks import Courier

PROVIDER = "google_play"
MOST_VOIDED = 1000


class PlayWorld:
    """Everything of Google Play's in one sandbox.

    Attributes:
        etag_conflicts: so many deferrals meet a changed purchase.
        voided_page: voided purchases on one page, at most.
    """

    def __init__(self, courier: Courier, settings: Callable[[], SandboxSettings]) -> None:
        self._courier = courier
        self._settings = settings
        self.key = SigningKey()
        self.book = PlayBook()
        self.desk = PlayDesk(self.book, self.tell)
        self.etag_conflicts = 0
        self.voided_page = MOST_VOIDED

    def clear(self) -> None:
        """Forget everything but the key."""
        self.book.clear()
        self.etag_conflicts = 0
        self.voided_page = MOST_VOIDED

    def tell(self, purchase: Purchase, kind: int) -> None:
        """A notification about a subscription: it only says that something changed."""
        said = {"version": "1.0", "notificationType": kind, "purchaseToken": purchase.token}
        about = notification(purchase.package, purchase.clock, subscriptionNotification=said)
        self.send(about, f"play.subscription.{kind}", purchase.token)

    def tell_one_time(self, one: OneTime, kind: int, at: datetime) -> None:
        """A notification about a one-time purchase: 1 bought, 2 canceled."""
        said = {"version": "1.0", "notificationType": kind, "purchaseToken": one.token, "sku": one.product_id}
        about = notification(one.package, at, oneTimeProductNotification=said)
        self.send(about, f"play.one_time.{kind}", one.token)

    def tell_voided(self, order: Order, product_type: int) -> None:
        """A purchase was voided: 1 a subscription's, 2 a one-time one; refunded in full."""
        said = {"purchaseToken": order.token, "orderId": order.order_id, "productType": product_type, "refundType": 1}
        once = self.book.one_time.get(order.token)
        package = once.package if once else self.book.purchases[order.token].package
        at = order.voided_at or order.created_at
        self.send(notification(package, at, voidedPurchaseNotification=said), "play.voided", order.token)

    def send(self, about: dict[str, Any], label: str, subject: str) -> None:
        """Hand one notification to the courier."""
        self._courier.send(push_event(self.key, about, label, subject, self._settings()))
