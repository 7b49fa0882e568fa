"""Amounts and instants, written by hand for each place and compared."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest

from dunning.domain.money import EXPONENTS, to_major
from dunning.notices.formats import amount_text, instant_text
from tests.builders import at


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "written"),
    [
        (10_000_000, "IDR", "en", "IDR 100,000"),  # rupiah are written without sen in daily life
        (10_000_050, "IDR", "en", "IDR 100,000.50"),  # but nothing that is owed is hidden
        (10_000_000, "IDR", "id", "Rp100.000"),
        (1_200, "JPY", "en", "¥1,200"),  # yen have none
        (29_900, "THB", "en", "THB 299.00"),
        (29_900, "THB", "th", "฿299.00"),
        (2_500, "USD", "en", "$25.00"),
        (2_500, "USD", "en-GB", "US$25.00"),
        (1_234, "KWD", "en", "KWD 1.234"),  # three decimals
        (1_234, "IQD", "en", "IQD 1.234"),  # three by ISO 4217, although locale data say none
        (1_250, "RSD", "en", "RSD 12.50"),  # two, although locale data say none
        (123_456_789, "EUR", "de", "1.234.567,89 €"),
        (0, "USD", "en", "$0.00"),
    ],
)
def test_an_amount_is_written_as_people_write_it(amount: int, currency: str, locale: str, written: str) -> None:
    assert amount_text(amount, currency, locale).replace("\xa0", " ") == written


def test_an_arabic_amount_keeps_its_figures_and_its_currency() -> None:
    written = amount_text(2_500, "USD", "ar")

    assert "25.00" in written
    assert "US$" in written


@pytest.mark.parametrize("currency", sorted(EXPONENTS))
def test_no_currency_is_ever_rounded(currency: str) -> None:
    written = amount_text(123_457, currency, "en")

    figures = re.search(r"\d[\d,]*(\.\d+)?$", written)
    assert figures is not None
    assert Decimal(figures[0].replace(",", "")) == to_major(123_457, currency)


@pytest.mark.parametrize(
    ("zone", "written"),
    [
        # 13:10 UTC on 2026-03-15; the United States changed their clocks on 03-08, Europe does on 03-29
        ("Asia/Jakarta", "15 March 2026, 20:10 WIB"),
        ("America/New_York", "15 March 2026, 09:10 EDT"),
        ("Europe/Berlin", "15 March 2026, 14:10 CET"),
        ("Asia/Bangkok", "15 March 2026, 20:10 GMT+7"),
        ("Asia/Kathmandu", "15 March 2026, 18:55 GMT+5:45"),
        ("America/Sao_Paulo", "15 March 2026, 10:10 GMT-3"),
        ("Pacific/Kiritimati", "16 March 2026, 03:10 GMT+14"),
        ("UTC", "15 March 2026, 13:10 UTC"),
    ],
)
def test_an_instant_is_told_at_the_customers_own_clock(zone: str, written: str) -> None:
    assert instant_text(at("2026-03-15T13:10"), zone, "en").replace("\xa0", " ") == written


def test_before_the_clocks_change_the_same_customer_reads_another_hour() -> None:
    told = instant_text(at("2026-03-05T13:10"), "America/New_York", "en")

    assert told.replace("\xa0", " ") == "5 March 2026, 08:10 EST"
