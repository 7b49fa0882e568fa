"""`dunning notices ID`, `render OCCASION`, `gallery FILE`: what customers were told, and would read. SPEC 11."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from dunning.cli.orlist import OrList
from dunning.cli.output import print_json, say, table
from dunning.cli.session import AccountOption, JsonOption, SubscriptionArgument, session
from dunning.cli.told import reached_at
from dunning.domain.contact import NoticeKind
from dunning.domain.terms import Channel, Occasion
from dunning.ledger.models import StoredNotice
from dunning.ledger.reach import Reach
from dunning.notices import gallery, registry
from dunning.notices.bounces import NotABounce, read_bounce
from dunning.notices.reconciling import Reconciling
from dunning.notices.texts import Stage, locales

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
    columns = ("occasion", "channel", "planned (UTC)", "status", "when (UTC)", "provider's id", "outcome", "why")
    shown = [
        (r.occasion, r.channel, r.planned_at, r.status, reached_at(r), r.provider_id, r.outcome, r.because)
        for r in rows
    ]
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
    stage: Annotated[
        Stage | None, typer.Option("--stage", help="its tone: a failure told before, a price that needs consent")
    ] = None,
    html: Annotated[Path | None, typer.Option("--html", help="write the mail's page to this file")] = None,
    as_data: JsonOption = False,
) -> None:
    """Show how one notice reads, with sample facts: the mail's text, and the WhatsApp message."""
    rendered = gallery.sample(occasion, locale, stage)
    if html is not None:
        html.write_text(rendered.html, encoding="utf-8")
        say(f"{html}: written")
        return
    if as_data:
        print_json({**rendered.model_dump(mode="json"), "whatsapp": rendered.short})
        return
    say(f"Subject: {rendered.subject}", "", *rendered.text.splitlines(), "", "WhatsApp:")
    say(rendered.short)


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
    say(f"{file}: {len(chosen) * len(gallery.SAMPLES)} notices")


@notices.command("export-templates")
def export_templates(
    folder: Annotated[Path, typer.Argument(help="one folder for each locale is made in it")],
    *,
    locale: Annotated[list[str] | None, typer.Option("--locale", help="only these; every locale by default")] = None,
) -> None:
    """Write every WhatsApp template as the body with which it is submitted to Meta (`message_templates`)."""
    chosen = [_known_locale(one) for one in locale or locales()]
    written = 0
    for template in registry.registry():
        if template.locale in chosen:
            place = folder / template.locale
            place.mkdir(parents=True, exist_ok=True)
            body = json.dumps(template.submission(), ensure_ascii=False, indent=2)
            (place / f"{template.name}.json").write_text(body + "\n", encoding="utf-8")
            written += 1
    say(f"{folder}: {written} templates")


CustomerArgument = Annotated[str, typer.Argument(help="the backend's reference of the customer")]


@notices.command("reach")
def reach(customer: CustomerArgument, *, account: AccountOption = None, as_data: JsonOption = False) -> None:
    """Show which notices reach a customer on which channels, and why others do not. Addresses are not shown."""

    async def read() -> Reach:
        async with session(account) as here:
            return await here.dunning.ledger.reach(here.account, customer)

    found = asyncio.run(read())
    why = {(channel, kind): found.why_not(channel, kind) for channel in Channel for kind in NoticeKind}
    if as_data:
        rows = [{"channel": c.value, "kind": k.value, "reached": w is None, "because": w} for (c, k), w in why.items()]
        print_json(rows)
        return
    shown = [(c.value, k.value, "yes" if w is None else "no", w) for (c, k), w in why.items()]
    table(f"Reaching {customer}", ("channel", "kind", "reached", "why not"), shown)


@notices.command("opt-out")
def opt_out(
    customer: CustomerArgument,
    channel: Annotated[Channel, typer.Argument(help="on which channel")],
    *,
    kind: Annotated[NoticeKind, typer.Option("--kind", help="which notices")] = NoticeKind.ROUTINE,
    is_undone: Annotated[bool, typer.Option("--undo", help="they may be sent again")] = False,
    account: AccountOption = None,
) -> None:
    """Write down that a customer wants no notices of a kind on a channel."""

    async def write() -> None:
        async with session(account) as here:
            ledger = here.dunning.ledger
            await ledger.reach(here.account, customer)
            if is_undone:
                await ledger.opt_in(here.account, customer, channel, kind)
            else:
                await ledger.opt_out(here.account, customer, channel, kind, source="cli")

    asyncio.run(write())
    say(f"{customer}: {kind.value} notices {'may go' if is_undone else 'no longer go'} on {channel.value}")


@notices.command("reachable")
def reachable(
    customer: CustomerArgument,
    channel: Annotated[Channel, typer.Argument(help="whose address works again")] = Channel.EMAIL,
    *,
    account: AccountOption = None,
) -> None:
    """Write down that a customer's address works again after it was marked as dead."""

    async def write() -> None:
        async with session(account) as here:
            await here.dunning.ledger.mark_alive(here.account, customer, channel)

    asyncio.run(write())
    say(f"{customer}: {channel.value} is used again")


@notices.command("bounce")
def bounce(
    file: Annotated[Path, typer.Argument(help="a whole mail: the delivery status notification as it came in")],
    *,
    account: AccountOption = None,
) -> None:
    """Take in a mail that came back; a dead address is not written to again."""
    try:
        found = read_bounce(file.read_bytes())
    except NotABounce as refused:
        raise typer.BadParameter(str(refused)) from None

    async def take() -> str:
        async with session(account) as here:
            return await Reconciling(here.dunning.ledger).bounced(here.account, found, datetime.now(UTC))

    result = asyncio.run(take())
    dead = "; the address is not written to again" if found.is_address_dead and result == "failed" else ""
    say(f"{file}: {result}{dead}")
