"""`dunning keys create|list|rotate|revoke`: who may use the HTTP API. SPEC 18."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, TypeVar

import typer

from dunning.cli.output import note, print_json, say, table
from dunning.cli.session import AccountOption, JsonOption, chosen_account, settings_of_here
from dunning.domain.outcomes import OutcomeSyntaxError, parse_duration
from dunning.errors import Fault, InvalidInput
from dunning.ledger import Ledger
from dunning.ledger.keys import ApiKey, NewKey
from dunning.settings import Settings

T = TypeVar("T")

MAX_NAME = 80

KeyArgument = Annotated[str, typer.Argument(help="the key's id: the part of the key after `dnk_`")]

keys = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@keys.callback()
def group() -> None:
    """Keys of the HTTP API, each for one merchant account."""


@keys.command("create")
def create(
    *,
    name: Annotated[str, typer.Option(help="what it is for")] = "backend",
    expires: Annotated[str | None, typer.Option(help="a duration, as 90d; without it, never")] = None,
    account: AccountOption = None,
    as_data: JsonOption = False,
) -> None:
    """Make a key. It is shown once: the ledger keeps only its hash."""
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidInput([Fault("--name", f"must have 1 to {MAX_NAME} printable characters", None)])
    lifetime = _duration("--expires", expires) if expires is not None else None

    async def work(settings: Settings, ledger: Ledger) -> NewKey:
        return await ledger.create_key(chosen_account(settings, account), name=name, expires_after=lifetime)

    _show_once(_run(work), as_data)


@keys.command("list")
def list_(
    *,
    every: Annotated[bool, typer.Option("--all", help="of every merchant account")] = False,
    account: AccountOption = None,
    as_data: JsonOption = False,
) -> None:
    """List keys, without their secrets."""

    async def work(settings: Settings, ledger: Ledger) -> list[ApiKey]:
        return await ledger.keys_of(None if every else chosen_account(settings, account))

    found = _run(work)
    if as_data:
        print_json([_json(key) for key in found])
        return
    columns = ("id", "account", "name", "state", "created (UTC)", "expires (UTC)", "last used (UTC)")
    rows = [(k.id, k.account, k.name, _state(k), k.created_at, k.expires_at, k.last_used_at) for k in found]
    table("Keys of the HTTP API", columns, rows)


@keys.command("rotate")
def rotate(
    key_id: KeyArgument,
    *,
    overlap: Annotated[str, typer.Option(help="how long the old one still works")] = "24h",
    as_data: JsonOption = False,
) -> None:
    """Make a key's successor, with the same name and lifetime; the old one works for a while more."""
    both = _duration("--overlap", overlap)

    async def work(settings: Settings, ledger: Ledger) -> NewKey:
        return await ledger.rotate_key(key_id, overlap=both)

    _show_once(_run(work), as_data)


@keys.command("revoke")
def revoke(key_id: KeyArgument, *, as_data: JsonOption = False) -> None:
    """End a key at once, for good."""

    async def work(settings: Settings, ledger: Ledger) -> ApiKey:
        return await ledger.revoke_key(key_id)

    ended = _run(work)
    if as_data:
        print_json(_json(ended))
        return
    say(f"key {ended.id} of {ended.account} ({ended.name}) is revoked")


def _run(work: Callable[[Settings, Ledger], Awaitable[T]]) -> T:
    async def carry_out() -> T:
        settings = settings_of_here()
        async with _opened(settings) as ledger:
            return await work(settings, ledger)

    return asyncio.run(carry_out())


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[Ledger]:
    ledger = await Ledger.open(settings.ledger_url_async, pool_size=1)
    try:
        yield ledger
    finally:
        await ledger.aclose()


def _show_once(made: NewKey, as_data: bool) -> None:
    if as_data:
        print_json({**_json(made.key), "key": made.text})
        return
    note(f"key {made.key.id} of {made.key.account} ({made.key.name}); it is shown this once:")
    say(made.text)


def _duration(option: str, text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except OutcomeSyntaxError:
        found = timedelta(days=-1)
    if not timedelta(0) <= found <= timedelta(days=3650):
        raise InvalidInput([Fault(option, "must be a duration of at most ten years, as 90d or 24h", text)])
    return found


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.is_valid(datetime.now(UTC)) else "expired"


def _json(key: ApiKey) -> dict[str, Any]:
    return {**key.model_dump(mode="json"), "state": _state(key)}
