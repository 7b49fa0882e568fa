"""`dunning demo`: the portfolio on a real Temporal server, from nothing, by one command. SPEC 17."""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dunning.cli.reading import read_file
from dunning.cli.shared import console
from dunning.client import DunningClient, connect
from dunning.demo.golden import Golden, read_golden
from dunning.demo.judging import by_obligation, differences, recovered_and_lost
from dunning.demo.living import Lived
from dunning.demo.purchases import Purchases, PurchaseStory, chosen, live_purchases, table_of
from dunning.demo.selling import Places, Sold
from dunning.domain.base import Value
from dunning.domain.money import format_amount
from dunning.domain.preview import Foretold
from dunning.domain.script import Script
from dunning.importing import Entry, read_subscriptions
from dunning.ledger import Ledger
from dunning.ledger.notices import REACHED
from dunning.previewing import foretell
from dunning.stack import Stack
from dunning.stack.migrate import sold_keys
from dunning.stack.places import checkout

AT_ONCE = 8
"""Subscriptions that live at the same time; a machine with two cores is busy then."""


class Story(Value):
    """One subscription: foretold, lived, judged."""

    foretold: Foretold
    lived: Lived
    golden: Golden
    faults: tuple[str, ...]


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="leave the stack running and print its addresses")] = False,
    only: Annotated[str, typer.Option("--only", help="comma-separated ids of the portfolio")] = "",
    portfolio: Annotated[Path | None, typer.Option("--portfolio", help="another one, with its golden file")] = None,
) -> None:
    """Run the portfolio on a real Temporal server and compare it with its preview and golden instants."""
    file = portfolio or checkout() / "examples" / "portfolio.csv"
    raise typer.Exit(asyncio.run(_demo(file, keep=keep, only={o for o in only.split(",") if o})))


def _purchases(folder: Path, only: set[str], now: datetime) -> Purchases:
    """The purchases beside a portfolio; none where there is no such file."""
    file = folder / "purchases.yml"
    if not file.exists():
        return Purchases([], {})
    return chosen(read_file(file, now=now), file.with_suffix(".golden.yml"), only)


async def _live_purchases(purchases: Purchases, stack: Stack, now: datetime) -> list[PurchaseStory]:
    async with AsyncExitStack() as exits:
        ledger = await Ledger.open(stack.env["DUNNING_LEDGER_URL"], pool_size=2)
        exits.push_async_callback(ledger.aclose)
        sandbox, shop, _ = await _places(stack, exits)
        return await live_purchases(purchases, DunningClient(await connect(), ledger), (sandbox, shop), now)


def _tell_purchases(stories: list[PurchaseStory]) -> bool:
    """Whether one of them was other than it must be."""
    if not stories:
        return False
    console.print(table_of(stories))
    faults = [f"{story.id}: {fault}" for story in stories for fault in story.faults]
    for fault in faults:
        console.print(f"  {fault}", style="red", highlight=False)
    if not faults:
        steps, events = sum(len(one.told) for one in stories), sum(one.events for one in stories)
        console.print(
            f"[green]{len(stories)} purchases, {steps} steps: what show answered at each equals the preview and the "
            f"golden instants; the backend took {events} signed events and agrees about access.[/green]"
        )
    return bool(faults)


async def _demo(file: Path, *, keep: bool, only: set[str]) -> int:
    started = time.monotonic()
    now = datetime.now(UTC).replace(microsecond=0)
    golden = read_golden(file.with_suffix(".golden.yml"))
    entries = [e for e in read_subscriptions(file, now=now) if not only or str(e.document.get("id")) in only]
    faulty = [f"line {e.line}: {fault}" for e in entries for fault in e.faults]
    missing = [str(e.document["id"]) for e in entries if e.document.get("id") not in golden]
    if faulty or missing:
        console.print("\n".join([*faulty, *(f"{m}: has no golden instants" for m in missing)]), style="red")
        return 2
    purchases = _purchases(file.parent, only, now)
    async with AsyncExitStack() as exits:
        console.print("Starting Temporal, PostgreSQL, mail catcher, sandbox, gateway, worker and a product backend ...")
        stack = await exits.enter_async_context(Stack.start(ports="fixed" if keep else "free"))
        console.print(f"  up after {time.monotonic() - started:.1f} s; Temporal UI: {_ui(stack)}")
        with _environment(stack.env):
            stories, bought = await asyncio.gather(
                _live_all(entries, golden, stack, now), _live_purchases(purchases, stack, now)
            )
        _tell(stories)
        bad = _judge(stories, expected=len(entries))
        bad = _tell_purchases(bought) or bad
        console.print(f"Elapsed {time.monotonic() - started:.1f} s; skipped: {len(golden) - len(entries)}.")
        if keep:
            console.print(f"\nThe stack stays. Temporal UI: {_ui(stack)}   mails: {stack.urls.get('mail')}")
            console.print("Stop it with Ctrl-C.")
            await stack.wait()
    return 1 if bad else 0


def _ui(stack: Stack) -> str:
    return stack.env.get("DUNNING_TEMPORAL_UI_URL", "")


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Temporal's client reads its address from the environment, and so do we."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


async def _live_all(entries: list[Entry], golden: dict[str, Golden], stack: Stack, now: datetime) -> list[Story]:
    ledger = await Ledger.open(stack.env["DUNNING_LEDGER_URL"], pool_size=AT_ONCE)
    dunning = DunningClient(await connect(), ledger)
    slots = asyncio.Semaphore(AT_ONCE)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with AsyncExitStack() as exits:
        places = await _places(stack, exits)
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task("Moving the portfolio through its future", total=len(entries))

            async def one(entry: Entry) -> Story:
                async with slots:
                    story = await _live(entry, golden[str(entry.document["id"])], dunning, places, now)
                progress.advance(bar)
                return story

            stories = await asyncio.gather(*(one(entry) for entry in entries))
    await ledger.aclose()
    return list(stories)


async def _places(stack: Stack, exits: AsyncExitStack) -> Places:
    env = stack.env

    async def speaking_to(url: str, **headers: str) -> httpx.AsyncClient:
        return await exits.enter_async_context(httpx.AsyncClient(base_url=url, timeout=90, headers=headers))

    url = env["DUNNING_GATEWAY_URL"]
    return Places(
        sandbox=await speaking_to(env["DUNNING_SANDBOX_URL"]),
        shop=await speaking_to(env["DUNNING_BACKEND_URL"]),
        api={account: await speaking_to(url, Authorization=f"Bearer {key}") for account, key in sold_keys(env).items()},
    )


async def _live(entry: Entry, golden: Golden, dunning: DunningClient, places: Places, now: datetime) -> Story:
    given, script = entry.subscription, entry.script or Script()
    if given is None:
        raise RuntimeError("entries with faults do not get here")
    foretold = foretell(given, script, created_at=now, cycles=golden.cycles)
    living = Sold(dunning, places, entry.document, given, script, now=now, cycles=golden.cycles)
    lived = await living.live()
    faults = differences(lived, foretold, golden, now + timedelta(hours=2))
    return Story(foretold=foretold, lived=lived, golden=golden, faults=tuple(faults))


def _tell(stories: list[Story]) -> None:
    table = Table(title="What happened", show_lines=True)
    for column in ("subscription", "cycle", "attempts: planned (UTC), trigger, result", "notices sent", "status"):
        table.add_column(column, overflow="fold")
    for story in stories:
        lived = story.lived
        rows = by_obligation(lived.attempts)
        told = "\n".join(f"{n.occasion} ({n.channel.lower()})" for n in lived.notices if n.status in REACHED)
        for number, (obligation, attempts) in enumerate(rows.items()):
            lines = [
                f"{a.planned_at:%Y-%m-%d %H:%M} {a.trigger}: "
                f"{(a.outcome.raw_code or a.outcome.kind.value) if a.outcome else a.status}"
                for a in attempts
            ]
            is_first = number == 0
            table.add_row(
                lived.id if is_first else "", obligation, "\n".join(lines), told if is_first else "",
                (f"[red]{lived.status}[/red]" if story.faults else lived.status) if is_first else "",
            )  # fmt: skip
        if not rows:
            table.add_row(lived.id, "-", "-", told, lived.status)
    console.print(table)
    _tell_money(stories)


def _tell_money(stories: list[Story]) -> None:
    recovered: dict[str, int] = defaultdict(int)
    lost: dict[str, int] = defaultdict(int)
    for story in stories:
        won, gone = recovered_and_lost(story.lived)
        recovered[story.lived.currency] += won
        lost[story.lived.currency] += gone
    table = Table(title="At risk after a first decline")
    for column in ("currency", "recovered", "lost"):
        table.add_column(column, justify="right")
    for currency in sorted(recovered):
        table.add_row(currency, format_amount(recovered[currency], currency), format_amount(lost[currency], currency))
    console.print(table)


def _judge(stories: list[Story], *, expected: int) -> bool:
    faults = [f"{story.lived.id}: {fault}" for story in stories for fault in story.faults]
    if len(stories) != expected:
        faults.append(f"{expected - len(stories)} subscriptions are missing")
    attempts = sum(len(s.lived.attempts) for s in stories)
    if faults:
        console.print(f"[red]{len(faults)} differences:[/red]")
        for fault in faults:
            console.print(f"  {fault}", style="red", highlight=False)
    else:
        console.print(
            f"[green]{len(stories)} subscriptions, {attempts} attempts: every planned instant equals the preview's "
            "and the golden one, no obligation was paid twice, no cycle is missing.[/green]"
        )
        ends = [s.lived.entitlement for s in stories if s.lived.entitlement is not None]
        granted, events = sum(e.engine for e in ends), sum(e.events_received for e in ends)
        console.print(
            f"[green]The backend took {events} signed events; its access list equals the engine's: {granted} granted, "
            f"{len(ends) - granted} not.[/green]"
        )
    return bool(faults)
