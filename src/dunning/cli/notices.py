"""`dunning notices ID`, `render OCCASION`, `gallery FILE`: what customers were told, and would read. SPEC 11."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from dunning.cli.orlist import OrList
from dunning.cli.output import print_json, say, table
from dunning.cli.session import AccountOption, JsonOption, SubscriptionArgument, session
from dunning.domain.terms import Occasion
from dunning.ledger.models import StoredNotice
from dunning.notices import gallery
from dunning.notices.texts import locales

notices = typer.Typer(cls=OrList, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@notices.callback()
def group() -> None:
    """What a customer was told (`notices ID`), and how notices read."""


@notices.command("list")
def list_(subscription: SubscriptionArgument, *, account: AccountOption = None, as_data: JsonOption = False) -> None:
    """List every notice to the customer, by channel, and what became of it."""

    async def read() -> list[StoredNotice]:
        async with session(account) as here:
            await here.dunning.ledger.read_subscription(here.account, subscription)
            return await here.dunning.ledger.notices_of(here.account, subscription)

    rows = asyncio.run(read())
    if as_data:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    columns = ("occasion", "channel", "planned (UTC)", "status", "outcome", "why")
    shown = [(r.occasion, r.channel, r.planned_at, r.status, r.outcome, r.because) for r in rows]
    table(f"Notices of {subscription}", columns, shown)


def _known_locale(value: str) -> str:
    if value not in locales():
        raise typer.BadParameter(f"there are texts in {', '.join(locales())}; not in {value!r}")
    return value


LocaleOption = Annotated[str, typer.Option("--locale", callback=_known_locale, help="the language of the texts")]


@notices.command("render")
def render(
    occasion: Annotated[Occasion, typer.Argument(help="what it is about")],
    *,
    locale: LocaleOption = "en",
    html: Annotated[Path | None, typer.Option("--html", help="write the mail's page to this file")] = None,
    as_data: JsonOption = False,
) -> None:
    """Show how one notice reads, with sample facts: the mail's text, and the WhatsApp message."""
    rendered = gallery.sample(occasion, locale)
    if html is not None:
        html.write_text(rendered.html, encoding="utf-8")
        say(f"{html}: written")
        return
    if as_data:
        print_json({**rendered.model_dump(mode="json"), "whatsapp": gallery.filled(occasion, locale, rendered)})
        return
    say(f"Subject: {rendered.subject}", "", *rendered.text.splitlines(), "", "WhatsApp:")
    say(gallery.filled(occasion, locale, rendered))


@notices.command("gallery")
def gallery_(
    file: Annotated[Path, typer.Argument(help="the page to write")],
    *,
    locale: Annotated[list[str] | None, typer.Option("--locale", help="only these; every locale by default")] = None,
    desktop: Annotated[bool, typer.Option("--desktop", help="as wide as on a desktop, not as on a phone")] = False,
) -> None:
    """Write one page with every occasion in every locale, for a browser."""
    chosen = [_known_locale(one) for one in locale or locales()]
    width = gallery.WIDTHS["desktop" if desktop else "phone"]
    file.write_text(gallery.page(chosen, width=width), encoding="utf-8")
    say(f"{file}: {len(chosen) * len(Occasion)} notices")
