"""What may be asked of a Play purchase, and what we refuse before asking, with the reason. SPEC 9, 12.

Everything here is judged by what was read of Google Play last; nothing is computed. A refusal names where the
customer can act, if only the customer can.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlencode

from dunning.domain.base import Value

MAX_DEFER_DAYS = 365
REFUND_YEARS = 3
ACKNOWLEDGE_DAYS = 3
"""A purchase that is not acknowledged so soon is given back by Google Play; renewals need none."""
TOKEN_DAYS = 60
"""A purchase can be asked about until so many days after it expired."""
SUBSCRIPTIONS_URL = "https://play.google.com/store/account/subscriptions"


class PlayState(StrEnum):
    """Where a purchase stands, in Google Play's words without their prefix."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    IN_GRACE_PERIOD = "IN_GRACE_PERIOD"
    ON_HOLD = "ON_HOLD"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    PENDING_PURCHASE_CANCELED = "PENDING_PURCHASE_CANCELED"


DECLINED = frozenset({PlayState.IN_GRACE_PERIOD, PlayState.ON_HOLD})
"""A renewal was declined and is not paid yet."""
_OVER = frozenset({PlayState.EXPIRED, PlayState.PENDING_PURCHASE_CANCELED})


class CanceledBy(StrEnum):
    """Who ended the renewals."""

    USER = "user"
    DEVELOPER = "developer"
    SYSTEM = "system"
    REPLACEMENT = "replacement"


class ReadItem(Value):
    """One item as it was read. `until`: the expiry, UTC. `order_id`: of its latest paid order."""

    product_id: str
    until: datetime | None = None
    is_renewing: bool = False
    is_prepaid: bool = False
    order_id: str | None = None
    is_resubscribable: bool = True
    commitment_left: int = 0


class ReadPurchase(Value):
    """A purchase as it was read last: the only ground for access and for refusals."""

    state: PlayState
    items: tuple[ReadItem, ...] = ()
    canceled_by: CanceledBy | None = None
    is_acknowledged: bool = True
    started_at: datetime | None = None

    @property
    def is_prepaid(self) -> bool:
        """Whether it is a prepaid purchase, which never renews by itself."""
        return bool(self.items) and all(item.is_prepaid for item in self.items)


class ReadOrder(Value):
    """An order as it was read. `total` in minor units; `is_latest`: of its subscription."""

    order_id: str
    state: str
    created_at: datetime
    total: int
    currency: str
    is_subscription: bool = True
    is_latest: bool = True


class Afterwards(Value):
    """What the customer can still do after a cancellation. `runs_on`: instalments that are charged all the same."""

    can_restore: bool
    can_resubscribe: bool
    in_app_only: bool
    runs_on: int


def has_access(purchase: ReadPurchase, item: ReadItem, at: datetime) -> bool:
    """Whether an item gives access at `at`, by what was read. Nothing on hold, paused, pending or over.

    A read that is older than an item's expiry says nothing about a renewal, so it opens nothing after it.
    """
    if purchase.state not in (PlayState.ACTIVE, PlayState.IN_GRACE_PERIOD, PlayState.CANCELED):
        return False
    return item.until is not None and at < item.until


def access_until(purchase: ReadPurchase, at: datetime) -> datetime | None:
    """The latest instant up to which some item gives access; None: none does now."""
    ends = [item.until for item in purchase.items if item.until is not None and has_access(purchase, item, at)]
    return max(ends, default=None)


def deep_link(package_name: str, product_id: str | None = None) -> str:
    """Where the customer sees and manages this subscription in Google Play."""
    query = {"sku": product_id} if product_id else {}
    return f"{SUBSCRIPTIONS_URL}?{urlencode({**query, 'package': package_name})}"


def refuses_cancel(purchase: ReadPurchase, product_ids: Sequence[str] = ()) -> str | None:
    """Why a purchase cannot be canceled; None: it can. Only the whole of it can be."""
    if product_ids:
        return "Google Play cancels whole purchases only; remove an add-on with change_items or revoke it"
    if purchase.state in _OVER:
        return "the purchase is over"
    if purchase.is_prepaid:
        return "a prepaid plan does not renew, so there is nothing to cancel"
    return None


def after_cancel(purchase: ReadPurchase, *, by_user: bool) -> Afterwards:
    """What a cancellation leaves open: as by the customer, or (also without a type) by the developer."""
    left = max((item.commitment_left for item in purchase.items), default=0)
    can_again = by_user and all(item.is_resubscribable for item in purchase.items)
    return Afterwards(
        can_restore=by_user, can_resubscribe=can_again, in_app_only=not by_user, runs_on=left if by_user else 0
    )


def refuses_defer(purchase: ReadPurchase, days: int) -> str | None:
    """Why the next renewal (prepaid: the expiry) cannot be put off by `days`."""
    if not 1 <= days <= MAX_DEFER_DAYS:
        return f"Google Play defers by 1 to {MAX_DEFER_DAYS} days at a time"
    if purchase.state is not PlayState.ACTIVE:
        return f"Google Play defers active purchases only; this one is {_words(purchase.state)}"
    return None


def refuses_refund(order: ReadOrder, at: datetime, amount: int | None = None) -> str | None:
    """Why an order cannot be refunded: `amount` None is all of it. A part is the Console's alone."""
    if amount is not None and amount != order.total:
        return "Google Play's API refunds whole orders only; refund a part in the Play Console"
    if order.state in ("REFUNDED", "PENDING_REFUND"):
        return "the order is refunded already"
    if order.state not in ("PROCESSED", "PARTIALLY_REFUNDED"):
        return f"the order is {order.state.lower()}: nothing was paid that could be refunded"
    if at > _years_later(order.created_at, REFUND_YEARS):
        return f"Google Play refunds orders within {REFUND_YEARS} years only"
    return None


def revokes_too(order: ReadOrder) -> bool:
    """Whether a refund with `revoke` ends access: a subscription's only if it is its latest order."""
    return order.is_latest or not order.is_subscription


def refuses_revoke(purchase: ReadPurchase, product_id: str | None, at: datetime) -> str | None:
    """Why a purchase, or (`product_id`) one of its items, cannot be revoked."""
    if purchase.state in _OVER:
        return "the purchase is over: there is no access to revoke"
    if purchase.state is PlayState.PENDING:
        return "the purchase is not paid yet: there is nothing to revoke"
    if product_id is None:
        return None
    if purchase.is_prepaid:
        return "Google Play revokes no single items of prepaid plans"
    if purchase.state in DECLINED:
        return f"Google Play revokes no single item while a payment is declined ({_words(purchase.state)})"
    item = next((one for one in purchase.items if one.product_id == product_id), None)
    if item is None:
        return f"the purchase has no item {product_id!r}"
    if item.until is None or item.order_id is None:
        return f"the item {product_id!r} is not owned yet"
    if item.until <= at:
        return f"the item {product_id!r} has expired"
    return None


def ends_with(purchase: ReadPurchase, product_id: str, at: datetime) -> bool:
    """Whether revoking this item leaves no active one, so that the whole subscription is canceled."""
    others = [item for item in purchase.items if item.product_id != product_id]
    return not any(item.until is not None and item.until > at for item in others)


def acknowledge_by(purchase: ReadPurchase) -> datetime | None:
    """The instant by which it must be acknowledged; None: nothing to acknowledge."""
    if purchase.is_acknowledged or purchase.started_at is None:
        return None
    return purchase.started_at + timedelta(days=ACKNOWLEDGE_DAYS)


def _words(state: PlayState) -> str:
    return state.value.lower().replace("_", " ")


def _years_later(at: datetime, years: int) -> datetime:
    try:
        return at.replace(year=at.year + years)
    except ValueError:  # Feb 29
        return at.replace(year=at.year + years, day=28)
