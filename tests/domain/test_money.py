"""Minor units follow ISO 4217; conversions are exact; operators read plain amounts."""

from decimal import Decimal

import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from dunning.domain.money import EXPONENTS, format_amount, from_major, is_currency, to_major


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("USD", 2), ("EUR", 2), ("THB", 2), ("IDR", 2), ("JPY", 0), ("VND", 0), ("KRW", 0), ("KWD", 3), ("CLF", 4)],
)
def test_minor_digits_are_those_of_iso_4217(currency, digits):
    assert EXPONENTS[currency] == digits


def test_every_currency_that_is_legal_tender_somewhere_is_known():
    tender = {
        code
        for entries in get_global("territory_currencies").values()
        for code, _start, end, is_tender in entries
        if is_tender and end is None
    }
    assert len(tender) > 140
    assert {code for code in tender if not is_currency(code)} == set()


@pytest.mark.parametrize("code", ["usd", "XXX", "RP", "", "USDT", "XAU"])
def test_what_is_no_currency_is_refused(code):
    assert not is_currency(code)


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (2500, "USD", "USD 25.00"),
        (10_000_000, "IDR", "IDR 100,000"),
        (10_000_050, "IDR", "IDR 100,000.50"),
        (1200, "JPY", "JPY 1,200"),
        (100_000, "VND", "VND 100,000"),
        (2_000, "THB", "THB 20.00"),
        (1_234_567, "KWD", "KWD 1,234.567"),
        (5, "USD", "USD 0.05"),
        (0, "USD", "USD 0.00"),
        (-2500, "USD", "USD -25.00"),
        (-5, "USD", "USD -0.05"),
        (77, "???", "??? 77"),
    ],
)
def test_amounts_are_written_for_operators(amount, currency, text):
    assert format_amount(amount, currency) == text


@pytest.mark.parametrize(
    ("amount", "currency", "major"),
    [(10_000_000, "IDR", "100000"), (100_000, "VND", "100000"), (1200, "JPY", "1200"), (2599, "USD", "25.99")],
)
def test_major_units_for_providers_that_want_them(amount, currency, major):
    assert to_major(amount, currency) == Decimal(major)
    assert from_major(Decimal(major), currency) == amount


@pytest.mark.parametrize(("major", "currency"), [("0.5", "JPY"), ("1.001", "USD"), ("NaN", "USD"), ("Infinity", "USD")])
def test_a_fraction_of_a_minor_unit_is_refused(major, currency):
    with pytest.raises(ValueError, match=r"decimals|not an amount"):
        from_major(Decimal(major), currency)


@given(st.integers(-(10**15), 10**15), st.sampled_from(sorted(EXPONENTS)))
def test_there_and_back_changes_nothing(amount, currency):
    assert from_major(to_major(amount, currency), currency) == amount
