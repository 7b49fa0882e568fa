"""`dunning portal ID`: a link to the customer's own page at the provider. SPEC 12."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from dunning.cli.exits import REFUSED
from dunning.cli.output import complain, print_json, say
from dunning.cli.session import AccountOption, JsonOption, SubscriptionArgument, session
from dunning.providers.base import ProviderRefused


def portal(
    subscription: SubscriptionArgument,
    *,
    return_url: Annotated[str | None, typer.Option(help="where the page leads back to")] = None,
    account: AccountOption = None,
    as_data: JsonOption = False,
) -> None:
    """Make a link to the customer's own page at the provider; where there is none, it says so and ends with 1."""
    try:
        link = asyncio.run(_link(subscription, account, return_url))
    except ProviderRefused as refused:
        complain(str(refused))
        raise typer.Exit(REFUSED) from None
    if as_data:
        print_json({"url": link})
    else:
        say(link)


async def _link(subscription: str, account: str | None, return_url: str | None) -> str:
    async with session(account) as here:
        merchant = here.dunning.merchant(here.account, here.settings.account(here.account))
        return await merchant.portal_link(subscription, return_url=return_url)
