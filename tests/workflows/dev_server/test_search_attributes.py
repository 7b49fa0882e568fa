"""What operators filter by, as the server's list sees it while a subscription lives. SPEC 15."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest

from dunning import contract
from dunning.domain.commands import MarkFixed
from tests.on_the_stack import House, Life, until

pytestmark = pytest.mark.server
SOFT, HARD = "INSUFFICIENT_FUNDS", "DO_NOT_HONOR"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


async def attributes(life: Life) -> dict[str, Any]:
    """The latest run's, without our common prefix."""
    found = (await life.handle.describe()).typed_search_attributes
    return {key.name.removeprefix("Dunning"): found.get(key) for key in contract.SEARCH_ATTRIBUTES}


async def is_found(life: Life, query: str) -> bool:
    return [run.id for run in await life.house.listed(f"{query} AND DunningCustomer = 'cust-{life.name}'")] != []


async def assert_found(life: Life, *queries: str) -> None:
    for query in queries:
        await until(partial(is_found, life, query), bool, f"{query} finds {life.name}")


async def assert_left_out(life: Life, *queries: str) -> None:
    """To be asked after `assert_found`, when the list has caught up."""
    for query in queries:
        assert not await is_found(life, query), query


def literal(instant: datetime) -> str:
    return f"'{instant:%Y-%m-%dT%H:%M:%SZ}'"


def between(name: str, first: datetime, last: datetime) -> str:
    """A range: no store promises that an instant equals its own text."""
    return f"{name} >= {literal(first)} AND {name} < {literal(last)}"


async def test_attributes_follow_a_subscription_through_decline_recovery_and_the_next_cycle(house: House) -> None:
    life = await house.begin(SOFT, "SUCCEEDED")
    always = {
        "Provider": "dodo", "MerchantAccount": "demo", "Customer": f"cust-{life.name}", "Attention": False,
    }  # fmt: skip
    nothing_owed = {"DeclineClass": None, "PastDueSince": None, "Attempt": None, "AmountDue": None}

    await life.clock.until_quiet()
    assert await attributes(life) == {**always, **nothing_owed, "Status": "active", "NextActionAt": life.due}

    state = await life.move_to(life.due + HOUR)
    declined_at = state.obligation("1").attempts[0].started_at
    assert declined_at is not None
    assert life.due <= declined_at <= life.due + timedelta(minutes=2)
    assert await attributes(life) == {
        **always, "Status": "past_due", "DeclineClass": "SOFT", "NextActionAt": life.due + 3 * DAY,
        "PastDueSince": (await attributes(life))["PastDueSince"], "Attempt": 2, "AmountDue": 100_000,
    }  # fmt: skip
    assert abs((await attributes(life))["PastDueSince"] - declined_at) <= timedelta(minutes=2)
    await assert_found(
        life,
        "DunningStatus = 'past_due'",
        "DunningProvider = 'dodo'",
        "DunningMerchantAccount = 'demo'",
        "DunningDeclineClass = 'SOFT'",
        between("DunningNextActionAt", life.due + 3 * DAY, life.due + 3 * DAY + timedelta(seconds=1)),
        between("DunningPastDueSince", life.due, life.due + HOUR),
        "DunningAttempt = 2",
        "DunningAmountDue = 100000",
        "DunningAttention = false",
    )
    await assert_left_out(
        life,
        "DunningStatus = 'active'",
        "DunningDeclineClass = 'HARD'",
        f"DunningNextActionAt < {literal(life.due + 3 * DAY)}",
        f"DunningPastDueSince > {literal(life.due + HOUR)}",
        "DunningAttempt = 1",
        "DunningAmountDue > 100000",
        "DunningAttention = true",
    )

    await life.move_to(life.due + 4 * DAY)
    now = await attributes(life)
    assert now == {**always, **nothing_owed, "Status": "active", "NextActionAt": now["NextActionAt"]}
    assert now["NextActionAt"] > life.due + 27 * DAY
    await assert_found(life, "DunningStatus = 'active' AND DunningDeclineClass IS NULL AND DunningAmountDue IS NULL")
    await assert_left_out(life, "DunningStatus = 'past_due'", "DunningAttempt = 2")
    assert len(await house.listed(f"DunningCustomer = 'cust-{life.name}'")) == 1


async def test_attributes_of_a_hard_decline_and_of_a_subscription_that_stopped(house: House) -> None:
    life = await house.begin(HARD)
    await life.move_to(life.due + HOUR)
    assert (await attributes(life))["DeclineClass"] == "HARD"
    await assert_found(life, "DunningDeclineClass = 'HARD' AND DunningStatus = 'past_due'")

    await life.end(life.due + 32 * DAY)

    shown = await attributes(life)
    assert shown["Status"] == "inactive"
    assert {shown[name] for name in ("NextActionAt", "PastDueSince", "Attempt", "AmountDue", "DeclineClass")} == {None}
    await assert_found(life, "DunningStatus = 'inactive'")
    await assert_left_out(life, "DunningStatus = 'past_due'")


async def test_list_finds_who_needs_a_person_and_loses_them_when_it_is_done(house: House) -> None:
    life = await house.begin("INVALID_REQUEST", "SUCCEEDED")
    await life.move_to(life.due + HOUR)
    await assert_found(life, "DunningAttention = true AND DunningDeclineClass = 'MERCHANT'")
    assert life.name in {row["id"] for row in await house.cli("list", "--attention")}

    assert (await life.command(MarkFixed(command_id=f"fix-{life.name}"))).status == "done"
    await life.clock.until_quiet()
    await assert_found(life, "DunningStatus = 'active' AND DunningDeclineClass IS NULL")
    assert life.name in {row["id"] for row in await house.cli("list", "--status", "active")}
