"""`dunning events ID`, `undelivered`, `redeliver`, `test`, `types`: what the product backend is told. SPEC 10."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import typer

from dunning.cli.exits import REFUSED
from dunning.cli.orlist import OrList
from dunning.cli.output import complain, print_json, say, table
from dunning.cli.session import AccountOption, JsonOption, SubscriptionArgument, session
from dunning.domain.event_catalogue import CATALOGUE, example_of, known_types, schema_of
from dunning.errors import ConfigurationError, Fault, InvalidInput, NotFound
from dunning.ledger.outbox import UndeliveredEvent
from dunning.outgoing import Delivered, endpoint_of, example_envelope, post_event

MANY = 100_000

events = typer.Typer(cls=OrList, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@events.callback()
def group() -> None:
    """What the product backend is told (`events ID`), what it missed, and a trial of its endpoint."""


@events.command("list")
def list_(subscription: SubscriptionArgument, *, account: AccountOption = None, as_data: JsonOption = False) -> None:
    """List every event for the product backend, and whether it was delivered."""

    async def read() -> list[dict[str, Any]]:
        async with session(account) as here:
            await here.dunning.ledger.read_subscription(here.account, subscription)
            return await here.dunning.ledger.events_of(here.account, subscription)

    rows = asyncio.run(read())
    if as_data:
        print_json(rows)
        return
    columns = ("sequence", "type", "at (UTC)", "delivered (UTC)", "tries", "last error", "id")
    shown = [
        (r["sequence"], r["type"], r["created_at"], r["delivered_at"], r["tries"], r["last_error"], r["id"])
        for r in rows
    ]
    table(f"Events of {subscription}", columns, shown)


@events.command("undelivered")
def undelivered(*, account: AccountOption = None, as_data: JsonOption = False) -> None:
    """List events that the backend did not take for three days; later ones of the same subscription went on."""

    async def read() -> list[UndeliveredEvent]:
        async with session(account) as here:
            return await here.dunning.ledger.page_of_undelivered(here.account, after=None, limit=MANY)

    rows = asyncio.run(read())
    if as_data:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    columns = ("subscription", "sequence", "type", "given up (UTC)", "tries", "last error", "id")
    shown = [(r.subscription, r.sequence, r.type, r.undelivered_at, r.tries, r.last_error, r.id) for r in rows]
    table("Undelivered events", columns, shown)


@events.command("redeliver")
def redeliver(
    event: Annotated[str | None, typer.Argument(help="the id of one event; else --since")] = None,
    *,
    since: Annotated[str | None, typer.Option(help="an instant with an offset: all that was written since")] = None,
    subscription: Annotated[str | None, typer.Option(help="with --since: only this one's")] = None,
    only_undelivered: Annotated[
        bool, typer.Option("--undelivered", help="with --since: only what was given up")
    ] = False,
    account: AccountOption = None,
    as_data: JsonOption = False,
) -> None:
    """Deliver one event again, or all since an instant. Ids and sequence numbers stay what they were."""
    if (event is None) == (since is None):
        raise InvalidInput([Fault("redeliver", "takes the id of an event, or --since, and not both", None)])
    start = _instant(since) if since is not None else None

    async def work() -> int:
        async with session(account) as here:
            ledger = here.dunning.ledger
            if start is not None:
                return await ledger.redeliver_since(
                    here.account, start, subscription=subscription, is_undelivered=only_undelivered
                )
            if not await ledger.redeliver_event(here.account, event or ""):
                raise NotFound(f"no event {event!r} in account {here.account!r}")
            return 1

    count = asyncio.run(work())
    if as_data:
        print_json({"events": count})
        return
    say(f"{count} events are delivered again, each after the one before of its subscription")


@events.command("test")
def try_endpoint(*, account: AccountOption = None, as_data: JsonOption = False) -> None:
    """Send a signed test event to the backend now and show what it answers; exit code 1 when it is not taken."""

    async def work() -> tuple[str, Delivered]:
        async with session(account) as here, httpx.AsyncClient() as http:
            endpoint = endpoint_of(here.settings.accounts.get(here.account))
            if endpoint is None:
                raise ConfigurationError(f"account {here.account!r} has no backend_url: its events go nowhere")
            event = example_envelope(here.account, datetime.now(UTC))
            return endpoint.url, await post_event(http, endpoint, event)

    url, came = asyncio.run(work())
    if as_data:
        print_json({"url": url, **came.model_dump(mode="json")})
    elif came.is_taken:
        say(f"{url} took it: {came.status} after {came.milliseconds} ms")
    else:
        complain(f"{url} did not take it: {came.because}, after {came.milliseconds} ms")
    if not came.is_taken:
        raise typer.Exit(REFUSED)


@events.command("types")
def types(
    type_: Annotated[str | None, typer.Argument(metavar="TYPE", help="one of them: its schema and an example")] = None,
    *,
    as_data: JsonOption = False,
) -> None:
    """List every event there is; of one, its JSON Schema and an example."""
    if type_ is not None and type_ not in known_types():
        raise NotFound(f"no event {type_!r}")
    if type_ is not None or as_data:
        chosen = [type_] if type_ is not None else known_types()
        print_json([{"type": one, "schema": schema_of(one), "example": example_of(one)} for one in chosen])
        return
    table("Events", ("type", "when"), [(name.value, kind.when) for name, kind in CATALOGUE.items()])


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise InvalidInput([Fault("--since", "must be an instant with an offset, as 2026-03-05T00:00:00Z", text)])
    return found
