"""The control API of the sandbox's Google Play: purchases, their customers' deeds, and their clocks."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from dunning.domain.play_actions import CanceledBy, PlayState
from dunning.sandbox.book import machine_now, new_id
from dunning.sandbox.errors import ApiError
from dunning.sandbox.here import Here
from dunning.sandbox.play_book import Line, OneTime, Order, OrderLine, PriceChange, Purchase, later
from dunning.sandbox.play_desk import TAX_PERCENT, Kind, PlayDesk
from dunning.sandbox.play_errors import PlayError
from dunning.sandbox.play_prices import register_held
from dunning.sandbox.play_views import order_view, purchase_view

router = APIRouter(prefix="/_sandbox/play")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewLine(_Body):
    """One item to be bought. `price` in minor units; `trial_days`: free at first; `expires_at`: instead of a period."""

    product_id: str
    price: int = Field(ge=0)
    base_plan_id: str = "monthly"
    is_base: bool = False
    period: str = "P1M"
    grace_days: int = Field(default=0, ge=0, le=30)
    hold_days: int = Field(default=30, ge=0, le=60)
    trial_days: int = Field(default=0, ge=0)
    is_prepaid: bool = False
    is_resubscribable: bool = True
    installments: int = Field(default=0, ge=0)

    def line(self, at: datetime) -> Line:
        """The item as it is bought at `at`."""
        trial = self.trial_days > 0
        end = later(at, f"P{self.trial_days}D") if trial else later(at, self.period)
        given = self.model_dump(exclude={"trial_days"})
        return Line(**given, expiry=end, is_in_trial=trial)


class NewPurchase(_Body):
    """A purchase that the app made. `script`: what becomes of its renewals: `SUCCEEDED`, `DECLINED`, `DECLINED/3d`."""

    token: str
    package: str
    at: datetime
    currency: str = "USD"
    region: str = "US"
    account: str | None = None
    script: list[str] = Field(default_factory=list)
    linked_token: str | None = None
    revived_token: str | None = None
    is_pending: bool = False
    items: list[NewLine] = Field(min_length=1, max_length=50)


class Deed(_Body):
    """Something that the customer does in Google Play, at an instant of the purchase's clock."""

    deed: Literal[
        "repair",
        "cancel",
        "restore",
        "pause",
        "resume",
        "confirm_price",
        "pending_paid",
        "pending_canceled",
        "consent_asked",
        "nothing",
    ]
    at: datetime | None = None
    days: int = Field(default=30, ge=1)


class AddItem(_Body):
    """An item that the customer adds."""

    at: datetime
    item: NewLine


class SetPrice(_Body):
    """A price change that Google registered for one item."""

    product_id: str
    amount: int
    mode: Literal["PRICE_DECREASE", "PRICE_INCREASE", "OPT_OUT_PRICE_INCREASE"]
    state: Literal["OUTSTANDING", "CONFIRMED", "CANCELED"] = "OUTSTANDING"
    charge_at: datetime


class BuyOnce(_Body):
    """A one-time purchase. `price` in minor units."""

    token: str
    package: str
    product_id: str
    price: int
    currency: str = "USD"
    at: datetime


class Moment(_Body):
    """An instant of a purchase's clock."""

    at: datetime


@router.post("/purchases", status_code=201)
async def buy(sandbox: Here, body: NewPurchase) -> dict[str, Any]:
    """The customer buys a subscription, perhaps with add-ons, perhaps after an older one or in place of it."""
    _require_resubscribable(sandbox.play.book.purchases.get(body.revived_token or ""))
    lines = [one.line(body.at) for one in body.items]
    given = body.model_dump(exclude={"items", "at", "is_pending"})
    purchase = Purchase(**given, lines=lines, clock=body.at)
    if body.is_pending:
        purchase.state, purchase.acknowledged = PlayState.PENDING, True
        sandbox.play.book.purchases[purchase.token] = purchase
        return purchase_view(purchase)
    old = sandbox.play.book.purchases.get(body.linked_token or "")
    sandbox.play.desk.begin(purchase)
    if old is not None and old.state is not PlayState.EXPIRED:
        old.canceled_by = CanceledBy.REPLACEMENT
        sandbox.play.desk.end_now(old, refunds=False)
    return purchase_view(purchase)


@router.get("/purchases/{token}")
async def read(sandbox: Here, token: str) -> dict[str, Any]:
    """A purchase as it stands, with its clock, and when something happens by itself on it (null: never again)."""
    purchase = _purchase(sandbox.play.book.purchases, token)
    following = sandbox.play.desk.next_at(purchase)
    times = {"clock": purchase.clock.isoformat(), "next_at": following.isoformat() if following else None}
    return {**times, **purchase_view(purchase)}


@router.post("/purchases/{token}/advance")
async def advance(sandbox: Here, token: str, body: Moment) -> dict[str, Any]:
    """Let the purchase live up to an instant."""
    purchase = _purchase(sandbox.play.book.purchases, token)
    sandbox.play.desk.advance(purchase, body.at)
    return purchase_view(purchase)


@router.post("/purchases/{token}/items")
async def add_item(sandbox: Here, token: str, body: AddItem) -> dict[str, Any]:
    """The customer adds an item."""
    purchase = _purchase(sandbox.play.book.purchases, token)
    sandbox.play.desk.advance(purchase, body.at)
    sandbox.play.desk.add(purchase, body.item.line(body.at))
    return purchase_view(purchase)


@router.delete("/purchases/{token}/items/{product_id}")
async def remove_item(sandbox: Here, token: str, product_id: str) -> dict[str, Any]:
    """The customer removes an item: it is had to the end of its period."""
    purchase = _purchase(sandbox.play.book.purchases, token)
    line = purchase.line(product_id)
    if line is None:
        raise ApiError("NOT_FOUND", f"There is no item {product_id}.")
    line.is_removed = True
    sandbox.play.desk.changed(purchase, Kind.ITEMS_CHANGED)
    return purchase_view(purchase)


@router.post("/purchases/{token}/deeds")
async def deed(sandbox: Here, token: str, body: Deed) -> dict[str, Any]:
    """The customer does something in Google Play."""
    purchase = _purchase(sandbox.play.book.purchases, token)
    if body.at is not None:
        sandbox.play.desk.advance(purchase, body.at)
    try:
        _do(sandbox.play.desk, purchase, body)
    except PlayError as error:
        raise ApiError("INVALID_REQUEST_BODY", error.message) from None
    return purchase_view(purchase)


@router.post("/purchases/{token}/price")
async def price(sandbox: Here, token: str, body: SetPrice) -> dict[str, Any]:
    """A price change is registered for an item."""
    purchase = _purchase(sandbox.play.book.purchases, token)
    line = purchase.line(body.product_id)
    if line is None:
        raise ApiError("NOT_FOUND", f"There is no item {body.product_id}.")
    line.price_change = PriceChange(body.mode, body.state, body.amount, body.charge_at)
    sandbox.play.desk.changed(purchase, Kind.PRICE_CHANGE_UPDATED)
    return purchase_view(purchase)


@router.post("/one-time", status_code=201)
async def buy_once(sandbox: Here, body: BuyOnce) -> dict[str, Any]:
    """The customer buys something once."""
    order_id = f"GPA.{new_id('once')}"
    line = OrderLine(
        product_id=body.product_id,
        total=body.price,
        tax=round(body.price * TAX_PERCENT / (100 + TAX_PERCENT)),
        is_subscription=False,
    )
    order = Order(order_id, body.token, body.currency, body.at, [line])
    sandbox.play.book.orders[order_id] = order
    sandbox.play.book.one_time[body.token] = OneTime(body.token, body.package, body.product_id, order_id)
    sandbox.play.tell_one_time(sandbox.play.book.one_time[body.token], 1, body.at)
    return order_view(order)


@router.get("/orders")
async def orders(sandbox: Here, token: str | None = None) -> dict[str, Any]:
    """Every order, oldest first."""
    found = [one for one in sandbox.play.book.orders.values() if token in (None, one.token)]
    return {"orders": [order_view(one) for one in found]}


@router.get("/migrations")
async def migrations(sandbox: Here) -> dict[str, Any]:
    """The price migrations that were asked for."""
    return {"migrations": sandbox.play.book.migrations}


@router.post("/etag-conflicts")
async def conflicts(sandbox: Here, times: int = 1) -> dict[str, Any]:
    """So many of the next deferrals meet a purchase that has just changed."""
    sandbox.play.etag_conflicts = times
    return {"times": times}


def _require_resubscribable(old: Purchase | None) -> None:
    """Google Play offers it after the end, where the base plan has it and the developer did not stop the payments."""
    if old is None:
        return
    is_stopped = old.canceled_by is CanceledBy.DEVELOPER and not old.can_restore
    if old.state is not PlayState.EXPIRED or is_stopped or not all(line.is_resubscribable for line in old.lines):
        raise ApiError("INVALID_REQUEST_BODY", "the customer is not offered to subscribe again")


def _do(desk: PlayDesk, purchase: Purchase, body: Deed) -> None:
    if body.deed == "repair":
        desk.repair(purchase)
    elif body.deed == "cancel":
        desk.cancel(purchase, CanceledBy.USER, can_restore=True)
    elif body.deed == "restore":
        _restore(desk, purchase)
    elif body.deed == "pause":
        purchase.pause_days = body.days
        desk.changed(purchase, Kind.PAUSE_SCHEDULE_CHANGED)
    elif body.deed == "resume" and purchase.state is PlayState.PAUSED:
        desk.resume(purchase)
    elif body.deed == "confirm_price":
        _confirm(desk, purchase)
    elif body.deed == "pending_paid" and purchase.state is PlayState.PENDING:
        purchase.state, purchase.acknowledged = PlayState.ACTIVE, False
        desk.begin(purchase)
    elif body.deed == "pending_canceled" and purchase.state is PlayState.PENDING:
        purchase.state = PlayState.PENDING_PURCHASE_CANCELED
        desk.changed(purchase, Kind.PENDING_PURCHASE_CANCELED)
    elif body.deed == "consent_asked":
        desk.changed(purchase, Kind.PRICE_STEP_UP_CONSENT_UPDATED)


def _restore(desk: PlayDesk, purchase: Purchase) -> None:
    if purchase.state is not PlayState.CANCELED or not purchase.can_restore:
        raise PlayError(400, "invalid", "it cannot be restored")
    for line in purchase.lines:
        line.auto_renew = True
    purchase.state, purchase.canceled_by = PlayState.ACTIVE, None
    desk.changed(purchase, Kind.RESTARTED)


def _confirm(desk: PlayDesk, purchase: Purchase) -> None:
    """All unconfirmed increases at once: there is no other way."""
    for line in purchase.lines:
        if line.price_change is not None and line.price_change.state == "OUTSTANDING":
            line.price_change.state = "CONFIRMED"
    desk.changed(purchase, Kind.PRICE_CHANGE_UPDATED)
    register_held(desk, purchase)


def _purchase(purchases: dict[str, Purchase], token: str) -> Purchase:
    found = purchases.get(token)
    if found is None:
        raise ApiError("NOT_FOUND", f"There is no purchase {token}; it is {machine_now().date()}.")
    return found
