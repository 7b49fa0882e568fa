"""Amounts and instants as people of a locale write them. SPEC 11."""

from __future__ import annotations

import re
from datetime import date, datetime
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import get_currency_symbol, parse_pattern

from dunning.domain.money import EXPONENTS, NO_SMALL_UNITS, to_major

_CODE_BEFORE_FIGURE = re.compile(r"(?<=[A-Za-z])(?=\d)")
NO_BREAK = "\u00a0"


def amount_text(amount: int, currency: str, locale: str) -> str:
    """Minor units in words of money; currencies whose minor unit is not used in payments show none.

    Babel's own digits are not taken: they would round 12.50 RSD to 13 and 1.234 IQD to 1.
    """
    place = Locale.parse(locale.replace("-", "_"))
    value = to_major(amount, currency)
    is_whole = currency in NO_SMALL_UNITS and value == value.to_integral_value()
    digits = 0 if is_whole else EXPONENTS[currency]
    pattern = parse_pattern(place.currency_formats["standard"].pattern)
    pattern.frac_prec = (digits, digits)
    written = str(pattern.apply(value, place, currency=currency, currency_digits=False))
    if get_currency_symbol(currency, place) != currency:
        return written
    # A code where the locale has no symbol runs into the figure: "THB299.00".
    return _CODE_BEFORE_FIGURE.sub(NO_BREAK, written)


def instant_text(instant: datetime, time_zone: str, locale: str, pattern: str = "d MMMM y, HH:mm") -> str:
    """An instant at the customer's own wall clock, with the zone as it is called there: `WIB`, `EDT`, `GMT+7`."""
    local = instant.astimezone(ZoneInfo(time_zone))
    return f"{format_datetime(local, pattern, locale=locale.replace('-', '_'))}{NO_BREAK}{_zone_name(local)}"


def month_text(month: str, locale: str, pattern: str = "MMMM y") -> str:
    """A month such as `2026-12`, as on a card."""
    return format_date(date.fromisoformat(f"{month}-01"), pattern, locale=locale.replace("-", "_"))


def _zone_name(local: datetime) -> str:
    name = local.tzname() or ""
    if name.isalpha():
        return name
    # Where people have no letters for it, the database has figures: "+07", "+0545".
    hours, minutes = name[:3], name[3:]
    return f"GMT{hours[0]}{int(hours[1:])}" + (f":{minutes}" if minutes else "")
