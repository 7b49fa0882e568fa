"""Every action of Google Play's guides, asked for over HTTP and again on the command line, read back and shown. SPEC 9.

All purchases are made on the same August 1 and live in one world; what each test says is worked out by hand.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.testing import WorkflowEnvironment
from typer.testing import CliRunner

from dunning.cli.app import app as cli
from dunning.domain.state import State
from tests.providers.google_play.rig import PACKAGE, service_account
from tests.workflows.play_world import BASE, Purchase, S, open_play
from tests.workflows.world import ACCOUNT

pytestmark = pytest.mark.server
ADD_ON = {"product_id": "addon", "price": 1_000}
BOTH = [BASE, ADD_ON]


@dataclass
class Desk:
    """A support person's desk: the HTTP API and a terminal, over one world of purchases."""

    first: Purchase
    key: str
    variables: Mapping[str, str]
    purchases: dict[str, Purchase] = field(default_factory=dict)

    def new(self, name: str) -> Purchase:
        made = Purchase(self.first.world, self.first.dispatcher, self.first.year, self.first.gateway)
        self.purchases[name] = made
        return made

    async def http(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.first.gateway, timeout=90) as http:
            headers = {"Authorization": f"Bearer {self.key}"}
            return await http.request(method, f"/v1{path}", json=body, headers=headers)

    async def terminal(self, *words: object) -> tuple[int, dict[str, Any]]:
        """`dunning WORDS --json`: the exit code, and what it prints."""

        def run() -> tuple[int, str]:
            result = CliRunner().invoke(cli, [*map(str, words), "--json"], env=dict(self.variables))
            return result.exit_code, result.stdout

        code, said = await asyncio.to_thread(run)
        # What this process logs meanwhile lands on the same standard output.
        start = said.find("{\n")
        return code, json.JSONDecoder().raw_decode(said[start:])[0] if start >= 0 else {}

    async def twice(self, one: Purchase, name: str, words: tuple[str, ...], **fields: Any) -> dict[str, Any]:
        """A command on the command line, then with the same id over HTTP: one result."""
        command_id = f"{name}-{one.token}"
        code, said = await self.terminal(name, one.life.name, *words, "--id", command_id)
        assert (code, said.get("status")) == (0, "done"), said
        answer = await self.http("POST", f"/subscriptions/{one.life.name}/{name}", {"command_id": command_id, **fields})
        assert (answer.status_code, answer.json()) == (200, said), answer.text
        return said

    async def shown(self, one: Purchase) -> dict[str, Any]:
        """What `dunning show` answers; the HTTP API says the same of status and access."""
        code, said = await self.terminal("show", one.life.name)
        assert code == 0
        api = (await self.http("GET", f"/subscriptions/{one.life.name}")).json()
        same = ("status", "access")
        assert {name: said[name] for name in same} == {name: api[name] for name in same}
        return said

    async def refunds(self, one: Purchase) -> list[tuple[str, int]]:
        """Google Play's own orders of a purchase: state, and what was given back, in cents."""
        answer = await one.world.http.get("/_sandbox/play/orders", params={"token": one.token})
        return [(order["state"], _given_back(order)) for order in answer.json()["orders"]]


def _given_back(order: dict[str, Any]) -> int:
    history = order["orderHistory"]
    events = [*history.get("partialRefundEvents", []), *([history["refundEvent"]] if "refundEvent" in history else [])]
    totals = [event["refundDetails"]["total"] for event in events]
    return sum(int(one["units"]) * 100 + one["nanos"] // 10_000_000 for one in totals)


def answers(said: dict[str, Any]) -> str:
    """Access now, until when, item by item, in one line: `active yes to 09-01: base to 09-01, addon no`."""
    granted = said["access"]
    items = [
        f"{one['product_id']} to {one['until'][5:10]}" if one["granted"] else f"{one['product_id']} no"
        for one in granted["items"]
    ]
    whole = f"yes to {granted['until'][5:10]}" if granted["granted"] else "no"
    return f"{said['status']} {whole}: {', '.join(items)}"


@pytest.fixture
async def desk(temporal_env: WorkflowEnvironment, ledger_url: str, tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_play(temporal_env, ledger_url) as first:
        account = {
            "provider": "google_play",
            "mode": "test",
            "api_key": service_account().get_secret_value(),
            "merchant_name": "Kopi Club",
            "google_play": {"package_name": PACKAGE},
        }
        accounts = tmp_path / "accounts.json"
        accounts.write_text(json.dumps({"accounts": {ACCOUNT: account}}))
        variables = {
            **os.environ,
            "DUNNING_LEDGER_URL": ledger_url,
            "DUNNING_ACCOUNTS_FILE": str(accounts),
            "TEMPORAL_ADDRESS": temporal_env.client.service_client.config.target_host,
        }
        key = (await first.world.ledger.create_key(ACCOUNT, name="desk")).text
        yield Desk(first, key, variables)


async def go(desk: Desk, day: str) -> None:
    """Let time pass for all of them, and Google Play tell of it; everything that was said is heard."""
    one = next(iter(desk.purchases.values()))
    await one.world.sleep(one.on(day) - await one.world.now())
    for each in desk.purchases.values():
        await each.post(f"purchases/{each.token}/advance", {"at": one.on(day).isoformat()})
        await each.heard()


async def state_of(one: Purchase) -> State:
    await one.heard()
    return await one.life.state()


async def test_the_questions_of_support_are_answered_at_each_step_of_both_outcomes_of_g1(desk: Desk) -> None:
    """Access now? Until when? Per item? What next? Guide: add-ons, "Penangguhan akun", both bullets."""
    back, lost = desk.new("back"), desk.new("lost")

    async def both() -> list[tuple[str, str]]:
        found = []
        for one in (back, lost):
            said = await desk.shown(one)
            found.append((answers(said), f"{said['next']['do']} {said['next']['at'][5:16]}" if said["next"] else "-"))
        return found

    for one in (back, lost):
        await one.begin(["DECLINED"], notifications={})
    alone = "active yes to 09-01: base to 09-01"
    assert await both() == [(alone, "read_plan 09-01T00:15")] * 2

    await go(desk, "08-15T00:00")
    for one in (back, lost):
        await one.add_on()
    trial = "active yes to 09-01: base to 09-01, addon to 08-22"
    assert await both() == [(trial, "read_plan 08-22T00:15")] * 2

    await go(desk, "08-22T01:00")
    held = "on_hold no: base no, addon no"
    assert [words for words, _ in await both()] == [held] * 2
    owed = (await desk.shown(back))["obligations"][-1]
    assert (owed["amount"], owed["status"], owed["due_at"][5:10]) == (290, "retrying", "08-22")

    await go(desk, "08-25T00:00")
    await back.deed("repair")
    (recovered, following), (still, _) = await both()
    assert recovered == "active yes to 09-04: base to 09-04, addon to 09-04"
    assert (following, still) == ("read_plan 09-04T00:15", held)

    await go(desk, "09-21T01:00")
    (renewed, _), (ended, following) = await both()
    assert renewed == "active yes to 10-04: base to 10-04, addon to 10-04"
    assert ended == "canceled yes to 10-01: base to 10-01, addon no"
    assert following.startswith("read_plan 10-01T00:15")

    await go(desk, "09-30T23:00")
    assert (await both())[1][0] == "canceled yes to 10-01: base to 10-01, addon no"
    await go(desk, "10-01T01:00")
    assert (await both())[1] == ("inactive no: base no, addon no", "-")


async def test_revokes_and_refunds_of_the_guide_each_once_and_read_back(desk: Desk) -> None:
    names = ("item", "last", "full", "prorated", "money", "money_and_access", "older")
    for name in names:
        only_base = name in ("last", "prorated")
        await desk.new(name).begin([], items=[BASE] if only_base else BOTH)
    own = desk.purchases
    await go(desk, "08-08T00:00")
    item = {**ADD_ON, "trial_days": 0}
    add = {"at": own["prorated"].on("08-08T00:00").isoformat(), "item": item}
    await own["prorated"].post(f"purchases/{own['prorated'].token}/items", add)
    await go(desk, "08-15T00:00")

    # Itemised: only the add-on ends, its price comes back, the rest goes on.
    await desk.twice(own["item"], "revoke", ("--type", "ITEM", "--item", "addon"), type="ITEM", item="addon")
    assert answers(await desk.shown(own["item"])) == "active yes to 09-01: base to 09-01"
    assert await desk.refunds(own["item"]) == [("PARTIALLY_REFUNDED", 1_000)]
    # No active item is left: canceled, and all money back.
    await desk.twice(own["last"], "revoke", ("--type", "ITEM", "--item", "base"), type="ITEM", item="base")
    assert (await state_of(own["last"])).status is S.INACTIVE
    assert await desk.refunds(own["last"]) == [("REFUNDED", 2_000)]
    # Maria: 100 % back, no longer subscribed.
    await desk.twice(own["full"], "revoke", ("--type", "FULL"), type="FULL")
    assert answers(await desk.shown(own["full"])).startswith("inactive no")
    assert await desk.refunds(own["full"]) == [("REFUNDED", 3_000)]
    # By the time left, of the latest order of each item: 17 of 31 days of $20, and 17 of 24 of $7.42 (10 x 23/31).
    await desk.twice(own["prorated"], "revoke", ("--type", "PRORATED"), type="PRORATED")
    assert answers(await desk.shown(own["prorated"])).startswith("inactive no")
    assert await desk.refunds(own["prorated"]) == [("PARTIALLY_REFUNDED", 1_097), ("PARTIALLY_REFUNDED", 526)]
    # An order given back without revoke leaves access; with it, access ends.
    order = await _first_order(own["money"])
    await desk.twice(own["money"], "refund", (order,), order=order)
    assert answers(await desk.shown(own["money"])) == "active yes to 09-01: base to 09-01, addon to 09-01"
    order = await _first_order(own["money_and_access"])
    await desk.twice(own["money_and_access"], "refund", (order, "--revoke"), order=order, revoke=True)
    assert (await state_of(own["money_and_access"])).status is S.INACTIVE
    for name in ("money", "money_and_access"):
        assert await desk.refunds(own[name]) == [("REFUNDED", 3_000)]

    # Of an order that is not the latest any more only the money comes back.
    order = await _first_order(own["older"])
    await go(desk, "09-02T00:00")
    await desk.twice(own["older"], "refund", (order, "--revoke"), order=order, revoke=True)
    assert answers(await desk.shown(own["older"])) == "active yes to 10-01: base to 10-01, addon to 10-01"
    assert await desk.refunds(own["older"]) == [("REFUNDED", 3_000), ("PROCESSED", 0)]


async def _first_order(one: Purchase) -> str:
    found = [o.provider_cycle for o in (await one.life.state()).obligations if o.is_cycle]
    return found[0]


async def test_both_kinds_of_cancel_and_what_each_allows_afterwards(desk: Desk) -> None:
    for name in ("restored", "ended", "not_offered", "developer", "untyped"):
        base = {**BASE, "is_resubscribable": name != "not_offered"}
        await desk.new(name).begin([], items=[base])
    own, by_user = desk.purchases, "USER_REQUESTED_STOP_RENEWALS"
    for name in ("restored", "ended", "not_offered"):
        await desk.twice(own[name], "cancel", ("--type", by_user), type=by_user)
    await desk.twice(own["developer"], "cancel", ("--type", "DEVELOPER_REQUESTED_STOP_PAYMENTS"),
                     type="DEVELOPER_REQUESTED_STOP_PAYMENTS")  # fmt: skip
    await desk.twice(own["untyped"], "cancel", ())
    for one in own.values():
        assert answers(await desk.shown(one)) == "canceled yes to 09-01: base to 09-01"

    # Before the end: the customer takes a cancel of the customer's kind back, and no other.
    await own["restored"].deed("restore")
    assert answers(await desk.shown(own["restored"])) == "active yes to 09-01: base to 09-01"
    for name in ("developer", "untyped"):
        assert not (await _deed(own[name], "restore")).is_success
    answer = await desk.http("POST", f"/subscriptions/{own['ended'].life.name}/restore", {})
    assert answer.status_code == 409
    assert f"https://play.google.com/store/account/subscriptions?sku=base&package={PACKAGE}" in answer.text

    # After the end: subscribed again where the base plan has it; the same subscription goes on with the new token.
    await go(desk, "09-02T00:00")
    for name in ("not_offered", "developer", "untyped"):
        assert (await state_of(own[name])).status is S.INACTIVE
        assert not (await _again(own[name])).is_success, name
    one = own["ended"]
    assert (await _again(one)).is_success
    one.token = f"{one.token}-again"
    followed = await one.heard()
    assert followed.plan is not None
    assert (followed.status, followed.plan.plan_id, followed.attention) == (S.ACTIVE, one.token, ())
    assert answers(await desk.shown(one)) == "active yes to 10-02: base to 10-02"
    told = [row["type"] for row in await one.world.ledger.events_of(ACCOUNT, one.life.name)]
    assert told[told.index("subscription.ended") :].count("subscription.active") == 1


async def _deed(one: Purchase, deed: str) -> httpx.Response:
    return await one.world.http.post(f"/_sandbox/play/purchases/{one.token}/deeds", json={"deed": deed})


async def _again(one: Purchase) -> httpx.Response:
    body = {
        "token": f"{one.token}-again", "package": PACKAGE, "at": (await one.world.now()).isoformat(),
        "revived_token": one.token, "items": [BASE],
    }  # fmt: skip
    return await one.world.http.post("/_sandbox/play/purchases", json=body)


async def test_pending_instalments_and_prepaid_purchases(desk: Desk) -> None:
    paid, never = desk.new("paid"), desk.new("never")
    for one in (paid, never):
        await one.buy([BASE], is_pending=True)
        await one.follow()
        state = await one.heard()
        assert (state.status, answers(await desk.shown(one))) == (S.REQUIRES_ACTION, "requires_action no: base no")
    for one, deed in ((paid, "pending_paid"), (never, "pending_canceled")):
        await one.deed(deed)
    assert (await paid.life.until(lambda s: s.status is S.ACTIVE, step=timedelta(minutes=1))).attention == ()
    over = await state_of(never)
    assert over.plan is not None
    assert (over.status, over.plan.is_released) == (S.FAILED, True)  # nobody asks about it for ever

    # A customer's cancel during a commitment: payments run on to its end.
    owing = desk.new("owing")
    await owing.begin([], items=[{**BASE, "installments": 1}])
    await desk.twice(owing, "cancel", ("--type", "USER_REQUESTED_STOP_RENEWALS"), type="USER_REQUESTED_STOP_RENEWALS")
    assert answers(await desk.shown(owing)) == "canceled yes to 09-01: base to 09-01"

    # A prepaid plan: its expiry is put off; there is nothing to cancel.
    prepaid = desk.new("prepaid")
    await prepaid.begin([], items=[{**BASE, "is_prepaid": True}])
    await desk.twice(prepaid, "defer", ("31",), days=31)
    assert answers(await desk.shown(prepaid)) == "active yes to 10-02: base to 10-02"
    refused = await desk.http("POST", f"/subscriptions/{prepaid.life.name}/cancel", {})
    assert (refused.status_code, "a prepaid plan does not renew" in refused.text) == (409, True)

    await go(desk, "09-01T01:00")
    assert answers(await desk.shown(owing)) == "canceled yes to 10-01: base to 10-01"
    orders = await desk.refunds(owing)
    assert orders == [("PROCESSED", 0)] * 2
    await go(desk, "10-01T01:00")
    assert (await state_of(owing)).status is S.INACTIVE
    assert answers(await desk.shown(prepaid)) == "active yes to 10-02: base to 10-02"
