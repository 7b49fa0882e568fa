"""What each provider takes, as data. Source: the contract sheets. SPEC 4: their own limits apply too."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from dunning.domain.base import Value
from dunning.domain.fields import MAX_AMOUNT
from dunning.domain.money import EXPONENTS, NO_SMALL_UNITS

OWN_METADATA = frozenset({"dunning_key", "retry_attempt", "planned_at", "business_at", "subscription", "obligation"})
"""Keys that every charge carries besides the backend's own, which must not use them: look-ups rely on them."""

INT32 = 2_147_483_647


class Limits(Value):
    """One provider's limits. Amounts in minor units, lengths in characters.

    Attributes:
        collections: who may run calendar and retries there.
        currencies: None: not published, so every currency is let through.
        min_amounts: the least amount of one payment, where it is known; else 1.
        metadata_pairs: how many are left for the backend; `metadata_because` says why it is that number.
        is_in_major_units: amounts go over the wire in major units, so some currencies have no smaller ones.
        even_retries: the most retries of a calendar run by the provider, which spaces them evenly; None: no such rule.
        link_currencies: those in which a customer can authorise by a link; None: all.
        countries: the country of a currency that only one uses; elsewhere the options have to name it.
    """

    collections: tuple[str, ...]
    currencies: frozenset[str] | None = None
    min_amounts: Mapping[str, int] = Field(default_factory=dict)
    max_amount: int = MAX_AMOUNT
    metadata_pairs: int = 50
    metadata_because: str = ""
    metadata_key: int = 40
    metadata_value: int = 500
    reserved_keys: frozenset[str] = OWN_METADATA
    is_in_major_units: bool = False
    makes_mandate_links: bool = False
    charges_methods: bool = True
    even_retries: int | None = None
    link_currencies: frozenset[str] | None = None
    countries: Mapping[str, str] = Field(default_factory=dict)

    def least(self, currency: str) -> int:
        """The least amount of one payment."""
        return self.min_amounts.get(currency, 1)

    def step(self, currency: str) -> int:
        """Amounts are a multiple of this."""
        is_whole = self.is_in_major_units and currency in NO_SMALL_UNITS
        return int(10 ** EXPONENTS.get(currency, 0)) if is_whole else 1


_DODO_CURRENCIES = """
    AED ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BWP BYN BZD CAD CHF CLP CNY
    COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF
    IDR ILS INR IQD JMD JOD JPY KES KGS KHR KMF KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT
    MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF
    SAR SBD SCR SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SZL THB TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES
    VND VUV WST XAF XCD XOF XPF YER ZAR ZMW
"""
_XENDIT_CURRENCIES = "IDR PHP VND THB SGD MYR USD HKD AUD GBP EUR JPY MXN"
_XENDIT_LINKS = "IDR PHP VND THB SGD MYR USD"
_XENDIT_COUNTRIES = {
    "IDR": "ID",
    "PHP": "PH",
    "VND": "VN",
    "THB": "TH",
    "SGD": "SG",
    "MYR": "MY",
    "HKD": "HK",
    "MXN": "MX",
}
_XENDIT = Limits(
    collections=("engine", "provider"),
    currencies=frozenset(_XENDIT_CURRENCIES.split()),
    metadata_pairs=50 - len(OWN_METADATA),
    metadata_because=f": Xendit takes 50, and {len(OWN_METADATA)} of them are the engine's",
    is_in_major_units=True,
    makes_mandate_links=True,
    link_currencies=frozenset(_XENDIT_LINKS.split()),
    countries=_XENDIT_COUNTRIES,
)

LIMITS: Mapping[str, Limits] = {
    # Sheet D: amounts are int32; 50 metadata pairs in all (MAXIMUM_KEYS_REACHED); at least $0.50.
    "dodo": Limits(
        collections=("engine",),
        currencies=frozenset(_DODO_CURRENCIES.split()),
        min_amounts={"USD": 50},
        max_amount=INT32,
        metadata_pairs=50 - len(OWN_METADATA),
        metadata_because=f": Dodo takes 50, and {len(OWN_METADATA)} of them are the engine's",
        makes_mandate_links=True,
        reserved_keys=OWN_METADATA | {"dunning_first_key"},
    ),
    # Sheet A2: major units on the wire; 50 pairs of at most 500 characters with a payment.
    "xendit": _XENDIT,
    # Sheet A2.2, A4: plans take 20 pairs of at most 80 characters, and evenly spaced retries.
    "xendit/provider": _XENDIT.but(
        metadata_pairs=20 - len(OWN_METADATA),
        metadata_because=(
            f": Xendit's plans take 20, and {len(OWN_METADATA)} of them are the engine's; "
            f"with collection engine there is room for {50 - len(OWN_METADATA)}"
        ),
        metadata_value=80,
        even_retries=10,
    ),
    # Sheet B: THB payments start at 20 baht.
    "omise": Limits(collections=("engine", "provider"), min_amounts={"THB": 2_000}),
    # Play bills by itself: nothing of ours is sent with a payment.
    "google_play": Limits(collections=("provider",), charges_methods=False, reserved_keys=frozenset()),
}
"""By provider, and by `provider/collection` where the collection makes a difference."""


def limits_of(provider: str, collection: str) -> Limits:
    """What a provider takes of a subscription that is collected so."""
    return LIMITS.get(f"{provider}/{collection}", LIMITS[provider])
