"""Books against a Play earnings report."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.domain.books import BookRow, RowKind, UnreadableReport, read_report, reconcile, shares
from tests.domain.calendars import at

HEAD = "Description,Transaction Type,Sku Id,Buyer Currency,Amount (Buyer Currency)"


def row(kind=RowKind.CHARGE, amount=290, product="addon", **given):
    when = at("2026-08-25T00:00")
    return BookRow(order_id="GPA.1", product_id=product, kind=kind, amount=amount, currency="USD", at=when, **given)


def report(*lines):
    return read_report("\n".join((HEAD, *lines)))


def test_equal_books_have_no_difference():
    rows = [row(), row(RowKind.FEE, 40), row(RowKind.TAX, 26)]
    told = report("GPA.1,Charge,addon,USD,2.90", "GPA.1,Google fee,addon,USD,-0.40", "GPA.1,Tax,addon,USD,-0.26")
    assert reconcile(rows, told) == ()


def test_what_one_of_them_lacks_and_other_amounts_are_listed():
    told = report("GPA.1,Charge,addon,USD,3.00", "GPA.2,Charge,base,USD,20.00")
    found = [(d.order_id, d.kind, d.booked, d.reported) for d in reconcile([row(), row(RowKind.REFUND, 100)], told)]
    assert found == [
        ("GPA.1", RowKind.CHARGE, 290, 300),
        ("GPA.1", RowKind.REFUND, 100, None),
        ("GPA.2", RowKind.CHARGE, None, 2_000),
    ]


def test_refunds_in_parts_are_compared_as_their_sum():
    rows = [row(RowKind.REFUND, 100), row(RowKind.REFUND, 50, number=2)]
    assert reconcile(rows, report("GPA.1,Charge refund,addon,USD,-1.50")) == ()


def test_other_rows_of_the_report_and_thousands_are_understood():
    told = report("GPA.1,Google fee refund,addon,USD,0.40", 'GPA.3,Charge,base,IDR,"100,000.00"')
    assert told == ((("GPA.3", "base", RowKind.CHARGE, "IDR"), 10_000_000),)


@pytest.mark.parametrize(
    "head",
    [
        "Amount (Buyer Currency),buyer currency,SKU ID,TRANSACTION TYPE,description",
        "Buyer Amount,Currency of Sale,Subscription ID,Transaction Type,Order Number",
        '"Amount (Buyer Currency)","Buyer_Currency","sku-id","transaction  type","Order Id"',
    ],
)
@pytest.mark.parametrize("between", [",", ";", "\t"])
def test_headings_are_known_by_their_names_whatever_their_order_case_and_signs(head, between):
    rows = (head, "2.90,USD,addon,Charge,GPA.1", "x,USD,addon,Promotion,GPA.1")
    told = read_report("\ufeff" + "\r\n".join(line.replace(",", between) for line in rows))
    assert told == ((("GPA.1", "addon", RowKind.CHARGE, "USD"), 290),)


def test_a_missing_column_is_named_with_what_is_there():
    with pytest.raises(UnreadableReport) as refused:
        read_report("Description,Transaction Type,Buyer Currency,Amount (Merchant Currency)\n")
    said = str(refused.value)
    assert "columns are missing: 'Sku Id' or 'Subscription ID' or 'Product SKU'; 'Amount (Buyer Currency)'" in said
    assert "(there are: Description, Transaction Type, Buyer Currency, Amount (Merchant Currency))" in said


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "columns are missing"),
        ("a,b\n1,2", "columns are missing"),
        (f"{HEAD}\nGPA.1,Charge,addon,???,1", "line 2: no currency"),
        (f"{HEAD}\nGPA.1,Charge,addon,USD,x", "line 2: no amount"),
        (f"{HEAD}\nGPA.1,Charge,addon,USD,1.234", "line 2: no amount"),
        (f"{HEAD}\nGPA.1,Charge,addon,USD", "line 2: no amount"),
    ],
)
def test_a_file_that_is_no_report_is_refused_with_its_line(text, because):
    with pytest.raises(UnreadableReport, match=because):
        read_report(text)


@given(st.integers(0, 10**9), st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
def test_parts_add_up_to_the_whole_and_none_is_negative(whole, weights):
    parts = shares(whole, weights)
    assert sum(parts) == whole
    assert min(parts) >= 0
