"""`dunning preview`: the exact future of a subscription, without any server. SPEC 17."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from dunning.cli.output import complain, print_json, say, table
from dunning.cli.reading import fault_lines, machine_now, read_file
from dunning.domain.money import format_amount
from dunning.domain.outcomes import OutcomeSyntaxError, ScriptedOutcome, parse_outcomes
from dunning.domain.script import Script
from dunning.domain.terms import Subscription
from dunning.errors import Fault, InvalidInput
from dunning.importing import Entry
from dunning.previewing import CYCLES, foretell, preview_json

FOR_EVER = 1_000_000
"""Cycles, where `--until` alone limits the walk."""


def preview(
    file: Annotated[Path, typer.Argument(help="one or more subscriptions: JSON, JSON Lines, CSV or YAML")],
    *,
    outcomes: Annotated[
        str | None,
        typer.Option(help="comma-separated, one per attempt, then success for ever; instead of the file's script"),
    ] = None,
    until: Annotated[str | None, typer.Option(help="a date (whole, UTC) or an instant with an offset")] = None,
    cycles: Annotated[int | None, typer.Option(min=1, max=10_000, help=f"how many cycles ({CYCLES})")] = None,
    only: Annotated[str | None, typer.Option("--id", help="one subscription of the file")] = None,
    as_data: Annotated[bool, typer.Option("--json", help="print the stable JSON")] = False,
) -> None:
    """Foretell every cycle, attempt and notice, each with its exact instant and its reason."""
    if until is not None and cycles is not None:
        raise InvalidInput([Fault("--until", "must not be given together with --cycles", until)])
    scripted = _outcomes(outcomes)
    limit = _instant(until) if until is not None else None
    reach = cycles or (FOR_EVER if limit is not None else CYCLES)
    told = [_told(given, entry, scripted, limit, reach) for given, entry in _chosen(file, only)]
    if as_data:
        print_json(told[0]["preview"] if len(told) == 1 else told)
        return
    for one in told:
        _draw(one)


def _chosen(file: Path, only: str | None) -> list[tuple[Subscription, Entry]]:
    entries = [e for e in read_file(file) if only is None or str(e.document.get("id")) == only]
    faults = fault_lines(file, entries)
    if faults:
        complain(*faults)
        raise typer.Exit(2)
    if not entries:
        complain(f"{file.name}: there is no subscription {only!r} in it")
        raise typer.Exit(3)
    return [(entry.subscription, entry) for entry in entries if entry.subscription is not None]


def _told(
    given: Subscription,
    entry: Entry,
    outcomes: tuple[ScriptedOutcome, ...] | None,
    until: datetime | None,
    cycles: int,
) -> dict[str, Any]:
    created = given.created_at or machine_now()
    script = entry.script or Script()
    foretold = foretell(given, script, created_at=created, outcomes=outcomes, until=until, cycles=cycles)
    return {"id": given.id, "merchant_account": given.merchant_account, "preview": preview_json(given, foretold)}


def _outcomes(words: str | None) -> tuple[ScriptedOutcome, ...] | None:
    if words is None:
        return None
    try:
        return parse_outcomes([word.strip() for word in words.split(",") if word.strip()])
    except OutcomeSyntaxError as error:
        raise InvalidInput([Fault("--outcomes", error.because, error.text)]) from None


def _instant(text: str) -> datetime:
    """An instant with an offset, or the last moment of a date."""
    try:
        if len(text) == len("2026-03-05"):
            day = date.fromisoformat(text)
            return datetime.combine(day, time(), UTC) + timedelta(days=1) - timedelta(microseconds=1)
        at = datetime.fromisoformat(text)
    except ValueError:
        at = datetime.min  # noqa: DTZ901 - naive on purpose: refused below
    if at.tzinfo is None:
        rule = "must be a date like 2026-12-31, or an instant with an offset"
        raise InvalidInput([Fault("--until", rule, text)])
    return at.astimezone(UTC)


# --- for people ------------------------------------------------------------------------------------


def _draw(told: dict[str, Any]) -> None:
    foretold = told["preview"]
    for cycle in foretold["cycles"]:
        _draw_owed(f"{told['id']}: cycle {cycle['number']}", cycle)
    for charge in foretold["on_demand"]:
        _draw_owed(f"{told['id']}: charge {charge['id']}", charge)
    if foretold["dropped_rungs"]:
        columns = ("cycle", "rung", "day", "would run", "reason")
        rows = [(r["cycle"], r["rung"], r["days"], _shown(r["at"]), r["reason"]) for r in foretold["dropped_rungs"]]
        table("Rungs that will not run", columns, rows)
    if "purchase" in foretold:
        columns = ("from (UTC)", "status", "access until (UTC)", "item by item", "next change (UTC)")
        table(f"{told['id']}: what the purchase gives", columns, [_moment_row(one) for one in foretold["purchase"]])
    for warning in foretold["warnings"]:
        say(f"warning: {warning}")
    say(f"{told['id']} ends {foretold['final_status']}.", "")


def _moment_row(moment: dict[str, Any]) -> tuple[object, ...]:
    items = "\n".join(f"{item['product_id']}: {_shown(item['until'])}" for item in moment["items"])
    return (
        _shown(moment["at"]), f"{moment['status']} ({moment['phase']})", _shown(moment["until"]), items,
        _shown(moment["next_at"]),
    )  # fmt: skip


def _draw_owed(title: str, owed: dict[str, Any]) -> None:
    amount = format_amount(owed["amount"], owed["currency"])
    columns = ("#", "planned (UTC)", "runs (UTC)", "customer's time", "trigger", "result", "why then")
    rows: list[tuple[object, ...]] = [
        (
            a["number"], _shown(a["planned_at"]), _shown(a["at"]), a["local_at"].replace("T", " "),
            f"{a['trigger']}, rung {a['rung']}" if a["rung"] else a["trigger"],
            f"{a['outcome']} ({a['class']})" if a["class"] else a["outcome"], a["reason"],
        )
        for a in owed["attempts"]
    ]  # fmt: skip
    rows += [
        ("", _shown(n["at"]), "", "", "notice", f"{n['occasion']}, {n['channel']}", n["reason"])
        for n in owed["notices"]
    ]
    rows.sort(key=lambda row: str(row[1]))
    heading = f"{title}, due {_shown(owed['due_at'])} UTC, {amount}: {owed['status']}"
    if rows:
        table(heading, columns, rows)
    else:
        say(heading)


def _shown(at: str | None) -> str:
    return at.replace("T", " ").removesuffix("Z") if at is not None else "-"
