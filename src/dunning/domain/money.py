"""Money is an integer in ISO 4217 minor units. SPEC 4.

What a provider wants on the wire (Xendit: major units) is its adapter's business; `to_major` helps there.
"""

from __future__ import annotations

from decimal import Decimal

_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_FOUR = "CLF UYW"
_TWO = """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
    CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG
    HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR
    MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD
    SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD
    XCG YER ZAR ZMW ZWG
"""
_WITHDRAWN = "ANG HRK SLL"
"""No longer in ISO 4217, two digits, and still taken by providers."""

EXPONENTS: dict[str, int] = {
    **dict.fromkeys(_NONE.split(), 0),
    **dict.fromkeys(_TWO.split(), 2),
    **dict.fromkeys(_WITHDRAWN.split(), 2),
    **dict.fromkeys(_THREE.split(), 3),
    **dict.fromkeys(_FOUR.split(), 4),
}
"""Minor digits per currency, by ISO 4217. The rupiah has two there, although nobody pays in sen."""

_UNUSED = "AFN ALL COP CRC IDR IRR KPW LAK LBP MMK PKR RSD SLL SOS SYP UZS YER"

NO_SMALL_UNITS = frozenset((*_NONE.split(), *_UNUSED.split()))
"""Currencies whose minor unit is not used in payments: a zero fraction is not written out."""


def is_currency(code: str) -> bool:
    """Whether the code is a currency that money can be counted in."""
    return code in EXPONENTS


def to_major(amount: int, currency: str) -> Decimal:
    """Minor units as major ones, exactly: 2500 USD -> 25.00. `KeyError` for an unknown currency."""
    return Decimal(amount).scaleb(-EXPONENTS[currency])


def from_major(amount: Decimal, currency: str) -> int:
    """Major units as minor ones. `ValueError` when there is a fraction of a minor unit, or no finite number."""
    if not amount.is_finite():
        raise ValueError(f"{amount} is not an amount")
    minor = amount.scaleb(EXPONENTS[currency])
    if minor != minor.to_integral_value():
        raise ValueError(f"{amount} {currency} has more decimals than the currency")
    return int(minor)


def format_amount(amount: int, currency: str) -> str:
    """`USD 25.00`, `IDR 100,000`, `JPY 1,200`: for operators; customers see their own language's form.

    An unknown currency is shown as it was given, in minor units.
    """
    digits = EXPONENTS.get(currency, 0)
    whole, rest = divmod(abs(amount), 10**digits)
    is_bare = not digits or (rest == 0 and currency in NO_SMALL_UNITS)
    fraction = "" if is_bare else f".{rest:0{digits}d}"
    return f"{currency} {'-' if amount < 0 else ''}{whole:,}{fraction}"
