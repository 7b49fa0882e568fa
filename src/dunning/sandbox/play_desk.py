"""The life of purchases at the sandbox's Google Play: renewals, grace, hold, pauses, each on its own clock. Sheet G.

A purchase's clock moves only when it is told to: by the business instant that a request of ours carries (test mode),
or by the control API. Everything that lies between happens then, each at its own instant, with its notification.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from dunning.domain.play_actions import ACKNOWLEDGE_DAYS, CanceledBy, PlayState
from dunning.domain.play_items import aligned_charge
from dunning.domain.recovery_period import HeldItem, ItemFuture, declined, not_recovered, recovered
from dunning.sandbox.play_book import Line, Order, OrderLine, PlayBook, Purchase, later
from dunning.sandbox.play_errors import PlayError

TAX_PERCENT = 10
Notify = Callable[[Purchase, int], None]


class Kind:
    """Types of notifications about subscriptions, as Google counts them."""

    RECOVERED = 1
    RENEWED = 2
    CANCELED = 3
    PURCHASED = 4
    ON_HOLD = 5
    IN_GRACE_PERIOD = 6
    RESTARTED = 7
    PRICE_CHANGE_CONFIRMED = 8
    DEFERRED = 9
    PAUSED = 10
    PAUSE_SCHEDULE_CHANGED = 11
    REVOKED = 12
    EXPIRED = 13
    ITEMS_CHANGED = 17
    CANCELLATION_SCHEDULED = 18
    PRICE_CHANGE_UPDATED = 19
    PENDING_PURCHASE_CANCELED = 20
    PRICE_STEP_UP_CONSENT_UPDATED = 22


class PlayDesk:
    """Moves purchases through their lives."""

    def __init__(self, book: PlayBook, notify: Notify) -> None:
        self.book = book
        self.notify = notify

    def begin(self, purchase: Purchase) -> Purchase:
        """A purchase was just made: its first charge is paid, trials cost nothing."""
        purchase.started_at = purchase.clock
        paid = [line for line in purchase.lines if not line.is_in_trial]
        for line in purchase.lines:
            line.bought_at = line.bought_at or purchase.clock
        if paid:
            self._order(purchase, [(line, line.price, False) for line in paid])
        self.book.purchases[purchase.token] = purchase
        self.notify(purchase, Kind.PURCHASED)
        return purchase

    def add(self, purchase: Purchase, line: Line) -> None:
        """Another item, at once: charged up to the base item's renewal, or given for its trial."""
        line.bought_at = purchase.clock
        if not line.is_in_trial:
            line.expiry = purchase.base.expiry
            self._order(purchase, [(line, self._aligned(purchase, line, purchase.clock), True)])
        purchase.lines.append(line)
        self.changed(purchase, Kind.ITEMS_CHANGED)

    def advance(self, purchase: Purchase, to: datetime) -> None:
        """Let everything happen that was to happen up to `to`."""
        for _ in range(10_000):
            at = self.next_at(purchase)
            if at is None or at > to:
                break
            purchase.clock = max(purchase.clock, at)
            self._happen(purchase, at)
        purchase.clock = max(purchase.clock, to)

    def repair(self, purchase: Purchase) -> None:
        """The customer's payment method works again: what is owed is paid now."""
        if purchase.decline is None:
            raise PlayError(400, "invalid", "nothing is owed")
        was_held = purchase.state is PlayState.ON_HOLD
        futures = recovered(purchase.decline, purchase.clock)
        charged = {one.product_id for one in futures if one.charged_at is not None}
        lines = [line for line in purchase.lines if line.product_id in charged]
        # Priced before the time on hold moves anything: what is paid is what was declined.
        rows = [(line, self._price(purchase, line), self._is_aligned(purchase, line)) for line in lines]
        self._settle(purchase, futures)
        for line in lines:
            line.is_in_trial = False
        self._order(purchase, rows)
        purchase.state, purchase.decline, purchase.repair_at = PlayState.ACTIVE, None, None
        self.changed(purchase, Kind.RECOVERED if was_held else Kind.RENEWED)

    def cancel(self, purchase: Purchase, by: CanceledBy, *, can_restore: bool) -> None:
        """Stop renewals. Instalments that a user owes run on first; on hold or in grace the decline ends unpaid."""
        if purchase.state in (PlayState.EXPIRED, PlayState.PENDING_PURCHASE_CANCELED):
            raise PlayError(400, "invalid", "the subscription is over")
        if can_restore and any(line.installments > 0 for line in purchase.lines):
            purchase.pending_cancel = True
            self.changed(purchase, Kind.CANCELLATION_SCHEDULED)
            return
        purchase.canceled_by, purchase.can_restore = by, can_restore
        self._stop(purchase)

    def changed(self, purchase: Purchase, *kinds: int) -> None:
        """Something about it is different: another etag, and whoever listens is told."""
        purchase.version += 1
        for kind in kinds:
            self.notify(purchase, kind)

    # --- what happens by itself ---------------------------------------------------------------------

    def next_at(self, purchase: Purchase) -> datetime | None:
        """When something happens by itself, on the purchase's own clock; None: never again."""
        found: list[datetime] = []
        if not purchase.acknowledged and purchase.started_at and purchase.state is not PlayState.EXPIRED:
            found.append(purchase.started_at + timedelta(days=ACKNOWLEDGE_DAYS))
        if purchase.repair_at is not None and purchase.decline is not None:
            found.append(purchase.repair_at)
        if purchase.decline is not None:
            is_grace = purchase.state is PlayState.IN_GRACE_PERIOD
            found.append(purchase.decline.grace_until if is_grace else purchase.decline.hold_until)
        elif purchase.state is PlayState.PAUSED and purchase.resume_at is not None:
            found.append(purchase.resume_at)
        elif purchase.state is PlayState.ACTIVE:
            found += [line.expiry for line in purchase.lines]
        elif purchase.state is PlayState.CANCELED:
            found.append(max(line.expiry for line in purchase.lines))
        return min(found, default=None)

    def _happen(self, purchase: Purchase, at: datetime) -> None:
        deadline = (purchase.started_at or at) + timedelta(days=ACKNOWLEDGE_DAYS)
        if not purchase.acknowledged and at >= deadline:
            self.end_now(purchase, refunds=True)
        elif purchase.decline is not None and purchase.repair_at is not None and at >= purchase.repair_at:
            self.repair(purchase)
        elif purchase.state is PlayState.IN_GRACE_PERIOD:
            purchase.state = PlayState.ON_HOLD
            self.changed(purchase, Kind.ON_HOLD)
        elif purchase.state is PlayState.ON_HOLD:
            purchase.canceled_by, purchase.can_restore = CanceledBy.SYSTEM, False
            self._stop(purchase)
        elif purchase.state is PlayState.PAUSED:
            self.resume(purchase)
        else:
            self._renew(purchase, at)

    def _renew(self, purchase: Purchase, at: datetime) -> None:
        ended = [line for line in purchase.lines if line.expiry <= at and not self._renews(line)]
        due = [line for line in purchase.lines if line.expiry <= at and self._renews(line)]
        if len(ended) == len(purchase.lines):
            purchase.state = PlayState.EXPIRED
            self.changed(purchase, Kind.EXPIRED)
            return
        if ended:
            purchase.lines = [line for line in purchase.lines if line not in ended]
            self.changed(purchase, Kind.ITEMS_CHANGED)
        if not due:
            return
        if purchase.pause_days is not None:
            purchase.state, purchase.resume_at = PlayState.PAUSED, at + timedelta(days=purchase.pause_days)
            purchase.pause_days = None
            self.changed(purchase, Kind.PAUSED)
        elif self._consent_is_missing(purchase, at):
            purchase.canceled_by = CanceledBy.SYSTEM
            self._stop(purchase)
        else:
            self._charge(purchase, due, at)

    def _charge(self, purchase: Purchase, due: Sequence[Line], at: datetime) -> None:
        outcome, _, repair = (purchase.script.pop(0) if purchase.script else "SUCCEEDED").partition("/")
        if outcome != "SUCCEEDED":
            self._decline(purchase, at, int(repair.removesuffix("d")) if repair else None)
            return
        rows = [(line, self._price(purchase, line), self._is_aligned(purchase, line)) for line in due]
        ends = {line.product_id: self._renews_to(purchase, line) for line in due}
        for line in due:
            line.expiry, line.is_in_trial = ends[line.product_id], False
            line.installments = max(0, line.installments - 1)
        self._order(purchase, rows)
        self.changed(purchase, Kind.RENEWED)
        if purchase.pending_cancel and all(line.installments == 0 for line in purchase.lines):
            purchase.pending_cancel = False
            self.cancel(purchase, CanceledBy.USER, can_restore=True)

    def _decline(self, purchase: Purchase, at: datetime, repair_days: int | None) -> None:
        items = [
            HeldItem(
                product_id=line.product_id,
                grace_days=line.grace_days,
                hold_days=line.hold_days,
                paid_until=line.expiry,
                renews_to=self._renews_to(purchase, line),
                is_new=line.bought_at is not None and line.bought_at >= at,
                is_removed=not self._renews(line),
            )
            for line in purchase.lines
        ]
        purchase.decline = declined(items, at)
        if purchase.decline is None:
            purchase.state = PlayState.EXPIRED
            self.changed(purchase, Kind.EXPIRED)
            return
        self._pend(purchase)
        purchase.repair_at = None if repair_days is None else at + timedelta(days=repair_days)
        in_grace = purchase.decline.chosen.grace_days > 0
        purchase.state = PlayState.IN_GRACE_PERIOD if in_grace else PlayState.ON_HOLD
        self.changed(purchase, Kind.IN_GRACE_PERIOD if in_grace else Kind.ON_HOLD)

    def resume(self, purchase: Purchase) -> None:
        """A pause is over: charged now; declined, it goes on hold at once."""
        purchase.state, purchase.resume_at = PlayState.ACTIVE, None
        for line in purchase.lines:
            line.expiry = purchase.clock
        outcome = purchase.script[0].partition("/")[0] if purchase.script else "SUCCEEDED"
        self._charge(purchase, [line for line in purchase.lines if self._renews(line)], purchase.clock)
        if outcome == "SUCCEEDED":
            self.notify(purchase, Kind.RECOVERED)

    def end_now(self, purchase: Purchase, *, refunds: bool) -> None:
        """Access ends at once (revoked, or never acknowledged)."""
        if refunds:
            for order_id in self.book.latest_orders(purchase):
                self.give_back(self.book.order(order_id), purchase.clock)
        for line in purchase.lines:
            line.auto_renew, line.expiry = False, min(line.expiry, purchase.clock)
        purchase.state, purchase.decline = PlayState.EXPIRED, None
        purchase.canceled_by = purchase.canceled_by or CanceledBy.DEVELOPER
        self.changed(purchase, Kind.REVOKED)

    def give_back(self, order: Order, at: datetime, amount: int | None = None, product_id: str | None = None) -> None:
        """Refund an order: all that is left of it, or a part for one item."""
        left = order.total - order.refunded
        if left <= 0:
            raise PlayError(400, "invalid", "the order was refunded already")
        given = left if amount is None else min(amount, left)
        order.refunds.append((at, product_id or "", given))
        order.voided_at = at
        order.state = "REFUNDED" if order.refunded >= order.total else "PARTIALLY_REFUNDED"

    # --- helpers ------------------------------------------------------------------------------------

    def _stop(self, purchase: Purchase) -> None:
        if purchase.pending_order is not None:
            self.book.orders[purchase.pending_order].state = "CANCELED"
            purchase.pending_order = None
        if purchase.decline is not None:
            self._settle(purchase, not_recovered(purchase.decline, purchase.clock))
            purchase.decline, purchase.repair_at = None, None
        for line in purchase.lines:
            line.auto_renew = False
        has_time = any(line.expiry > purchase.clock for line in purchase.lines)
        purchase.state = PlayState.CANCELED if has_time else PlayState.EXPIRED
        self.changed(purchase, Kind.CANCELED, *(() if has_time else (Kind.EXPIRED,)))

    def _settle(self, purchase: Purchase, futures: Sequence[ItemFuture]) -> None:
        """Give every item the time that the end of a decline leaves it."""
        ends = {one.product_id: one.until for one in futures}
        for line in purchase.lines:
            line.expiry = ends[line.product_id] or min(line.expiry, purchase.clock)

    def _renews(self, line: Line) -> bool:
        return line.auto_renew and not line.is_removed and not line.is_prepaid

    def _is_aligned(self, purchase: Purchase, line: Line) -> bool:
        base = purchase.base
        return line is not base and self._renews(base) and base.expiry > line.expiry

    def _renews_to(self, purchase: Purchase, line: Line) -> datetime:
        return purchase.base.expiry if self._is_aligned(purchase, line) else later(line.expiry, line.period)

    def _price(self, purchase: Purchase, line: Line) -> int:
        change = line.price_change
        if change is not None and change.state == "CONFIRMED" and change.charge_at <= purchase.clock:
            line.price, change.state = change.amount, "APPLIED"
        if self._is_aligned(purchase, line):
            return self._aligned(purchase, line, line.expiry)
        return line.price

    def _aligned(self, purchase: Purchase, line: Line, at: datetime) -> int:
        end = purchase.base.expiry
        # From the 31st to the 30th is a month too; a month before the 30th would be the 30th.
        start = max(later(end, purchase.base.period, -1), purchase.base.bought_at or purchase.clock)
        return aligned_charge(line.price, start, end, min(max(at, start), end - timedelta(seconds=1)), UTC)

    def _consent_is_missing(self, purchase: Purchase, at: datetime) -> bool:
        changes = [line.price_change for line in purchase.lines if line.price_change is not None]
        lapsed = [one for one in changes if one.state == "OUTSTANDING" and one.charge_at <= at]
        for change in lapsed:
            change.state = "CANCELED"
        return bool(lapsed)

    def _pend(self, purchase: Purchase) -> None:
        """The order whose payment was declined, of everything that was due."""
        due = [line for line in purchase.lines if line.expiry <= purchase.clock and self._renews(line)]
        rows = [(line, self._price(purchase, line), self._is_aligned(purchase, line)) for line in due]
        kept = {line.product_id: line.order_id for line in purchase.lines}
        order = self._order(purchase, rows)
        order.state, purchase.pending_order = "PENDING", order.order_id
        for line in purchase.lines:
            line.order_id = kept[line.product_id]

    def _order(self, purchase: Purchase, rows: Sequence[tuple[Line, int, bool]]) -> Order:
        order_id, purchase.pending_order = purchase.pending_order or self._order_id(purchase), None
        lines = [
            OrderLine(
                product_id=line.product_id,
                total=amount,
                tax=round(amount * TAX_PERCENT / (100 + TAX_PERCENT)),
                start=purchase.clock,
                end=line.expiry,
                is_prorated=is_prorated,
            )
            for line, amount, is_prorated in rows
        ]
        order = Order(order_id, purchase.token, purchase.currency, purchase.clock, lines)
        self.book.orders[order_id] = order
        for line, _, _ in rows:
            line.order_id = order_id
        return order

    def _order_id(self, purchase: Purchase) -> str:
        purchase.orders += 1
        number = int(hashlib.sha256(purchase.token.encode()).hexdigest(), 16) % 10**17
        digits = f"{number:017d}"
        stem = f"GPA.{digits[:4]}-{digits[4:8]}-{digits[8:12]}-{digits[12:]}"
        return stem if purchase.orders == 1 else f"{stem}..{purchase.orders - 2}"
