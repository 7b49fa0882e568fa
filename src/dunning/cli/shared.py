"""What the commands that need servers share: connections, and the account in question."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

import typer

from dunning.cli import output
from dunning.client import DunningClient, connect
from dunning.errors import ConfigurationError
from dunning.ledger import Ledger
from dunning.settings import Settings, load_settings

T = TypeVar("T")

console = output.console()
errors = output.console(is_error=True)

Account = Annotated[str | None, typer.Option("--account", help="merchant account; the only one when not given")]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable")]


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run one command."""
    return asyncio.run(work)


def account_of(settings: Settings, given: str | None) -> str:
    """The account meant: the one given, or the only one there is."""
    if given is not None:
        settings.account(given)
        return given
    if len(settings.accounts) == 1:
        return next(iter(settings.accounts))
    names = ", ".join(sorted(settings.accounts)) or "none; set DUNNING_ACCOUNTS_FILE"
    raise ConfigurationError(f"--account: must be given (there are: {names})")


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[DunningClient, Settings]]:
    """Temporal and the ledger, from the environment."""
    settings = load_settings()
    ledger = await Ledger.open(settings.ledger_url_async, pool_size=4)
    try:
        yield DunningClient(await connect(), ledger), settings
    finally:
        await ledger.aclose()


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))
