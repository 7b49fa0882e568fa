"""Every command of SPEC 9, by its name: `dunning pause ID --until ...`.

The command's id is printed: giving it again (`--id`) returns the first result instead of doing it twice.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from dunning.cli.exits import REFUSED
from dunning.cli.output import print_json, say
from dunning.cli.session import AccountOption, JsonOption, SubscriptionArgument, session
from dunning.domain.commands import CancelType, CommandResult, RevokeType
from dunning.domain.play_items import ReplacementMode
from dunning.domain.retrying import LadderAnchor
from dunning.domain.terms import FailedCycleAction, OnHardDecline
from dunning.errors import Fault, InvalidInput
from dunning.intake import parse_command

IdOption = Annotated[
    str | None, typer.Option("--id", help="the command's own id; the same id again returns the first result")
]


def _send(
    name: str, subscription: str, account: str | None, command_id: str | None, as_data: bool, **fields: Any
) -> None:
    """Carry a command out, print its id and its result; a refusal ends with 1."""
    given = {key: value for key, value in fields.items() if value is not None}
    command = parse_command({"name": name, "command_id": command_id or new_id(name), **given})

    async def carry_out() -> CommandResult:
        async with session(account) as here:
            return await here.dunning.command(here.account, subscription, command)

    result = asyncio.run(carry_out())
    if as_data:
        print_json(result.model_dump(mode="json"))
    else:
        reason = f": {result.reason}" if result.reason else ""
        say(f"{name.replace('_', '-')} {subscription} (id {result.command_id}): {result.status}{reason}")
        say(*(f"  {key}: {value}" for key, value in result.detail.items() if value))
        if result.billing_flow is not None:
            say("  billing flow, for the app:")
            print_json(result.billing_flow.model_dump(mode="json"))
    if result.status == "refused":
        raise typer.Exit(REFUSED)


def new_id(name: str) -> str:
    """An id that nobody used: when, what, and a little chance."""
    return f"cli-{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


def _whole_numbers(option: str, text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        raise InvalidInput([Fault(option, "must be whole numbers, as 3,10,17", text)]) from None


def cancel(
    subscription: SubscriptionArgument,
    *,
    type_: Annotated[CancelType | None, typer.Option("--type", help="missing: the developer's")] = None,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Stop renewals at the period's end (the user's), or stop payments (the developer's)."""
    kind = type_.value if type_ is not None else None
    _send("cancel", subscription, account, command_id, as_data, type=kind)


def restore(
    subscription: SubscriptionArgument,
    *,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Take a user's cancellation back before it expires."""
    _send("restore", subscription, account, command_id, as_data)


def pause(
    subscription: SubscriptionArgument,
    *,
    until: Annotated[str | None, typer.Option(help="an instant with an offset; without it, until resumed")] = None,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Skip cycles until resumed, or until an instant."""
    _send("pause", subscription, account, command_id, as_data, until=until)


def resume(
    subscription: SubscriptionArgument,
    *,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """End a pause."""
    _send("resume", subscription, account, command_id, as_data)


def defer(
    subscription: SubscriptionArgument,
    days: Annotated[int, typer.Argument(help="1 to 365")],
    *,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Move the next due instant by whole days."""
    _send("defer", subscription, account, command_id, as_data, days=days)


def charge(
    subscription: SubscriptionArgument,
    amount: Annotated[int, typer.Argument(help="minor units: 2500 is USD 25.00")],
    *,
    currency: Annotated[str | None, typer.Option(help="the subscription's, if given")] = None,
    description: Annotated[str | None, typer.Option()] = None,
    metadata: Annotated[str | None, typer.Option(help="a JSON object")] = None,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Collect an amount on demand, with a ladder of its own."""
    try:
        extra = json.loads(metadata) if metadata is not None else None
    except ValueError:
        raise InvalidInput([Fault("--metadata", "must be a JSON object", metadata)]) from None
    given = {"amount": amount, "currency": currency, "description": description, "metadata": extra}
    _send("charge", subscription, account, command_id, as_data, **given)


def retry_now(
    subscription: SubscriptionArgument,
    *,
    obligation: Annotated[str | None, typer.Option(help="a cycle's number or a charge; else the oldest")] = None,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Try what is owed now."""
    _send("retry_now", subscription, account, command_id, as_data, obligation=obligation)


def update_payment_method(
    subscription: SubscriptionArgument,
    token: Annotated[str, typer.Argument(help="the provider's token of the method")],
    *,
    expires: Annotated[str | None, typer.Option(help="YYYY-MM")] = None,
    network: Annotated[str | None, typer.Option()] = None,
    fingerprint: Annotated[str | None, typer.Option()] = None,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Make another payment method current; what is owed is tried on it at once."""
    given = {"token": token, "expires": expires, "network": network, "fingerprint": fingerprint}
    _send("update_payment_method", subscription, account, command_id, as_data, **given)


def skip_cycle(
    subscription: SubscriptionArgument,
    *,
    number: Annotated[int | None, typer.Option(help="the cycle; else the next one")] = None,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Do not collect a cycle."""
    _send("skip_cycle", subscription, account, command_id, as_data, number=number)


def set_policy(
    subscription: SubscriptionArgument,
    *,
    ladder_days: Annotated[str | None, typer.Option(help="days after the first attempt, as 3,10,17")] = None,
    every_days: Annotated[int | None, typer.Option(help="instead of --ladder-days: so many days apart")] = None,
    retries: Annotated[int | None, typer.Option(help="with --every-days: how many")] = None,
    max_attempts: Annotated[int | None, typer.Option()] = None,
    allow_more_than_4: Annotated[bool, typer.Option("--allow-more-than-4")] = False,
    anchor: Annotated[LadderAnchor | None, typer.Option(help="whose time of day retries keep")] = None,
    spread_seconds: Annotated[int | None, typer.Option()] = None,
    grace_days: Annotated[int | None, typer.Option(help="0 to 30")] = None,
    hold_days: Annotated[int | None, typer.Option(help="0 to 60")] = None,
    on_hard_decline: Annotated[OnHardDecline | None, typer.Option()] = None,
    failed_cycle_action: Annotated[FailedCycleAction | None, typer.Option()] = None,
    notify_attempts: Annotated[str | None, typer.Option(help="which failed attempts are told, as 1,3")] = None,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Change the recovery policy from the next cycle on. A retry policy is given whole; what is not given stays."""
    retry = {
        "ladder_days": _whole_numbers("--ladder-days", ladder_days),
        "interval": "DAY" if every_days is not None or retries is not None else None,
        "interval_count": every_days,
        "total": retries,
        "max_attempts": max_attempts,
        "allow_more_than_4": allow_more_than_4 or None,
        "anchor": anchor.value if anchor is not None else None,
        "spread_seconds": spread_seconds,
    }
    given = {
        "retry": {key: value for key, value in retry.items() if value is not None} or None,
        "grace_days": grace_days,
        "hold_days": hold_days,
        "on_hard_decline": on_hard_decline.value if on_hard_decline is not None else None,
        "failed_cycle_action": failed_cycle_action.value if failed_cycle_action is not None else None,
        "failed_attempt_notifications": _whole_numbers("--notify-attempts", notify_attempts),
    }
    _send("set_policy", subscription, account, command_id, as_data, **given)


def mark_fixed(
    subscription: SubscriptionArgument,
    *,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Say that our configuration at the provider was repaired: what waited for it is tried."""
    _send("mark_fixed", subscription, account, command_id, as_data)


def reinstate(
    subscription: SubscriptionArgument,
    *,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Give access back after a late payment for a subscription that ended."""
    _send("reinstate", subscription, account, command_id, as_data)


def refund(
    subscription: SubscriptionArgument,
    order: Annotated[str, typer.Argument(help="a payment's id, a cycle's number, or a charge (od-...)")],
    *,
    amount: Annotated[int | None, typer.Option(help="minor units; without it, all that is left")] = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="end access as well")] = False,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Give a payment back, all or part."""
    given = {"order": order, "amount": amount, "revoke": revoke or None}
    _send("refund", subscription, account, command_id, as_data, **given)


def revoke(
    subscription: SubscriptionArgument,
    *,
    type_: Annotated[RevokeType, typer.Option("--type", help="what of the running period is given back")],
    item: Annotated[str | None, typer.Option(help="with --type ITEM: the product")] = None,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """End access at once, and give the running period back."""
    _send("revoke", subscription, account, command_id, as_data, type=type_.value, item=item)


def change_items(
    subscription: SubscriptionArgument,
    *,
    base: Annotated[str, typer.Option(help="the base product: PRODUCT, or PRODUCT@BASE_PLAN/OFFER")],
    add_on: Annotated[list[str] | None, typer.Option(help="another product that shall be had; may be repeated")] = None,
    mode: Annotated[ReplacementMode | None, typer.Option(help="how a new base product takes over")] = None,
    period: Annotated[str | None, typer.Option(help="ISO 8601, as P1M; else the subscription's")] = None,
    account: AccountOption = None,
    command_id: IdOption = None,
    as_data: JsonOption = False,
) -> None:
    """Have other products: name all that shall be had. Where the customer buys in the app: what the app passes on."""
    items = [_item(base, "base", period), *(_item(one, "addon", period) for one in add_on or ())]
    chosen = mode.value if mode is not None else None
    _send("change_items", subscription, account, command_id, as_data, items=items, replacement_mode=chosen)


def _item(text: str, role: str, period: str | None) -> dict[str, str]:
    """`PRODUCT@BASE_PLAN/OFFER` as an item; what is not named is left out."""
    product, _, plan = text.partition("@")
    base_plan, _, offer = plan.partition("/")
    named = {"base_plan_id": base_plan, "offer_id": offer, "period": period}
    return {"product_id": product, "role": role, **{key: value for key, value in named.items() if value}}
