"""An order of Google Play's as rows of the book: charge, fee, tax and refunds of every item. Sheet G.8."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from dunning.domain.books import BookRow, RowKind, shares
from dunning.providers.google_play_wire import WireMoney, WireOrder


def rows_of(order: WireOrder) -> tuple[BookRow, ...]:
    """The order's rows; nothing for one that was never paid.

    Google states tax per item, and fee and refunds per order: those are divided by what the items cost. A refund of
    exactly what one item cost is that item's.
    """
    if order.state in ("PENDING", "CANCELED") or order.total is None:
        return ()
    return tuple(_rows(order, order.total.currency_code))


def _rows(order: WireOrder, currency: str) -> Iterator[BookRow]:
    at = order.create_time.astimezone(UTC)
    totals = [_minor(line.total) for line in order.line_items]
    taxes = [_minor(line.tax) for line in order.line_items]
    refunds = _refunds(order)
    fees = shares(_fee(order, sum(totals), sum(taxes), sum(amount for _, amount in refunds)), totals)
    for line, total, tax, fee in zip(order.line_items, totals, taxes, fees, strict=True):
        for kind, amount in ((RowKind.CHARGE, total), (RowKind.FEE, fee), (RowKind.TAX, tax)):
            if amount:
                yield BookRow(
                    order_id=order.order_id,
                    product_id=line.product_id,
                    kind=kind,
                    amount=amount,
                    currency=currency,
                    at=at,
                )
    left = totals
    for number, (when, amount) in enumerate(refunds, start=1):
        parts = _parts(amount, left)
        left = [one - part for one, part in zip(left, parts, strict=True)]
        for line, part in zip(order.line_items, parts, strict=True):
            if part:
                yield BookRow(
                    order_id=order.order_id,
                    product_id=line.product_id,
                    kind=RowKind.REFUND,
                    number=number,
                    amount=part,
                    currency=currency,
                    at=(when or order.create_time).astimezone(UTC),
                )


def _parts(amount: int, left: list[int]) -> tuple[int, ...]:
    """A refund by item: that of one item alone is exactly what is left of it; all others are divided."""
    alone = [place for place, one in enumerate(left) if one == amount]
    if len(alone) == 1:
        return tuple(amount if place == alone[0] else 0 for place in range(len(left)))
    return shares(amount, left)


def _refunds(order: WireOrder) -> list[tuple[datetime | None, int]]:
    history = order.order_history
    if history is None:
        return []
    parts = [*history.partial_refund_events, *([history.refund_event] if history.refund_event else [])]
    found = []
    for event in parts:
        amount = _minor(event.refund_details.total if event.refund_details else None)
        if amount:
            found.append((event.event_time or event.create_time, amount))
    return found


def _fee(order: WireOrder, total: int, tax: int, refunded: int) -> int:
    """What Google keeps: all that the customer paid and nobody else got. Unknown (0) where a refund blurs it."""
    revenue = order.developer_revenue_in_buyer_currency
    if revenue is None or refunded:
        return 0
    return max(0, total - tax - revenue.minor())


def _minor(money: WireMoney | None) -> int:
    return money.minor() if money is not None else 0
