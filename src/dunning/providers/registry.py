"""Which adapter serves which provider: a map, so that nothing else ever asks by name. SPEC 12."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dunning.errors import ConfigurationError
from dunning.providers.base import PaymentProvider
from dunning.providers.dodo import DodoProvider
from dunning.providers.google_play import GooglePlayProvider
from dunning.providers.google_play_auth import throwaway_key
from dunning.providers.omise import OmiseProvider
from dunning.providers.xendit import XenditProvider
from dunning.settings import THROWAWAY_KEY, AccountSettings

Factory = Callable[[AccountSettings], PaymentProvider]


def _dodo(account: AccountSettings) -> PaymentProvider:
    return DodoProvider(account.api_key, is_test=account.mode == "test", base_url=account.base_url)


def _google_play(account: AccountSettings) -> PaymentProvider:
    play = account.google_play
    if play is None:
        raise ValueError("google_play: the account needs its package_name")
    is_throwaway = account.api_key.get_secret_value() == THROWAWAY_KEY
    return GooglePlayProvider(
        throwaway_key() if is_throwaway else account.api_key,
        package_name=play.package_name,
        is_test=account.mode == "test",
        base_url=account.base_url,
        token_url=play.token_url or (f"{account.base_url}/token" if account.base_url else None),
    )


def _omise(account: AccountSettings) -> PaymentProvider:
    return OmiseProvider(account.api_key, is_test=account.mode == "test", base_url=account.base_url)


def _xendit(account: AccountSettings) -> PaymentProvider:
    return XenditProvider(account.api_key, is_test=account.mode == "test", base_url=account.base_url)


FACTORIES: Mapping[str, Factory] = {"dodo": _dodo, "google_play": _google_play, "omise": _omise, "xendit": _xendit}
"""Adding a provider is one adapter and one line here."""


def provider_for(account: AccountSettings) -> PaymentProvider:
    """The adapter of one merchant account; the caller closes it.

    Raises:
        ConfigurationError: there is no adapter for the provider, or the credentials are of the other mode.
    """
    factory = FACTORIES.get(account.provider)
    if factory is None:
        known = ", ".join(sorted(FACTORIES))
        raise ConfigurationError(f"no adapter for provider {account.provider!r} (there are: {known})")
    try:
        return factory(account)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
