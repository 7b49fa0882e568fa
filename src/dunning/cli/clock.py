"""`dunning clock`: move one subscription through its future on a development server. SPEC 16."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

import httpx
import typer
from temporalio.service import RPCError, RPCStatusCode

from dunning.cli.exits import REFUSED
from dunning.cli.output import complain, print_json, say, shown_instant
from dunning.cli.session import AccountOption, JsonOption, Session, SubscriptionArgument, session
from dunning.domain.decide import Decision, Do
from dunning.domain.foretelling import instant
from dunning.domain.outcomes import OutcomeSyntaxError, parse_duration
from dunning.domain.showing import summary
from dunning.domain.state import State
from dunning.errors import Fault, InvalidInput, NotFound
from dunning.testclock import TestClock, require_development_server

clock = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

T = TypeVar("T")

LONGEST = timedelta(days=3660)


@clock.callback()
def group() -> None:
    """The virtual clock of one subscription, on a development server."""


@clock.command("advance")
def advance(
    subscription: SubscriptionArgument,
    by: Annotated[str | None, typer.Argument(help="a duration: 17d, 36h, 90m, 45s")] = None,
    *,
    until: Annotated[str | None, typer.Option(help="instead of a duration: an instant with an offset")] = None,
    account: AccountOption = None,
    as_data: JsonOption = False,
) -> None:
    """Move to a later instant, stopping at each planned one and only while nothing is going on."""
    if (by is None) == (until is None):
        raise InvalidInput([Fault("BY", "must be given, or --until instead of it", by)])
    length, end = _duration(by), _instant(until)
    try:
        told = asyncio.run(_advance(subscription, account, length, end, is_quiet=as_data))
    except TimeoutError as busy:
        complain(str(busy))
        raise typer.Exit(REFUSED) from None
    if as_data:
        print_json(told)
    else:
        say(f"{subscription}: {told['status']}, {told['to']}")


@clock.command("now")
def now(subscription: SubscriptionArgument, *, account: AccountOption = None) -> None:
    """Print the subscription's clock."""

    async def ask() -> datetime:
        async with session(account) as here:
            return await _asked(TestClock(here.dunning, here.account, subscription).now(), subscription)

    say(instant(asyncio.run(ask())))


async def _advance(
    subscription: str, account: str | None, by: timedelta | None, until: datetime | None, *, is_quiet: bool
) -> dict[str, Any]:
    async with session(account) as here:
        require_development_server(here.dunning.temporal)
        if not here.settings.sandbox_url:
            return await _move(here, subscription, None, by, until, is_quiet)
        async with httpx.AsyncClient(base_url=here.settings.sandbox_url, timeout=30) as sandbox:
            return await _move(here, subscription, sandbox, by, until, is_quiet)


async def _move(
    here: Session,
    subscription: str,
    sandbox: httpx.AsyncClient | None,
    by: timedelta | None,
    until: datetime | None,
    is_quiet: bool,
) -> dict[str, Any]:
    moved = TestClock(here.dunning, here.account, subscription, sandbox=sandbox)
    start = await _asked(moved.now(), subscription)
    end = until if until is not None else start + (by or timedelta(0))
    steps: list[dict[str, Any]] = []

    async def on_step(state: State, decision: Decision | None) -> None:
        waits = decision is not None and decision.do is not Do.FINISH
        words = summary(state, decision) if decision is not None and waits else "nothing is planned"
        at = await moved.now()
        steps.append({"at": instant(at), "status": state.status.value, "next": words})
        if not is_quiet:
            say(f"{shown_instant(at)}  {state.status.value:<10} next: {words}")

    state = await _asked(moved.advance(end, on_step=on_step), subscription)
    return {"from": instant(start), "to": instant(await moved.now()), "status": state.status.value, "steps": steps}


async def _asked(answer: Awaitable[T], subscription: str) -> T:
    try:
        return await answer
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise NotFound(f"no open run of subscription {subscription!r}") from None
        if error.status is RPCStatusCode.UNIMPLEMENTED:
            raise InvalidInput(
                [Fault("server", "must be a development one with virtual clocks (dunning dev)")]
            ) from None
        raise


def _duration(text: str | None) -> timedelta | None:
    if text is None:
        return None
    try:
        length = parse_duration(text)
    except OutcomeSyntaxError as error:
        raise InvalidInput([Fault("BY", error.because, text)]) from None
    if length > LONGEST:
        raise InvalidInput([Fault("BY", f"must be at most {LONGEST.days} days", text)])
    return length


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidInput([Fault("--until", "must be an instant with an offset, like 2026-12-31T00:00:00Z", text)])
    return at
