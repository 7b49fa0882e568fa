"""The book of orders that a provider collected by itself."""

from __future__ import annotations

import pytest

from dunning.domain.books import BookRow, RowKind
from tests.domain.calendars import at
from tests.ledger.till import Till

pytestmark = pytest.mark.server


def row(order: str = "GPA.1", kind: RowKind = RowKind.CHARGE, amount: int = 290, number: int = 1) -> BookRow:
    when = at("2026-08-25T00:00")
    return BookRow(order_id=order, product_id="addon", kind=kind, number=number, amount=amount, currency="USD", at=when)


async def test_rows_are_written_once_and_a_row_that_is_told_again_has_its_latest_amount(till: Till) -> None:
    ledger = till.ledger
    rows = [row(), row(kind=RowKind.FEE, amount=40)]
    for _ in range(2):
        await ledger.book("demo", rows, subscription="sub-1")
    await ledger.book(
        "demo", [row(kind=RowKind.FEE, amount=44), row(kind=RowKind.FEE, amount=45)], subscription="sub-1"
    )
    assert [(one.kind, one.amount) for one in await ledger.booked("demo")] == [
        (RowKind.CHARGE, 290),
        (RowKind.FEE, 45),
    ]


async def test_refunds_of_one_item_are_rows_of_their_own_and_accounts_see_only_theirs(till: Till) -> None:
    ledger = till.ledger
    await ledger.book("demo", [row(kind=RowKind.REFUND, amount=n, number=n) for n in (1, 2)], subscription="sub-1")
    await ledger.book("other", [row("GPA.2")], subscription="sub-2")
    await ledger.book("demo", [], subscription=None)
    assert [one.amount for one in await ledger.booked("demo", subscription="sub-1")] == [1, 2]
    assert await ledger.booked("demo", subscription="sub-2") == []
    assert [one.order_id for one in await ledger.booked("other")] == ["GPA.2"]
