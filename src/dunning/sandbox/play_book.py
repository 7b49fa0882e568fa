"""What the sandbox's Google Play remembers: purchases with their items, orders, voided purchases. Sheet G."""

from __future__ import annotations

import calendar
import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from dunning.domain.play_actions import CanceledBy, PlayState
from dunning.domain.play_prices import Migration
from dunning.domain.recovery_period import Decline
from dunning.sandbox.play_errors import PlayError

_PERIOD = re.compile(r"P(?P<count>[0-9]+)(?P<unit>[DWMY])")


@dataclass
class PriceChange:
    """A price change of one item, in Google's words. Amount in minor units."""

    mode: str
    state: str
    amount: int
    charge_at: datetime


@dataclass
class Line:
    """One item of a purchase. Amounts in minor units; `expiry` is what it has been paid (or given) up to."""

    product_id: str
    price: int
    expiry: datetime
    base_plan_id: str = "monthly"
    is_base: bool = False
    period: str = "P1M"
    grace_days: int = 0
    hold_days: int = 30
    auto_renew: bool = True
    is_removed: bool = False
    is_prepaid: bool = False
    is_in_trial: bool = False
    is_resubscribable: bool = True
    installments: int = 0
    order_id: str | None = None
    price_change: PriceChange | None = None
    bought_at: datetime | None = None


@dataclass
class OrderLine:
    """What one order took for one item; minor units, tax included in `total`."""

    product_id: str
    total: int
    tax: int
    start: datetime | None = None
    end: datetime | None = None
    is_subscription: bool = True
    is_prorated: bool = False


@dataclass
class Order:
    """One order. `refunded`: minor units given back, by item; `fee` is what Google keeps."""

    order_id: str
    token: str
    currency: str
    created_at: datetime
    lines: list[OrderLine]
    state: str = "PROCESSED"
    refunds: list[tuple[datetime, str, int]] = field(default_factory=list)
    voided_at: datetime | None = None

    @property
    def total(self) -> int:
        """What the customer paid, minor units."""
        return sum(line.total for line in self.lines)

    @property
    def refunded(self) -> int:
        """What was given back, minor units."""
        return sum(amount for _, _, amount in self.refunds)

    @property
    def fee(self) -> int:
        """Google's part: 15 % of what is left after tax."""
        return round(sum(line.total - line.tax for line in self.lines) * 15 / 100)


@dataclass
class Purchase:
    """One purchase token and everything that happened to it. `clock` is its own time; nothing else moves it."""

    token: str
    package: str
    currency: str
    lines: list[Line]
    clock: datetime
    region: str = "US"
    state: PlayState = PlayState.ACTIVE
    script: list[str] = field(default_factory=list)
    started_at: datetime | None = None
    acknowledged: bool = False
    linked_token: str | None = None
    account: str | None = None
    decline: Decline | None = None
    pending_order: str | None = None
    repair_at: datetime | None = None
    canceled_by: CanceledBy | None = None
    can_restore: bool = False
    pending_cancel: bool = False
    pause_days: int | None = None
    resume_at: datetime | None = None
    revived_token: str | None = None
    held: list[Migration] = field(default_factory=list)
    version: int = 1
    orders: int = 0

    @property
    def etag(self) -> str:
        """Changes with every change of the purchase."""
        return hashlib.sha256(f"{self.token}/{self.version}".encode()).hexdigest()[:16]

    @property
    def base(self) -> Line:
        """The item that the add-ons are aligned to."""
        return next((line for line in self.lines if line.is_base), self.lines[0])

    def line(self, product_id: str) -> Line | None:
        """One item."""
        return next((line for line in self.lines if line.product_id == product_id), None)


@dataclass
class OneTime:
    """A one-time purchase."""

    token: str
    package: str
    product_id: str
    order_id: str


class PlayBook:
    """All purchases and orders of one sandbox."""

    def __init__(self) -> None:
        self.purchases: dict[str, Purchase] = {}
        self.one_time: dict[str, OneTime] = {}
        self.orders: dict[str, Order] = {}
        self.migrations: list[dict[str, Any]] = []
        self.prices: dict[tuple[str, str], int] = {}

    def clear(self) -> None:
        """Forget everything."""
        self.__init__()  # type: ignore[misc]

    def purchase(self, token: str) -> Purchase:
        """A purchase; raises `purchaseTokenNotFound`, or `gone` when it expired too long ago."""
        found = self.purchases.get(token)
        if found is None:
            raise PlayError(404, "purchaseTokenNotFound", "The purchase token was not found.")
        last = max((line.expiry for line in found.lines), default=found.clock)
        if found.state is PlayState.EXPIRED and found.clock > last + timedelta(days=60):
            raise PlayError(410, "purchaseTokenNoLongerValid", "The subscription has been expired for too long.")
        return found

    def order(self, order_id: str) -> Order:
        """An order; raises `notFound`."""
        found = self.orders.get(order_id)
        if found is None:
            raise PlayError(404, "notFound", f"The order {order_id} was not found.")
        return found

    def latest_orders(self, purchase: Purchase) -> frozenset[str]:
        """The latest paid order of each item."""
        return frozenset(line.order_id for line in purchase.lines if line.order_id)


def later(at: datetime, period: str, times: int = 1) -> datetime:
    """`times` billing periods later. A day that the month lacks is its last one, and stays so from then on."""
    found = _PERIOD.fullmatch(period)
    if found is None:
        raise PlayError(400, "invalid", f"no period: {period}")
    count = int(found["count"]) * times
    if found["unit"] in "DW":
        return at + timedelta(days=count * (7 if found["unit"] == "W" else 1))
    months = at.year * 12 + at.month - 1 + count * (12 if found["unit"] == "Y" else 1)
    year, month = divmod(months, 12)
    day = min(at.day, calendar.monthrange(year, month + 1)[1])
    return at.replace(year=year, month=month + 1, day=day)
