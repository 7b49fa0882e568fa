"""Items of a Play purchase: what may be bought together, and what a change of items does. SPEC 9, 12.

Only the customer can buy, so a change is handed to the product's app as the parameters of a billing flow; this module
says what they must be, and what Play will do with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from enum import StrEnum

from dunning.domain.base import Value
from dunning.domain.fields import BrokenRule
from dunning.domain.prorate import prorated_at

MAX_ITEMS = 50
REGIONS_WITHOUT_ADD_ONS = frozenset({"IN", "KR"})
"""ISO 3166-1: there, a purchase has one item."""


class ReplacementMode(StrEnum):
    """How the old base item turns into the new one; Play's words."""

    WITH_TIME_PRORATION = "WITH_TIME_PRORATION"
    CHARGE_PRORATED_PRICE = "CHARGE_PRORATED_PRICE"
    WITHOUT_PRORATION = "WITHOUT_PRORATION"
    CHARGE_FULL_PRICE = "CHARGE_FULL_PRICE"
    DEFERRED = "DEFERRED"
    KEEP_EXISTING = "KEEP_EXISTING"


class ModeEffect(Value):
    """What a replacement mode means. `is_immediate`: the new item is had at once."""

    is_immediate: bool
    is_charged_now: bool
    keeps_billing_date: bool
    words: str


def _effect(words: str, *, now: bool, charged: bool, keeps: bool) -> ModeEffect:
    return ModeEffect(is_immediate=now, is_charged_now=charged, keeps_billing_date=keeps, words=words)


MODE_EFFECTS: dict[ReplacementMode, ModeEffect] = {
    ReplacementMode.WITH_TIME_PRORATION: _effect(
        "at once; what is left of the old item becomes time of the new one", now=True, charged=False, keeps=False
    ),
    ReplacementMode.CHARGE_PRORATED_PRICE: _effect(
        "at once; the difference for the rest of the period is charged", now=True, charged=True, keeps=True
    ),
    ReplacementMode.WITHOUT_PRORATION: _effect(
        "at once; the new price is charged at the next renewal", now=True, charged=False, keeps=True
    ),
    ReplacementMode.CHARGE_FULL_PRICE: _effect(
        "at once; the full price is charged, what is left of the old item is added", now=True, charged=True, keeps=False
    ),
    ReplacementMode.DEFERRED: _effect("when the old item's period ends", now=False, charged=False, keeps=True),
    ReplacementMode.KEEP_EXISTING: _effect("the item stays as it is", now=True, charged=False, keeps=True),
}


class PlayItem(Value):
    """One item of a purchase. `period`: ISO 8601, as `P1M`. `base_plan_id`, `offer_id`: as the Console has them."""

    product_id: str
    is_base: bool = False
    period: str = "P1M"
    is_prepaid: bool = False
    base_plan_id: str | None = None
    offer_id: str | None = None


class ItemsChange(Value):
    """What a change of items does, product by product.

    Attributes:
        replaced: (old base, new base), as the replacement mode says.
        removed: at the end of the current period.
        added: at once, with a prorated charge up to the base item's renewal.
        kept: as they are.
        needs_mode: a replacement mode must be given.
    """

    replaced: tuple[str, str] | None = None
    removed: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    needs_mode: bool = False


class BillingFlow(Value):
    """What the app passes to `launchBillingFlow`: all items that shall be active, the old token, perhaps a mode.

    Attributes:
        old_purchase_token: of the purchase that is changed.
        replacement_mode: how the base item is replaced; None: none has to be set.
        items: every item that shall be active, the base item first.
        change: what Google Play will make of it, product by product.
        offers: products whose offer for new owners applies, judged for each item alone.
    """

    old_purchase_token: str
    replacement_mode: ReplacementMode | None = None
    items: tuple[PlayItem, ...]
    change: ItemsChange
    offers: tuple[str, ...] = ()


def change_of(existing: Sequence[PlayItem], wanted: Sequence[PlayItem]) -> ItemsChange:
    """What turning `existing` into `wanted` does: the guide's table of modifications, as one rule.

    A base item that gives way to a product which is not owned yet is replaced, and a mode is needed. A base item that
    is left out while an owned item becomes the base is removed like any other.
    """
    owned = [item.product_id for item in existing]
    after = [item.product_id for item in wanted]
    old, new = _base(existing), _base(wanted)
    is_replaced = old not in after and new not in owned
    gone = [one for one in owned if one not in after and not (is_replaced and one == old)]
    come = [one for one in after if one not in owned and not (is_replaced and one == new)]
    return ItemsChange(
        replaced=(old, new) if is_replaced else None,
        removed=tuple(gone),
        added=tuple(come),
        kept=tuple(one for one in after if one in owned),
        needs_mode=is_replaced,
    )


def purchase_faults(items: Sequence[PlayItem], region: str | None = None) -> Iterator[BrokenRule]:
    """Everything that keeps these items from being one purchase: field, rule, value."""
    if len(items) > MAX_ITEMS:
        yield BrokenRule("items", f"must be at most {MAX_ITEMS} in one purchase", len(items))
    bases = sum(item.is_base for item in items)
    if bases != 1:
        yield BrokenRule("items", "must hold exactly one base item", bases)
    seen = [item.product_id for item in items]
    for index, product_id in enumerate(seen):
        if product_id in seen[:index]:
            yield BrokenRule(f"items.{index}.product_id", "must be different products", product_id)
    if len({item.period for item in items}) > 1:
        periods = ", ".join(sorted({item.period for item in items}))
        yield BrokenRule("items", "must all have the same billing period", periods)
    if len(items) > 1:
        yield from _add_on_faults(items, region)


def _add_on_faults(items: Sequence[PlayItem], region: str | None) -> Iterator[BrokenRule]:
    if region in REGIONS_WITHOUT_ADD_ONS:
        yield BrokenRule("items", f"must be one: Google Play has no add-ons in {region}", len(items))
    for index, item in enumerate(items):
        if item.is_prepaid:
            rule = "must renew by itself: prepaid plans take no add-ons"
            yield BrokenRule(f"items.{index}", rule, item.product_id)


def billing_flow(
    token: str, existing: Sequence[PlayItem], wanted: Sequence[PlayItem], mode: ReplacementMode | None = None
) -> BillingFlow:
    """The parameters that the app needs to change a purchase.

    A mode is taken along where it is needed; elsewhere it may be given to ask for a certain proration.

    Raises:
        ValueError: a new base item without a replacement mode.
    """
    change = change_of(existing, wanted)
    if change.needs_mode and (mode is None or mode is ReplacementMode.KEEP_EXISTING):
        raise ValueError("replacement_mode: needed, because the base item is replaced")
    ordered = sorted(wanted, key=lambda item: not item.is_base)
    return BillingFlow(
        old_purchase_token=token,
        replacement_mode=mode,
        items=tuple(ordered),
        change=change,
        offers=trials_of(ordered, frozenset(item.product_id for item in existing)),
    )


def refuses_change(
    existing: Sequence[PlayItem],
    wanted: Sequence[PlayItem],
    mode: ReplacementMode | None = None,
    region: str | None = None,
) -> str | None:
    """Why a purchase of `existing` items cannot become one of `wanted`: every reason; None: it can."""
    broken = [f"{fault.field}: {fault.rule}, was {fault.value}" for fault in purchase_faults(wanted, region)]
    owned = {item.product_id for item in existing}
    for index, item in enumerate(wanted):
        if item.offer_id and item.product_id in owned:
            broken.append(f"items.{index}.offer_id: must not be given for {item.product_id}, which is owned already")
    if broken:
        return "; ".join(broken)
    change = change_of(existing, wanted)
    if change.needs_mode and (mode is None or mode is ReplacementMode.KEEP_EXISTING):
        return f"replacement_mode: needed, because {wanted_base(wanted)} takes the place of the base item"
    if not (change.replaced or change.removed or change.added or _is_other(existing, wanted)):
        return "items: are those of the purchase already"
    return None


def wanted_base(items: Sequence[PlayItem]) -> str:
    """The product of the base item."""
    return _base(items)


def _is_other(existing: Sequence[PlayItem], wanted: Sequence[PlayItem]) -> bool:
    """Whether an item keeps its product and gets another base plan."""
    plans = {item.product_id: item.base_plan_id for item in existing}
    return any(item.base_plan_id not in (None, plans.get(item.product_id)) for item in wanted)


def aligned_charge(amount: int, start: datetime, end: datetime, at: datetime, zone: tzinfo) -> int:
    """What an add-on costs from `at` to the base item's next renewal `end`, in minor units.

    `start` is the base item's last renewal. The same rule for an item added at once and for the first charge after a
    trial or an introductory price: $10 on Aug 22 of Aug 1 to Sep 1 is 10 x 9/31 = $2.90.
    """
    return prorated_at(amount, start, end, at, zone)


def trials_of(items: Sequence[PlayItem], ever_owned: frozenset[str]) -> tuple[str, ...]:
    """The products whose new-customer offer applies: judged for each item alone, by what was ever owned."""
    return tuple(item.product_id for item in items if item.offer_id and item.product_id not in ever_owned)


def _base(items: Sequence[PlayItem]) -> str:
    return next(item.product_id for item in items if item.is_base)
