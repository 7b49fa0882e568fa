"""Price changes of existing Play subscribers: who, from when, told from when, and what stands in the way. SPEC 12.

A subscriber stays in the cohort of the price they bought at until that cohort is migrated. Days are UTC dates.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum

from dunning.domain.base import Value

OPT_IN_DAYS = 37
"""From the start of the migration to the first day on which the higher price may be charged."""
FREEZE_DAYS = 7
"""So long Play tells nobody; a migration that is taken back meanwhile was never noticed."""
NOTICE_DAYS = 30
"""Play tells the subscriber from so many days before the first charge at the new price."""
AUTHORIZED_HOURS = 48
"""A renewal may be authorised so early; then it still costs the old price. In IN and BR up to 5 days."""
_AUTHORIZED_LONG = {"IN": 120, "BR": 120}


class PriceChangeMode(StrEnum):
    """Play's words."""

    PRICE_DECREASE = "PRICE_DECREASE"
    PRICE_INCREASE = "PRICE_INCREASE"
    OPT_OUT_PRICE_INCREASE = "OPT_OUT_PRICE_INCREASE"


class PriceChangeState(StrEnum):
    """Play's words; `OUTSTANDING`: waits for the customer's consent."""

    OUTSTANDING = "OUTSTANDING"
    CONFIRMED = "CONFIRMED"
    APPLIED = "APPLIED"
    CANCELED = "CANCELED"


class Migration(Value):
    """A price migration that was started. Amounts in minor units.

    Attributes:
        started_on: the day of the start.
        is_opt_out: asked for as an increase without consent; what does not qualify proceeds as opt-in.
        notice_days: of an opt-out increase, 30 or 60 by country.
    """

    product_id: str
    old_amount: int
    new_amount: int
    started_on: date
    is_opt_out: bool = False
    notice_days: int = NOTICE_DAYS

    @property
    def mode(self) -> PriceChangeMode:
        """What kind of change it is."""
        if self.new_amount <= self.old_amount:
            return PriceChangeMode.PRICE_DECREASE
        return PriceChangeMode.OPT_OUT_PRICE_INCREASE if self.is_opt_out else PriceChangeMode.PRICE_INCREASE

    @property
    def effective_on(self) -> date:
        """The first day on which the new price may be charged."""
        if self.mode is PriceChangeMode.PRICE_DECREASE:
            return self.started_on
        days = self.notice_days if self.mode is PriceChangeMode.OPT_OUT_PRICE_INCREASE else OPT_IN_DAYS
        return self.started_on + timedelta(days=days)


class PriceChange(Value):
    """A migration as it meets one item of one subscriber."""

    product_id: str
    mode: PriceChangeMode
    state: PriceChangeState
    new_amount: int
    charge_on: date

    @property
    def notices_from(self) -> date:
        """From when Play tells the subscriber."""
        return self.charge_on - timedelta(days=NOTICE_DAYS)

    @property
    def is_unconfirmed(self) -> bool:
        """Whether the customer has to agree yet."""
        return self.mode is PriceChangeMode.PRICE_INCREASE and self.state is PriceChangeState.OUTSTANDING


def is_migrated(cohort_at: datetime, oldest_allowed_at: datetime) -> bool:
    """Whether a cohort is moved: all prices set before the given instant are; newer cohorts stay as they are."""
    return cohort_at < oldest_allowed_at


def is_frozen(migration: Migration, on: date) -> bool:
    """Whether an opt-in increase is still untold, so that taking it back goes unnoticed."""
    is_opt_in = migration.mode is PriceChangeMode.PRICE_INCREASE
    return is_opt_in and on < migration.started_on + timedelta(days=FREEZE_DAYS)


def charge_on(migration: Migration, renewals: Sequence[date], commitment_ends_on: date | None = None) -> date:
    """The renewal at which the new price is first charged.

    `renewals`: the item's coming renewals in order. With instalments the price changes when the commitment ends.
    Raises `ValueError` when none of the renewals is late enough.
    """
    earliest = max(migration.effective_on, commitment_ends_on or migration.effective_on)
    found = next((renewal for renewal in renewals if renewal >= earliest), None)
    if found is None:
        raise ValueError(f"renewals: none on or after {earliest.isoformat()}")
    return found


def proposed(migration: Migration, renewals: Sequence[date], commitment_ends_on: date | None = None) -> PriceChange:
    """The change as it would be registered: an opt-in increase waits for consent, everything else does not."""
    mode = migration.mode
    waits = mode is PriceChangeMode.PRICE_INCREASE
    return PriceChange(
        product_id=migration.product_id,
        mode=mode,
        state=PriceChangeState.OUTSTANDING if waits else PriceChangeState.CONFIRMED,
        new_amount=migration.new_amount,
        charge_on=charge_on(migration, renewals, commitment_ends_on),
    )


def is_registered(new: PriceChange, others: Sequence[PriceChange]) -> bool:
    """Whether a change is taken up now, next to the purchase's `others`.

    While an opt-in increase of another item is unconfirmed, a new one counts only if it would be charged at the same
    renewal. It is taken up when the customer has confirmed.
    """
    if not new.is_unconfirmed:
        return True
    waiting = [one for one in others if one.is_unconfirmed and one.product_id != new.product_id]
    return all(one.charge_on == new.charge_on for one in waiting)


def register(new: PriceChange, others: Sequence[PriceChange]) -> tuple[PriceChange, ...]:
    """The purchase's changes afterwards: an older open change of the same item is canceled by the newer one.

    Unchanged where `new` is not taken up (`is_registered`).
    """
    if not is_registered(new, others):
        return tuple(others)
    is_open = (PriceChangeState.OUTSTANDING, PriceChangeState.CONFIRMED)
    kept = [
        one.but(state=PriceChangeState.CANCELED) if one.product_id == new.product_id and one.state in is_open else one
        for one in others
    ]
    return (*kept, new)


def confirm(changes: Sequence[PriceChange]) -> tuple[PriceChange, ...]:
    """The customer agrees: to all unconfirmed increases at once, there is no other way."""
    return tuple(one.but(state=PriceChangeState.CONFIRMED) if one.is_unconfirmed else one for one in changes)


class Renewal(Value):
    """What a renewal makes of the open price changes. `is_canceled`: consent was missing, the purchase ends here."""

    changes: tuple[PriceChange, ...]
    applied: tuple[PriceChange, ...]
    is_canceled: bool


def at_renewal(changes: Sequence[PriceChange], on: date, *, is_authorized_before: bool = False) -> Renewal:
    """Apply what is due on a renewal's day.

    `is_authorized_before`: the renewal was authorised before a decrease was known, and keeps the old price.
    """
    lapsed = [one for one in changes if one.is_unconfirmed and one.charge_on <= on]
    if lapsed:
        ended = tuple(one.but(state=PriceChangeState.CANCELED) if one in lapsed else one for one in changes)
        return Renewal(changes=ended, applied=(), is_canceled=True)
    due = [one for one in changes if _is_due(one, on, is_authorized_before=is_authorized_before)]
    after = tuple(one.but(state=PriceChangeState.APPLIED) if one in due else one for one in changes)
    return Renewal(changes=after, applied=tuple(due), is_canceled=False)


def authorized_from(renews_at: datetime, region: str | None = None) -> datetime:
    """From when a renewal may be authorised already, and so keeps the price of that moment."""
    return renews_at - timedelta(hours=_AUTHORIZED_LONG.get(region or "", AUTHORIZED_HOURS))


def told_together(changes: Sequence[PriceChange]) -> tuple[tuple[date, tuple[PriceChange, ...]], ...]:
    """Changes by the day on which they take effect: one message lists all items of a day."""
    live = [one for one in changes if one.state in (PriceChangeState.OUTSTANDING, PriceChangeState.CONFIRMED)]
    days = sorted({one.charge_on for one in live})
    return tuple((day, tuple(one for one in live if one.charge_on == day)) for day in days)


def _is_due(change: PriceChange, on: date, *, is_authorized_before: bool) -> bool:
    is_late = is_authorized_before and change.mode is PriceChangeMode.PRICE_DECREASE
    return change.state is PriceChangeState.CONFIRMED and change.charge_on <= on and not is_late
