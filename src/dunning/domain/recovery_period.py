"""What becomes of a purchase of several items when a renewal is declined. SPEC 12, "Google Play with add-ons".

One declined renewal puts the **whole** purchase into grace and then on hold, however few of its items were to
renew. This is the model of those rules: it feeds the sandbox, previews and forecasts. Who has access is never taken
from here but from what was read of the provider.

Every instant is UTC. An item's time is `[.., paid_until)`; a charge pays `[paid_until, renews_to)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from dunning.domain.base import Value


class HeldItem(Value):
    """One item of a purchase at the instant of a declined renewal.

    Attributes:
        grace_days, hold_days: of its own base plan.
        paid_until: the end of the time that is paid for (or given, in a trial).
        renews_to: the end of the time that its next charge pays.
        is_new: added by the very renewal that was declined, so never entitled before it is paid.
        is_removed: removed or revoked; it does not renew.
    """

    product_id: str
    grace_days: int = Field(ge=0, le=30)
    hold_days: int = Field(ge=0, le=60)
    paid_until: datetime
    renews_to: datetime
    is_new: bool = False
    is_removed: bool = False


class Chosen(Value):
    """The lengths that apply to one declined renewal, and the items that they were taken from."""

    grace_days: int
    hold_days: int
    product_ids: tuple[str, ...]


class Phase(StrEnum):
    """Where a declined purchase stands."""

    GRACE = "grace"
    HOLD = "hold"
    OVER = "over"


class ItemFuture(Value):
    """What one item gives after the decline is over.

    Attributes:
        until: access from the end of the decline to here; None: nothing is left, the item is lost.
        charged_at: when its next charge was (or is) tried; None: not because of this decline.
    """

    product_id: str
    until: datetime | None
    charged_at: datetime | None = None


class Decline(Value):
    """A declined renewal. `declined_at`: when. Items that were paid up to exactly then are what it was to renew;
    what ran out before is no part of the purchase any more.
    """

    items: tuple[HeldItem, ...] = Field(min_length=1, max_length=50)
    declined_at: datetime
    chosen: Chosen

    @property
    def grace_until(self) -> datetime:
        """The end of grace: access until here."""
        return self.declined_at + timedelta(days=self.chosen.grace_days)

    @property
    def hold_until(self) -> datetime:
        """The end of hold: unpaid, the purchase is canceled here."""
        return self.grace_until + timedelta(days=self.chosen.hold_days)

    def phase(self, at: datetime) -> Phase:
        """Where it stands while it is not paid."""
        if at < self.grace_until:
            return Phase.GRACE
        return Phase.HOLD if at < self.hold_until else Phase.OVER

    def has_access(self, item: HeldItem, at: datetime) -> bool:
        """Whether an item gives access at an instant while the renewal stays unpaid.

        In grace: everything that was active in the previous period, also items that reach their own renewal meanwhile.
        On hold: nothing, however much of an item's own period is left.
        """
        return self.phase(at) is Phase.GRACE and item in _active(self.items, self.declined_at)


def choose(items: Sequence[HeldItem], declined_at: datetime) -> Chosen | None:
    """The recovery period: the minimum grace among the items that were active; of several, the longest hold.

    New items and items that were removed or ran out before the renewal have no say. None when no item was active:
    then there is nothing to recover, the purchase itself failed.
    """
    active = _active(items, declined_at)
    if not active:
        return None
    grace = min(item.grace_days for item in active)
    shortest = [item for item in active if item.grace_days == grace]
    hold = max(item.hold_days for item in shortest)
    product_ids = tuple(item.product_id for item in shortest if item.hold_days == hold)
    return Chosen(grace_days=grace, hold_days=hold, product_ids=product_ids)


def declined(items: Sequence[HeldItem], declined_at: datetime) -> Decline | None:
    """The decline of the renewal of every item that is paid up to `declined_at`; None as in `choose`."""
    chosen = choose(items, declined_at)
    if chosen is None:
        return None
    return Decline(items=tuple(items), declined_at=declined_at, chosen=chosen)


def recovered(decline: Decline, at: datetime) -> tuple[ItemFuture, ...]:
    """Every item after the payment at `at`, which lies before `hold_until`.

    In grace the calendar is unchanged. On hold the time stood still: what was paid comes back from `at` on, and what
    is paid now begins at `at`. Items whose own renewal came during grace are charged only now.

    Raises:
        ValueError: `at` is before the decline, or the hold is over.
    """
    if not decline.declined_at <= at < decline.hold_until:
        raise ValueError(f"at: a recovery lies between the decline and {decline.hold_until.isoformat()}")
    stood_still = max(at - decline.grace_until, timedelta(0))
    return tuple(_after_recovery(decline, item, at, stood_still) for item in decline.items)


def not_recovered(decline: Decline, at: datetime | None = None) -> tuple[ItemFuture, ...]:
    """Every item after the decline ended unpaid: at the end of the hold, or canceled at `at`.

    What was to be paid is lost; the other items go on for what was left of their time when the hold began.

    Raises:
        ValueError: `at` is before the decline.
    """
    end = decline.hold_until if at is None else min(at, decline.hold_until)
    if end < decline.declined_at:
        raise ValueError("at: nothing was declined yet")
    stood_still = max(end - decline.grace_until, timedelta(0))
    return tuple(
        ItemFuture(product_id=item.product_id, until=_left(decline, item, stood_still, end)) for item in decline.items
    )


def _active(items: Sequence[HeldItem], declined_at: datetime) -> list[HeldItem]:
    # An item that was removed gives what is paid of it, but has no say where nothing of it is left.
    return [item for item in items if not item.is_new and not item.is_removed and item.paid_until >= declined_at]


def _is_owed(item: HeldItem, declined_at: datetime) -> bool:
    return not item.is_removed and (item.is_new or item.paid_until == declined_at)


def _after_recovery(decline: Decline, item: HeldItem, at: datetime, stood_still: timedelta) -> ItemFuture:
    is_held = at >= decline.grace_until
    reached_in_grace = decline.declined_at < item.paid_until <= min(at, decline.grace_until)
    if _is_owed(item, decline.declined_at) or (reached_in_grace and not item.is_removed):
        paid = item.renews_to - item.paid_until
        until = at + paid if is_held or item.is_new else item.renews_to
        return ItemFuture(product_id=item.product_id, until=until, charged_at=at)
    return ItemFuture(product_id=item.product_id, until=_left(decline, item, stood_still, at))


def _left(decline: Decline, item: HeldItem, stood_still: timedelta, end: datetime) -> datetime | None:
    if _is_owed(item, decline.declined_at):
        return None
    held = item.paid_until > decline.grace_until
    until = item.paid_until + (stood_still if held else timedelta(0))
    return until if until > end else None
