"""`dunning play migrate ...`: take the subscribers of old prices to the current ones, cohort by cohort. SPEC 9, 12."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from dunning.cli.output import print_json, say, table
from dunning.cli.session import AccountOption, JsonOption, session
from dunning.errors import Fault, InvalidInput
from dunning.intake import faults_in
from dunning.ordering import SIGNAL_PAUSE, SIGNAL_STOP, PriceMigrationInput, Progress
from dunning.providers.cohorts import Cohort
from dunning.selling import PriceMigrations

migrate = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_COHORTS = TypeAdapter(tuple[Cohort, ...])
NameArgument = Annotated[str, typer.Argument(help="the migration's name: letters, digits and ._:-")]
_NAME = r"[A-Za-z0-9._:-]{1,64}"


@migrate.callback()
def group() -> None:
    """Move old prices to the current ones: start over cohorts, see how far it is, pause, go on, stop."""


@migrate.command("start")
def start(
    name: NameArgument,
    cohorts: Annotated[Path, typer.Argument(help="a JSON list of cohorts")],
    *,
    regions_version: Annotated[str, typer.Option("--regions-version", help="as the Console shows it, like 2022/02")],
    per_minute: Annotated[int, typer.Option("--per-minute", min=1, max=3000, help="cohorts a minute at most")] = 60,
    account: AccountOption = None,
    as_data: JsonOption = False,
) -> None:
    """Begin to move every cohort of a file, one after another. A name is used once."""
    given = _read(cohorts)

    async def begin(migrations: PriceMigrations, chosen: str) -> Progress:
        request = PriceMigrationInput(
            account=chosen, regions_version=regions_version, cohorts=given, per_minute=per_minute
        )
        await migrations.start(name, request)
        return await migrations.progress(name)

    _run(name, account, begin, as_data=as_data)


@migrate.command("show")
def show(name: NameArgument, *, account: AccountOption = None, as_data: JsonOption = False) -> None:
    """How far it is, and what was refused."""
    _run(name, account, lambda migrations, _: migrations.progress(name), as_data=as_data)


@migrate.command("pause")
def pause(name: NameArgument, *, account: AccountOption = None, as_data: JsonOption = False) -> None:
    """Wait before the next cohort, until it is resumed."""
    _run(name, account, lambda migrations, _: migrations.signal(name, SIGNAL_PAUSE), as_data=as_data)


@migrate.command("resume")
def resume(name: NameArgument, *, account: AccountOption = None, as_data: JsonOption = False) -> None:
    """Go on: after a pause, or where it was stopped."""
    _run(name, account, lambda migrations, _: migrations.resume(name), as_data=as_data)


@migrate.command("stop")
def stop(name: NameArgument, *, account: AccountOption = None, as_data: JsonOption = False) -> None:
    """End it before the next cohort. What was moved stays moved."""
    _run(name, account, lambda migrations, _: migrations.signal(name, SIGNAL_STOP), as_data=as_data)


def _run(
    name: str,
    account: str | None,
    work: Callable[[PriceMigrations, str], Awaitable[Progress]],
    *,
    as_data: bool,
) -> None:
    if not re.fullmatch(_NAME, name):
        raise InvalidInput([Fault("NAME", "must be 1 to 64 letters, digits and ._:-", name)])

    async def carry_out() -> Progress:
        async with session(account) as here:
            return await work(here.dunning.price_migrations(here.account), here.account)

    progress = asyncio.run(carry_out())
    if as_data:
        print_json(progress.model_dump(mode="json"))
        return
    where = "stopped" if progress.is_stopped else "paused" if progress.is_paused else "running"
    where = "done" if progress.done == progress.total else where
    say(f"{name}: {progress.done} of {progress.total} cohorts, {where}; {len(progress.refused)} refused")
    if progress.refused:
        rows = [(r.cohort.product_id, r.cohort.base_plan_id, r.cohort.region_code, r.because) for r in progress.refused]
        table("refused", ("product", "base plan", "region", "because"), rows)


def _read(file: Path) -> tuple[Cohort, ...]:
    """Every cohort of the file; everything that is wrong is reported at once."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise InvalidInput([Fault("COHORTS", f"cannot be read: {type(error).__name__}", str(file))]) from None
    try:
        found = _COHORTS.validate_python(content)
    except ValidationError as error:
        raise InvalidInput(faults_in(error)) from None
    if not found:
        raise InvalidInput([Fault("COHORTS", "must hold a cohort", str(file))])
    return found
