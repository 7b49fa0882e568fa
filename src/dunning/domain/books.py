"""Books where the provider keeps the money first (Play): one row per item and order, and how they compare to a report.

Amounts are minor units, positive for what came in from the customer's view of it: a charge, a fee, a tax, a refund.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from dunning.domain.base import Value
from dunning.domain.money import from_major, is_currency


class RowKind(StrEnum):
    """What a row is about. `tax` is part of the charge and withheld; `fee` is what the provider keeps."""

    CHARGE = "charge"
    FEE = "fee"
    TAX = "tax"
    REFUND = "refund"


class BookRow(Value):
    """One row: (order, item, kind, number) is unique; `number` counts refunds of one item."""

    order_id: str
    product_id: str
    kind: RowKind
    number: int = 1
    amount: int
    currency: str
    at: datetime


class Difference(Value):
    """Where book and report do not agree. None: one of them has no such row. Minor units."""

    order_id: str
    product_id: str
    kind: RowKind
    currency: str
    booked: int | None
    reported: int | None


_KINDS = {
    "charge": RowKind.CHARGE,
    "googlefee": RowKind.FEE,
    "tax": RowKind.TAX,
    "chargerefund": RowKind.REFUND,
}
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "order": ("Description", "Order ID", "Order Number"),
    "type": ("Transaction Type",),
    "item": ("Sku Id", "Subscription ID", "Product SKU"),
    "currency": ("Buyer Currency", "Currency of Sale"),
    "amount": ("Amount (Buyer Currency)", "Buyer Amount"),
}
"""What is needed of a report, and the headings under which it may stand. The guides name none, so case, spaces, signs
and order of the headings do not matter, nor do columns that we do not know."""
_Key = tuple[str, str, RowKind, str]


class UnreadableReport(ValueError):
    """The file is no earnings report, or a row of it makes no sense. The text says which."""


def read_report(text: str) -> tuple[tuple[_Key, int], ...]:
    """The rows of a Play earnings report (CSV): who, what, how much (minor units, without sign).

    Refunds of fees and taxes are left out: they follow from the refund. Raises `UnreadableReport`.
    """
    text = text.removeprefix("\ufeff")
    reader = csv.reader(io.StringIO(text), delimiter=_delimiter(text))
    places = _places(next(reader, []))
    found: list[tuple[_Key, int]] = []
    for line, cells in enumerate(reader, start=2):
        row = {name: cells[place].strip() if place < len(cells) else "" for name, place in places.items()}
        kind = _KINDS.get(_plain(row["type"]))
        if kind is not None:
            found.append(_report_row(line, row, kind))
    return tuple(found)


def _delimiter(text: str) -> str:
    """What stands between the headings most often."""
    headings = text.partition("\n")[0]
    return max(",;\t", key=headings.count)


def _places(headings: Sequence[str]) -> dict[str, int]:
    """Where each needed column stands; raises `UnreadableReport` naming every one that is missing."""
    known = {_plain(heading): place for place, heading in reversed(list(enumerate(headings)))}
    found = {
        name: next((known[_plain(one)] for one in names if _plain(one) in known), None)
        for name, names in _COLUMNS.items()
    }
    missing = [" or ".join(map(repr, _COLUMNS[name])) for name, place in found.items() if place is None]
    if missing:
        there = ", ".join(heading.strip()[:40] for heading in headings[:40]) or "none"
        raise UnreadableReport(f"no earnings report: columns are missing: {'; '.join(missing)} (there are: {there})")
    return {name: place for name, place in found.items() if place is not None}


def _plain(text: str) -> str:
    return "".join(one for one in text.casefold() if one.isalnum())


def _report_row(line: int, row: Mapping[str, str], kind: RowKind) -> tuple[_Key, int]:
    currency = row["currency"]
    if not is_currency(currency):
        raise UnreadableReport(f"line {line}: no currency: {currency!r}")
    try:
        amount = from_major(Decimal(row["amount"].replace(",", "")), currency)
    except (InvalidOperation, ValueError):
        raise UnreadableReport(f"line {line}: no amount") from None
    return (row["order"], row["item"], kind, currency), abs(amount)


def reconcile(booked: Iterable[BookRow], reported: Sequence[tuple[_Key, int]]) -> tuple[Difference, ...]:
    """Every difference, sorted by order; several rows of one kind (refunds in parts) are compared as their sum."""
    ours: Counter[_Key] = Counter()
    theirs: Counter[_Key] = Counter()
    for row in booked:
        ours[row.order_id, row.product_id, row.kind, row.currency] += row.amount
    for key, amount in reported:
        theirs[key] += amount
    found = []
    for key in sorted({*ours, *theirs}):
        mine, yours = ours.get(key), theirs.get(key)
        if (mine or 0) != (yours or 0):
            order_id, product_id, kind, currency = key
            found.append(
                Difference(
                    order_id=order_id, product_id=product_id, kind=kind, currency=currency, booked=mine, reported=yours
                )
            )
    return tuple(found)


def shares(whole: int, weights: Sequence[int]) -> tuple[int, ...]:
    """`whole` in parts by weight, largest rests first; their sum is `whole`. Without any weight the first has it."""
    total = sum(weights)
    if total == 0:
        return tuple(whole if place == 0 else 0 for place in range(len(weights)))
    parts = [whole * weight // total for weight in weights]
    rests = sorted(range(len(weights)), key=lambda place: (-(whole * weights[place] % total), place))
    for place in rests[: whole - sum(parts)]:
        parts[place] += 1
    return tuple(parts)
