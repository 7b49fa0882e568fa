"""Orders that are no payments of a subscription, and those that others voided: given back once, and in the books."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from typer.testing import CliRunner, Result

from activities.orders import OrderActivities
from activities.price_migration import PriceMigrationActivities
from dunning.cli.app import app
from dunning.client import DunningClient
from dunning.contract import TASK_QUEUE
from dunning.domain.commands import CommandResult
from dunning.errors import Conflict, NotFound
from dunning.intake import parse_subscription
from dunning.ledger import Ledger
from dunning.ordering import SIGNAL_PAUSE, SIGNAL_STOP, PriceMigrationInput
from dunning.providers.cohorts import Cohort
from dunning.providers.google_play import GooglePlayProvider
from dunning.sandbox import SandboxServer
from dunning.settings import Settings
from tests.builders import subscription_data
from tests.providers.google_play.rig import PACKAGE, service_account
from tests.workflows.world import skip
from workers.bootstrap import accounts_with_orders, workflow_runner
from workflows.orders import RefundOrderWorkflow, WatchVoidedWorkflow, ensure_voided_watch
from workflows.price_migration import PriceMigrationWorkflow

pytestmark = pytest.mark.server
NOW = datetime.now(UTC).replace(microsecond=0)


class Till:
    """One account at the sandbox, its ledger, and a worker."""

    def __init__(self, env: WorkflowEnvironment, ledger: Ledger, sandbox: SandboxServer, queue: str) -> None:
        self.env, self.ledger, self.sandbox, self.queue = env, ledger, sandbox, queue
        self.dunning = DunningClient(env.client, ledger, task_queue=queue)
        self.http = httpx.AsyncClient(base_url=f"{sandbox.url}/_sandbox", timeout=20)

    async def post(self, path: str, body: Any) -> Any:
        answer = await self.http.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def buy(self, product: str = "shirt", *, days_ago: int = 1) -> str:
        """A one-time purchase; its order's id."""
        at = (NOW - timedelta(days=days_ago)).isoformat()
        body = {"token": f"once-{product}", "package": PACKAGE, "product_id": product, "price": 499, "at": at}
        return str((await self.post("play/one-time", body))["orderId"])

    async def subscribe(self, name: str) -> str:
        """A purchase of a subscription that the ledger knows; its first order's id."""
        token = f"token-{name}"
        item = {"product_id": "base", "price": 2_000, "is_base": True}
        body = {"token": token, "package": PACKAGE, "at": NOW.isoformat(), "items": [item]}
        found = await self.post("play/purchases", body)
        given = subscription_data(
            id=name,
            provider="google_play",
            collection="provider",
            provider_options={"purchase_token": token},
            payment_methods=[],
        )
        await self.ledger.create_subscription(parse_subscription(given), now=NOW)
        async with self.ledger._engine.begin() as connection:
            query = text("update subscriptions set reference = :token where id = :name")
            await connection.execute(query, {"token": token, "name": name})
        return str(found["lineItems"][0]["latestSuccessfulOrderId"])

    async def refund(self, order: str, command_id: str = "c-1", **given: Any) -> CommandResult:
        return await self.dunning.orders("demo").refund(order, command_id=command_id, wait_seconds=60, **given)

    async def asked(self) -> Sequence[str]:
        """Orders that were given back at the sandbox."""
        rows = (await self.http.get("/play/orders")).json()["orders"]
        return [row["orderId"] for row in rows if row["state"] == "REFUNDED"]

    async def inbox(self) -> list[tuple[str, str | None]]:
        async with self.ledger._engine.begin() as connection:
            rows = await connection.execute(text("select raw_type, subscription from inbox order by id"))
            return [(row.raw_type, row.subscription) for row in rows]


@pytest.fixture
async def till(temporal_env: WorkflowEnvironment, ledger_url: str) -> AsyncIterator[Till]:
    async with SandboxServer.start() as sandbox:
        ledger, url = await Ledger.open(ledger_url), f"{sandbox.url}/play"
        provider = GooglePlayProvider(
            service_account(), package_name=PACKAGE, is_test=True, base_url=url, token_url=f"{url}/token"
        )
        queue = TASK_QUEUE  # the command line has no other; this server is this module's alone
        orders = OrderActivities(ledger, {"demo": provider})
        prices = PriceMigrationActivities({"demo": provider})
        async with Worker(
            temporal_env.client,
            task_queue=queue,
            workflows=[RefundOrderWorkflow, WatchVoidedWorkflow, PriceMigrationWorkflow],
            activities=[orders.refund_order, orders.take_voided, prices.migrate_prices],
            workflow_runner=workflow_runner(),
        ):
            found = Till(temporal_env, ledger, sandbox, queue)
            yield found
            await found.http.aclose()
        await provider.aclose()
        await ledger.aclose()


@pytest.mark.parametrize(("revoke", "access"), [(False, "stays"), (True, "taken away")])
async def test_a_one_time_order_is_given_back_once_and_stands_in_the_books(
    till: Till, revoke: bool, access: str
) -> None:
    order = await till.buy()
    done = await till.refund(order, revoke=revoke)
    assert (done.status, done.detail) == (
        "done", {"order": order, "refunded": "499", "currency": "USD", "access": access},
    )  # fmt: skip
    assert await till.refund(order, revoke=revoke) == done
    assert (await till.refund(order, "c-2", revoke=revoke)).status == "done"  # it is given back already
    rows = [(row.kind.value, row.amount) for row in await till.ledger.booked("demo")]
    assert rows.count(("refund", 499)) == 1
    assert await till.asked() == [order]


async def test_a_lost_answer_is_read_before_anything_is_asked_again(till: Till) -> None:
    order = await till.buy()
    await till.post("/faults", [{"kind": "drop_after_commit", "on": "any", "after": 2}])
    assert (await till.refund(order)).status == "done"
    assert await till.asked() == [order]


async def test_what_cannot_be_given_back_here_is_refused_with_the_reason(till: Till) -> None:
    old = await till.buy("old", days_ago=3 * 366 + 1)
    assert "within 3 years" in (await till.refund(old)).reason
    assert "not found" in (await till.refund("GPA.none", "c-2")).reason
    payment = await till.subscribe("sub-1")
    assert (await till.refund(payment, "c-3")).reason == (
        "the order is a payment of subscription sub-1: refund it there"
    )  # fmt: skip
    assert "used for another command" in (await till.refund(payment, "c-2")).reason
    other = await till.dunning.orders("strange").refund("GPA.1", command_id="c-9", wait_seconds=60)
    assert "no orders of its own" in other.reason
    assert await till.asked() == []


async def test_voided_orders_are_taken_in_page_by_page_once_and_their_subscriptions_are_told(till: Till) -> None:
    shirts = [await till.buy(f"shirt{n}") for n in range(3)]
    payment = await till.subscribe("sub-2")
    api = f"{till.sandbox.url}/play/androidpublisher/v3/applications/{PACKAGE}/orders"
    async with httpx.AsyncClient(headers={"authorization": "Bearer sandbox-access-token"}) as http:
        for order in (*shirts, payment):
            (await http.post(f"{api}/{order}:refund?revoke=false")).raise_for_status()
    till.sandbox.state.play.voided_page = 1
    for _ in range(2):  # every worker asks for the watch; there is one
        await ensure_voided_watch(till.env.client, ["demo"])
    handle = till.env.client.get_workflow_handle("voided/demo")
    for _ in range(2):  # twice over: what is known stays
        await skip(till.env, timedelta(hours=1, minutes=1))
    await handle.terminate()
    refunds = {row.order_id: row.amount for row in await till.ledger.booked("demo") if row.kind == "refund"}
    assert refunds == {**dict.fromkeys(shirts, 499), payment: 2_000}
    assert [r.order_id for r in await till.ledger.booked("demo", subscription="sub-2") if r.kind == "refund"] == [
        payment
    ]
    inbox = await till.inbox()
    assert sorted(inbox) == sorted(
        (f"VOIDED (other, by the developer): {order}", "sub-2" if order == payment else None)
        for order in (*shirts, payment)
    )


async def test_on_the_command_line_the_same_answers_and_exit_codes(
    till: Till, ledger_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUNNING_LEDGER_URL", ledger_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", till.env.client.service_client.config.target_host)
    monkeypatch.delenv("DUNNING_ACCOUNTS_FILE", raising=False)

    async def dunning(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, ["play", *words])

    order = await till.buy()
    done = await dunning("refund", order, "--revoke", "--id", "cli-1", "--json")
    assert (done.exit_code, json.loads(done.stdout)["detail"]["access"]) == (0, "taken away"), done.stderr
    refused = await dunning("refund", "GPA.none")
    assert (refused.exit_code, "refused" in refused.stdout) == (1, True)
    row = {"base_plan_id": "monthly", "region_code": "US", "oldest_allowed_at": "2026-06-01T00:00:00Z"}
    file = tmp_path / "cohorts.json"
    file.write_text(json.dumps([{**row, "product_id": f"p{n}"} for n in range(2)]))
    name = f"june-{uuid.uuid4().hex[:6]}"
    begun = await dunning(
        "migrate", "start", name, str(file), "--regions-version", "2022/02", "--per-minute", "3000", "--json"
    )
    assert (begun.exit_code, json.loads(begun.stdout)["total"]) == (0, 2), begun.stderr
    await till.env.client.get_workflow_handle(f"price-migration/demo/{name}").result()
    shown = await dunning("migrate", "show", name)
    assert f"{name}: 2 of 2 cohorts, done; 0 refused" in shown.stdout
    assert [(await dunning("migrate", word, name)).exit_code for word in ("pause", "resume", "stop")] == [0, 0, 0]
    assert (await dunning("migrate", "show", "none")).exit_code == 3


async def test_a_migration_is_paused_resumed_stopped_and_taken_up_where_it_stopped(till: Till) -> None:
    migrations = till.dunning.price_migrations("demo")
    cohorts = tuple(
        Cohort(product_id=f"p{n}", base_plan_id="monthly", region_code="US", oldest_allowed_at=NOW) for n in range(4)
    )
    name = f"may-{uuid.uuid4().hex[:6]}"
    request = PriceMigrationInput(account="demo", regions_version="2022/02", cohorts=cohorts, is_paused=True)
    await migrations.start(name, request)
    with pytest.raises(Conflict, match="started already"):
        await migrations.start(name, request)
    with pytest.raises(NotFound):
        await migrations.progress("none")
    waiting = await migrations.progress(name)
    assert (waiting.done, waiting.total, waiting.is_paused) == (0, 4, True)
    await migrations.resume(name)
    await migrations.signal(name, SIGNAL_PAUSE)
    await migrations.signal(name, SIGNAL_STOP)
    handle = till.env.client.get_workflow_handle(f"price-migration/demo/{name}")
    stopped = await handle.result()
    assert stopped["is_stopped"]
    assert stopped["done"] < 4
    assert (await migrations.progress(name)).is_stopped
    await migrations.start(f"{name}-2", request)
    await till.env.client.get_workflow_handle(f"price-migration/demo/{name}-2").terminate()
    assert (await migrations.progress(f"{name}-2")).is_stopped
    await migrations.resume(name)
    await handle.result()
    over = await migrations.progress(name)
    assert (over.done, over.is_stopped, over.refused) == (4, False, ())
    asked = [one["productId"] for one in (await till.http.get("/play/migrations")).json()["migrations"]]
    assert asked == ["p0", "p1", "p2", "p3"]
    assert (await migrations.resume(name)).done == 4


async def test_only_accounts_whose_provider_keeps_orders_are_watched() -> None:
    common = {"mode": "test", "merchant_name": "Kopi"}
    play = {"provider": "google_play", "api_key": service_account(), "google_play": {"package_name": PACKAGE}}
    dodo = {"provider": "dodo", "api_key": "dodo_test_x"}
    settings = Settings(accounts={"store": {**common, **play}, "cards": {**common, **dodo}})
    assert await accounts_with_orders(settings) == ["store"]
