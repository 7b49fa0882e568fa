"""`dunning play ...`: what only Google Play has. SPEC 12."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated

import typer

from dunning.cli.exits import REFUSED
from dunning.cli.migrating import migrate
from dunning.cli.output import print_json, say, table
from dunning.cli.session import AccountOption, JsonOption, chosen_account, session, settings_of_here
from dunning.cli.steering import IdOption, new_id
from dunning.domain.books import BookRow, Difference, UnreadableReport, read_report, reconcile
from dunning.domain.commands import CommandResult
from dunning.domain.money import format_amount
from dunning.errors import Fault, InvalidInput
from dunning.ledger import Ledger
from dunning.ordering import ORDER_ID

play = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@play.callback()
def group() -> None:
    """What only Google Play has: one-time orders, price migrations, its earnings report against our books."""


play.add_typer(migrate, name="migrate")


@play.command("refund")
def refund(
    order: Annotated[str, typer.Argument(help="the order's id, as GPA.3345-1234-5678-90123")],
    *,
    revoke: Annotated[bool, typer.Option("--revoke", help="take away what it bought as well")] = False,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Give back a whole order that is no payment of a subscription. A refusal ends with 1."""
    if not re.fullmatch(ORDER_ID, order):
        raise InvalidInput([Fault("ORDER", "must be the id of an order", order)])
    used = command_id or new_id("refund-order")

    async def carry_out() -> CommandResult:
        async with session(account) as here:
            return await here.dunning.orders(here.account).refund(order, command_id=used, revoke=revoke)

    result = asyncio.run(carry_out())
    if as_data:
        print_json(result.model_dump(mode="json", exclude={"billing_flow"}))
    else:
        reason = f": {result.reason}" if result.reason else ""
        say(f"refund of order {order} (id {used}): {result.status}{reason}")
        say(*(f"  {key}: {value}" for key, value in result.detail.items() if value))
    if result.status == "refused":
        raise typer.Exit(REFUSED)


@play.command("reconcile")
def reconcile_(
    report: Annotated[Path, typer.Argument(help="an earnings report of the Play Console (CSV)")],
    *,
    account: AccountOption = None,
    as_data: JsonOption = False,
) -> None:
    """Compare the books with a Play earnings report, row by row; differences end with 1."""
    try:
        reported = read_report(report.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput([Fault("REPORT", f"cannot be read: {type(error).__name__}", str(report))]) from None
    except UnreadableReport as error:
        raise InvalidInput([Fault("REPORT", str(error), str(report))]) from None
    differences = reconcile(asyncio.run(_booked(account)), reported)
    if as_data:
        print_json([one.model_dump(mode="json") for one in differences])
    elif differences:
        columns = ("order", "item", "what", "booked", "reported")
        table(f"{len(differences)} differences", columns, [_row(one) for one in differences])
    else:
        say(f"{len(reported)} rows of the report agree with the books")
    if differences:
        raise typer.Exit(REFUSED)


async def _booked(account: str | None) -> list[BookRow]:
    settings = settings_of_here()
    ledger = await Ledger.open(settings.ledger_url_async)
    try:
        return await ledger.booked(chosen_account(settings, account))
    finally:
        await ledger.aclose()


def _row(one: Difference) -> tuple[object, ...]:
    amounts = [None if n is None else format_amount(n, one.currency) for n in (one.booked, one.reported)]
    return one.order_id, one.product_id, one.kind.value, amounts[0] or "none", amounts[1] or "none"
