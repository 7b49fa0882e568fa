"""Where a command finds the ledger and Temporal, and which merchant account it is about."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

from dunning.cli.output import note
from dunning.client import DunningClient, connect
from dunning.errors import ConfigurationError, StackError
from dunning.ledger import Ledger
from dunning.settings import Settings, load_settings

USUAL_ACCOUNT = "demo"

AccountOption = Annotated[
    str | None,
    typer.Option("--account", envvar="DUNNING_ACCOUNT", help="the merchant account; else the only one, or `demo`"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="print JSON")]
SubscriptionArgument = Annotated[str, typer.Argument(help="the backend's reference of the subscription")]


@dataclass(frozen=True)
class Session:
    """Connections of one command."""

    settings: Settings
    dunning: DunningClient
    account: str


@asynccontextmanager
async def session(account: str | None = None, *, pool_size: int = 2) -> AsyncIterator[Session]:
    """Open the ledger and Temporal's client; the latter connects with its first call.

    Raises:
        ConfigurationError: there is no ledger, or it is not clear which merchant account is meant.
    """
    settings = settings_of_here()
    name = chosen_account(settings, account)
    ledger = await Ledger.open(settings.ledger_url_async, pool_size=pool_size)
    try:
        yield Session(settings, DunningClient(await connect(lazy=True), ledger), name)
    finally:
        await ledger.aclose()


def settings_of_here() -> Settings:
    """The environment's settings; in a checkout without any, those of the development stack on its fixed ports."""
    if not os.environ.get("DUNNING_LEDGER_URL"):
        _look_at_the_development_stack()
    return load_settings()


def _look_at_the_development_stack() -> None:
    from dunning.stack.compose import compose, read_document
    from dunning.stack.environment import chosen_variables, shared
    from dunning.stack.places import checkout

    try:
        root = checkout()
    except StackError:
        return
    document = read_document(root / "temporal-dev.yml")
    env, _ = shared(compose(document, chosen_variables(document, "fixed")), root)
    for name, value in env.items():
        os.environ.setdefault(name, value)
    note("DUNNING_LEDGER_URL is not set: using the development stack of this checkout")


def chosen_account(settings: Settings, given: str | None) -> str:
    """The account that is meant; what is not in the settings is refused, unless there are none at all."""
    if given is not None:
        if settings.accounts:
            settings.account(given)
        return given
    if USUAL_ACCOUNT in settings.accounts or not settings.accounts:
        return USUAL_ACCOUNT
    if len(settings.accounts) == 1:
        return next(iter(settings.accounts))
    raise ConfigurationError(f"which merchant account? --account is one of {', '.join(sorted(settings.accounts))}")
