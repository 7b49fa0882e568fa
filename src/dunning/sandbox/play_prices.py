"""Price migrations at the sandbox's Google Play: cohorts are moved by the rules of `domain/play_prices`. Sheet G.6."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from dunning.domain import play_prices
from dunning.domain.play_actions import PlayState
from dunning.domain.play_prices import Migration, PriceChangeMode, PriceChangeState
from dunning.sandbox.errors import ApiError
from dunning.sandbox.here import Here
from dunning.sandbox.play_book import Line, PlayBook, PriceChange, Purchase, later
from dunning.sandbox.play_desk import Kind, PlayDesk
from dunning.sandbox.play_views import purchase_view

OPT_OUT = "PRICE_INCREASE_TYPE_OPT_OUT"
RENEWALS = 60
_OVER = (PlayState.EXPIRED, PlayState.CANCELED, PlayState.PENDING, PlayState.PENDING_PURCHASE_CANCELED)

router = APIRouter(prefix="/_sandbox/play")


class SetPrice(BaseModel):
    """What new subscribers of a base plan pay from now on; those of before stay in the cohort of their price."""

    model_config = ConfigDict(extra="forbid")

    product_id: str
    base_plan_id: str = "monthly"
    amount: int = Field(ge=0)


class Migrate(BaseModel):
    """A migration that reaches one purchase at an instant of its own clock. `amount` in minor units."""

    model_config = ConfigDict(extra="forbid")

    at: datetime
    product_id: str
    amount: int = Field(ge=0)
    is_opt_out: bool = False


@router.post("/prices")
async def set_price(sandbox: Here, body: SetPrice) -> dict[str, Any]:
    """The catalogue's price of a base plan; `migratePrices` takes older cohorts to it."""
    sandbox.play.book.prices[body.product_id, body.base_plan_id] = body.amount
    return {"prices": len(sandbox.play.book.prices)}


@router.post("/purchases/{token}/migrations")
async def migrate_one(sandbox: Here, token: str, body: Migrate) -> dict[str, Any]:
    """The migration of one item of one purchase begins."""
    purchase = sandbox.play.book.purchases.get(token)
    line = purchase.line(body.product_id) if purchase is not None else None
    if purchase is None or line is None:
        raise ApiError("NOT_FOUND", f"There is no item {body.product_id} of {token}.")
    sandbox.play.desk.advance(purchase, body.at)
    begin(sandbox.play.desk, purchase, line, body.amount, is_opt_out=body.is_opt_out)
    return purchase_view(purchase)


def migrate(book: PlayBook, desk: PlayDesk, product_id: str, base_plan_id: str, row: Mapping[str, str]) -> None:
    """`migratePrices` for one region: every older cohort of the base plan is taken to the price of today."""
    amount = book.prices.get((product_id, base_plan_id))
    oldest = datetime.fromisoformat(row["oldestAllowedPriceVersionTime"])
    if amount is None:
        return
    for purchase in book.purchases.values():
        if purchase.region != row["regionCode"] or purchase.state in _OVER:
            continue
        for line in purchase.lines:
            is_of_it = (line.product_id, line.base_plan_id) == (product_id, base_plan_id) and line.price != amount
            if is_of_it and play_prices.is_migrated(line.bought_at or purchase.clock, oldest):
                begin(desk, purchase, line, amount, is_opt_out=row.get("priceIncreaseType") == OPT_OUT)


def begin(desk: PlayDesk, purchase: Purchase, line: Line, amount: int, *, is_opt_out: bool) -> None:
    """A migration reaches one item: registered, or held back while another item's increase waits for consent."""
    migration = Migration(
        product_id=line.product_id,
        old_amount=line.price,
        new_amount=amount,
        started_on=purchase.clock.date(),
        is_opt_out=is_opt_out,
    )
    if not _register(desk, purchase, migration):
        purchase.held.append(migration)


def register_held(desk: PlayDesk, purchase: Purchase) -> None:
    """What was held back is taken up, as far as nothing else waits."""
    held, purchase.held = purchase.held, []
    purchase.held = [one for one in held if not _register(desk, purchase, one)]


def _register(desk: PlayDesk, purchase: Purchase, migration: Migration) -> bool:
    line = purchase.line(migration.product_id)
    if line is None:
        return True
    renewals = {at.date(): at for n in range(RENEWALS) if (at := later(line.expiry, line.period, n)) > purchase.clock}
    new = play_prices.proposed(migration, sorted(renewals))
    others = [_known(one) for one in purchase.lines if one.price_change is not None]
    if not play_prices.is_registered(new, others):
        return False
    line.price_change = PriceChange(new.mode.value, new.state.value, new.new_amount, renewals[new.charge_on])
    desk.changed(purchase, Kind.PRICE_CHANGE_UPDATED)
    return True


def _known(line: Line) -> play_prices.PriceChange:
    change = line.price_change
    if change is None:
        raise LookupError(line.product_id)
    return play_prices.PriceChange(
        product_id=line.product_id,
        mode=PriceChangeMode(change.mode),
        state=PriceChangeState(change.state),
        new_amount=change.amount,
        charge_on=change.charge_at.astimezone(UTC).date(),
    )
