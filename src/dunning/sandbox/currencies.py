"""Currencies that Dodo takes."""

from __future__ import annotations

from dunning.sandbox.errors import ApiError

CURRENCIES = frozenset(
    """
    AED ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BWP BYN BZD CAD CHF CLP
    CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK
    HTG HUF IDR ILS INR IQD JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA
    MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR
    RON RSD RUB RWF SAR SBD SCR SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SZL THB TND TOP TRY TTD TWD TZS UAH
    UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW
    """.split()  # noqa: SIM905 - a word list reads better than 145 quoted strings
)


def require_currency(code: str) -> str:
    """The code itself, when the provider takes it.

    Raises:
        ApiError: UNSUPPORTED_CURRENCY.
    """
    if code not in CURRENCIES:
        raise ApiError("UNSUPPORTED_CURRENCY", f"The currency {code} is not supported.")
    return code
