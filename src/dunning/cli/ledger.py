"""`dunning ledger migrate`: bring the ledger's schema to this release."""

from __future__ import annotations

import asyncio

import typer

from dunning.cli.output import say
from dunning.cli.session import settings_of_here
from dunning.ledger import is_current
from dunning.ledger import migrate as migrated

ledger = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@ledger.callback()
def group() -> None:
    """The ledger's schema."""


@ledger.command("migrate")
def migrate() -> None:
    """Bring the schema to this release; safe to run again, and from many places at once."""

    async def work(url: str) -> bool:
        was_current = await is_current(url)
        await migrated(url)
        return was_current

    was_current = asyncio.run(work(settings_of_here().ledger_url_async))
    say("The ledger was current already." if was_current else "The ledger is current now.")
