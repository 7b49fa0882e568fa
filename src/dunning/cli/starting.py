"""`dunning start FILE...`: start subscriptions from files; again is safe, and goes on where it stopped. SPEC 17."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dunning.cli.exits import BAD_INPUT, REFUSED
from dunning.cli.output import complain, console, note, print_json, say
from dunning.cli.reading import fault_lines, machine_now, read_file
from dunning.cli.session import JsonOption, Session, session, settings_of_here
from dunning.client import Started
from dunning.domain.foretelling import rung_warnings
from dunning.domain.script import Script
from dunning.domain.terms import Subscription
from dunning.errors import Conflict, Fault, InvalidInput
from dunning.intake import check_subscription, creation_warnings
from dunning.previewing import foretell
from dunning.sandbox.customers import register
from dunning.settings import Settings

AT_ONCE = 8


@dataclass(frozen=True)
class Wanted:
    """One subscription that is to be started, where it comes from, and when its file was read."""

    file: Path
    line: int
    read_at: datetime
    subscription: Subscription
    script: Script

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file.name}:{self.line}"


def start(
    files: Annotated[list[Path], typer.Argument(help="JSON, JSON Lines, CSV or YAML")],
    *,
    restart: Annotated[bool, typer.Option("--restart", help="begin failed or inactive ones anew")] = False,
    test_clock: Annotated[
        bool, typer.Option("--test-clock", help="development only: scripted customers in the sandbox, virtual clocks")
    ] = False,
    as_data: JsonOption = False,
) -> None:
    """Start the subscriptions of files. Every fault is listed and then nothing has started."""
    settings = settings_of_here()
    wanted = _wanted(files, settings)
    results = asyncio.run(_start_all(wanted, restart=restart, is_test_clock=test_clock))
    if as_data:
        print_json(results)
    else:
        _tell(results)
    if any(result["status"] == "refused" for result in results):
        raise typer.Exit(REFUSED)


def _wanted(files: Sequence[Path], settings: Settings) -> list[Wanted]:
    """Everything in the files, or all of their faults."""
    now = machine_now()
    faults: list[str] = []
    wanted: list[Wanted] = []
    for file in files:
        try:
            entries = read_file(file, now=now)
        except InvalidInput as unreadable:
            faults += [str(fault) for fault in unreadable.faults]
            continue
        faults += fault_lines(file, entries)
        for entry in entries:
            if entry.subscription is None:
                continue
            # `created_at` is for previews: what starts now was created now. SPEC 4.
            given = entry.subscription.but(created_at=None)
            this = Wanted(file, entry.line, now, given, entry.script or Script())
            faults += [f"{this.place}: {fault}" for fault in _faults_here(given, settings, now)]
            wanted.append(this)
    if faults:
        complain(*faults, f"{len(faults)} faults; nothing has been started")
        raise typer.Exit(BAD_INPUT)
    return wanted


def _faults_here(given: Subscription, settings: Settings, now: datetime) -> list[Fault]:
    """What only this place and this hour can know."""
    faults = check_subscription(given, at=now)
    account = settings.accounts.get(given.merchant_account)
    if settings.accounts and account is None:
        faults.append(Fault("merchant_account", "must be in the settings", given.merchant_account))
    elif account is not None and account.provider != given.provider.value:
        faults.append(Fault("provider", f"must be the merchant account's {account.provider}", given.provider.value))
    return faults


async def _start_all(wanted: Sequence[Wanted], *, restart: bool, is_test_clock: bool) -> list[dict[str, Any]]:
    slots = asyncio.Semaphore(AT_ONCE)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    async with session(wanted[0].subscription.merchant_account, pool_size=AT_ONCE) as here:
        out = console(is_error=True)
        with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as progress:
            bar = progress.add_task("Starting", total=len(wanted))

            async def one(this: Wanted) -> dict[str, Any]:
                async with slots:
                    result = await _start(here, this, restart=restart, is_test_clock=is_test_clock)
                progress.advance(bar)
                return result

            return list(await asyncio.gather(*(one(this) for this in wanted)))


async def _start(here: Session, this: Wanted, *, restart: bool, is_test_clock: bool) -> dict[str, Any]:
    given = this.subscription
    result: dict[str, Any] = {
        "id": given.id,
        "merchant_account": given.merchant_account,
        "place": this.place,
        "status": "refused",
    }
    try:
        if is_test_clock:
            async with _sandbox(here.settings) as sandbox:
                await register(sandbox, given, this.script)
        started = await _started(here, this, restart=restart, is_test_clock=is_test_clock)
    except Conflict as conflict:
        return {**result, "reason": str(conflict)}
    warnings = [*creation_warnings(given), *_rungs(this)] if started.is_new else []
    status = "started" if started.is_new else "exists"
    return {
        **result,
        "status": status,
        "workflow_id": started.workflow_id,
        "generation": started.generation,
        "warnings": warnings,
    }


async def _started(here: Session, this: Wanted, *, restart: bool, is_test_clock: bool) -> Started:
    """Start it, or find it there. Words like `now+3d` then count from when it was created, not from this run."""
    given, start = this.subscription, here.dunning.start
    try:
        return await start(given, now=this.read_at, restart=restart, is_test_clock=is_test_clock)
    except Conflict:
        stored = await here.dunning.ledger.read_subscription(given.merchant_account, given.id)
        again = [e.subscription for e in read_file(this.file, now=stored.created_at) if e.line == this.line]
        known = next((s for s in again if s is not None and s.id == given.id), None)
        if restart or known is None or known.but(created_at=None) == given:
            raise
        return await start(known.but(created_at=None), now=this.read_at, is_test_clock=is_test_clock)


def _rungs(this: Wanted) -> tuple[str, ...]:
    foretold = foretell(this.subscription, Script(), created_at=this.read_at, cycles=1)
    return rung_warnings(foretold, this.subscription.terms())


def _sandbox(settings: Settings) -> httpx.AsyncClient:
    if not settings.sandbox_url:
        raise InvalidInput([Fault("--test-clock", "must have a sandbox: DUNNING_SANDBOX_URL is not set")])
    return httpx.AsyncClient(base_url=settings.sandbox_url, timeout=30)


def _tell(results: Sequence[dict[str, Any]]) -> None:
    for result in results:
        if result["status"] == "refused":
            complain(f"{result['place']}: {result['reason']}")
        for warning in result.get("warnings", ()):
            note(f"{result['place']}: {result['id']}: warning: {warning}")
    counts = {s: sum(1 for r in results if r["status"] == s) for s in ("started", "exists", "refused")}
    say(f"{counts['started']} started, {counts['exists']} there already, {counts['refused']} refused")
