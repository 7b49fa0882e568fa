"""Starting subscriptions and looking at them: start, show, list, attempts, events, notices, explain."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markdown import Markdown
from rich.progress import track
from rich.table import Table

from dunning.cli.shared import Account, AsJson, account_of, connected, console, errors, print_json, run
from dunning.domain.access import access
from dunning.domain.decide import decide
from dunning.domain.money import format_amount
from dunning.domain.showing import details, summary
from dunning.domain.state import State
from dunning.errors import Conflict, Fault, InvalidInput
from dunning.importing import read_subscriptions
from dunning.intake import creation_warnings
from dunning.ledger import migrate
from dunning.settings import load_settings

Reference = Annotated[str, typer.Argument(metavar="ID", help="the subscription's id")]

ledger_app = typer.Typer(no_args_is_help=True)


@ledger_app.command("migrate")
def migrate_ledger() -> None:
    """Bring the ledger's schema to this release."""
    run(migrate(load_settings().ledger_url_async))
    console.print("The ledger is current.")


def start(
    files: Annotated[list[Path], typer.Argument(help="JSON, JSON Lines, YAML or CSV")],
    restart: Annotated[bool, typer.Option("--restart", help="begin failed or inactive ones anew")] = False,
) -> None:
    """Start every subscription of the files. Doing it again changes nothing and goes on where it stopped."""
    run(_start(files, restart=restart))


async def _start(files: list[Path], *, restart: bool) -> None:
    now = datetime.now(UTC)
    entries = [(file, entry) for file in files for entry in read_subscriptions(file, now=now)]
    faults = [Fault(f"{f.name}:{e.line}: {x.field}", x.rule, x.value) for f, e in entries for x in e.faults]
    if faults:
        raise InvalidInput(faults)
    conflicts = 0
    new = 0
    async with connected() as (dunning, _):
        for file, entry in track(entries, description="Starting", console=console, disable=len(entries) < 5):
            if entry.subscription is None:
                continue
            try:
                started = await dunning.start(entry.subscription, restart=restart)
            except Conflict as refused:
                errors.print(f"{file.name}:{entry.line}: {refused}")
                conflicts += 1
                continue
            new += started.is_new
            for warning in creation_warnings(entry.subscription):
                console.print(f"{file.name}:{entry.line}: warning: {warning}")
    known = len(entries) - new - conflicts
    console.print(f"{new} started, {known} were there already, {conflicts} in conflict")
    raise typer.Exit(1 if conflicts else 0)


def show(reference: Reference, account: Account = None, as_json: AsJson = False) -> None:
    """Where a subscription stands: access, what is next and why, cycles and attempts."""

    async def work() -> tuple[State, datetime]:
        async with connected() as (dunning, settings):
            report = await dunning.show(account_of(settings, account), reference)
            if report.state is None:
                raise InvalidInput([Fault("ID", "its run has not been loaded yet; is a worker running?", reference)])
            return report.state, report.business_now

    state, now = run(work())
    decision = decide(state, now)
    if as_json:
        granted = access(state, now)
        print_json(
            {
                "id": state.id,
                "status": state.status.value,
                "access": granted.model_dump(mode="json"),
                "next": decision.model_dump(mode="json") if decision is not None else None,
                "state": state.model_dump(mode="json"),
            }
        )
        return
    console.print(Markdown(details(state, decision, now)))


def explain(reference: Reference, account: Account = None) -> None:
    """Why the next thing happens, and why then."""

    async def work() -> None:
        async with connected() as (dunning, settings):
            report = await dunning.show(account_of(settings, account), reference)
        state = report.state
        decision = decide(state, report.business_now) if state is not None else None
        if state is None or decision is None:
            console.print("Nothing is planned: it waits for the customer, the provider or a command.")
            return
        console.print(f"[bold]Next:[/bold] {summary(state, decision)}")
        console.print(f"[bold]Because:[/bold] {decision.because}")
        for obligation in state.obligations:
            for attempt in obligation.attempts:
                came = attempt.outcome
                rule = f", by rule {came.rule}" if came is not None and came.rule else ""
                what = f"{came.raw_code or came.kind.value}{rule}" if came is not None else "on its way"
                console.print(f"  {obligation.id}/{attempt.number} {attempt.because}: {what}")
            if obligation.next is not None and obligation.next.held_up_by:
                console.print(f"  held up by: {obligation.next.held_up_by}")
            for dropped in obligation.dropped:
                console.print(f"  rung {dropped.rung} (day {dropped.days}) was dropped: {dropped.because}")
        console.print(f"[bold]Access:[/bold] {access(state, report.business_now).because}")

    run(work())


def list_(
    account: Account = None,
    status: Annotated[str | None, typer.Option("--status")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """Subscriptions of an account, from the ledger."""

    async def work() -> list[dict[str, Any]]:
        async with connected() as (dunning, settings):
            rows = await dunning.ledger.list_subscriptions(account_of(settings, account), status=status, limit=limit)
        return [
            {
                "id": r.id,
                "status": r.status,
                "customer": r.customer_id,
                "amount": r.terms.amount,
                "currency": r.terms.currency,
                "generation": r.generation,
            }
            for r in rows
        ]

    rows = run(work())
    if as_json:
        print_json(rows)
        return
    table = Table("id", "status", "customer", "amount")
    for row in rows:
        table.add_row(row["id"], row["status"], row["customer"], format_amount(row["amount"], row["currency"]))
    console.print(table)


def attempts(reference: Reference, account: Account = None, as_json: AsJson = False) -> None:
    """Every attempt in the ledger, with the rule that classified it."""

    async def work() -> list[Any]:
        async with connected() as (dunning, settings):
            return await dunning.ledger.attempts_of(account_of(settings, account), reference)

    rows = run(work())
    if as_json:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    table = Table("obligation", "no", "trigger", "planned (UTC)", "ran (UTC)", "result", "class", "rule")
    for row in rows:
        came = row.outcome
        table.add_row(
            row.obligation, str(row.number), row.trigger, f"{row.planned_at:%Y-%m-%d %H:%M:%S}",
            f"{row.business_at:%Y-%m-%d %H:%M:%S}",
            (came.raw_code or came.kind.value) if came is not None else row.status,
            came.klass.value if came is not None and came.klass is not None else "",
            (came.rule or "") if came is not None else "",
        )  # fmt: skip
    console.print(table)


def events(reference: Reference, account: Account = None, as_json: AsJson = False) -> None:
    """Events to the product backend, in order, delivered or not."""

    async def work() -> list[dict[str, Any]]:
        async with connected() as (dunning, settings):
            return await dunning.ledger.events_of(account_of(settings, account), reference)

    rows = run(work())
    if as_json:
        print_json(rows)
        return
    table = Table("no", "type", "at (UTC)", "delivered")
    for row in rows:
        done = "yes" if row["delivered_at"] else ("given up" if row["undelivered_at"] else "not yet")
        table.add_row(str(row["sequence"]), row["type"], f"{row['created_at']:%Y-%m-%d %H:%M}", done)
    console.print(table)


def notices(reference: Reference, account: Account = None, as_json: AsJson = False) -> None:
    """Notices to the customer: why, when, on which channel, and what came of them."""

    async def work() -> list[Any]:
        async with connected() as (dunning, settings):
            return await dunning.ledger.notices_of(account_of(settings, account), reference)

    rows = run(work())
    if as_json:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    table = Table("occasion", "channel", "planned (UTC)", "status", "why")
    for row in rows:
        table.add_row(row.occasion, row.channel, f"{row.planned_at:%Y-%m-%d %H:%M}", row.status, row.because)
    console.print(table)
