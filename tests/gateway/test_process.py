"""The gateway as a process of its own, and the client, against a real Temporal server and a real ledger."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from dunning.client import DunningClient
from dunning.contract import TASK_QUEUE, ProviderFact, SubscriptionInput, workflow_id
from dunning.domain.commands import Cancel, Pause
from dunning.errors import Conflict, NotFound
from dunning.ledger import Ledger
from dunning.sandbox import SandboxServer
from tests.builders import subscription
from tests.gateway.house import AT, SECRET, agreement, open_house
from tests.gateway.recorder import Recorder

pytestmark = pytest.mark.server


@asynccontextmanager
async def gateway(ledger_url: str, temporal: str, port: int, directory: Path) -> AsyncIterator[str]:
    """`python -m dunning.gateway`, up and ready; told to stop, it ends with 0."""
    account = {"provider": "dodo", "mode": "test", "api_key": "dodo_test_key", "webhook_secrets": [SECRET]}
    accounts = directory / "accounts.json"
    accounts.write_text(json.dumps({"accounts": {"demo": {**account, "merchant_name": "Demo"}}}))
    environment = {
        **os.environ,
        "DUNNING_LEDGER_URL": ledger_url,
        "DUNNING_ACCOUNTS_FILE": str(accounts),
        "DUNNING_GATEWAY_HOST": "127.0.0.1",
        "DUNNING_GATEWAY_PORT": str(port),
        "TEMPORAL_ADDRESS": temporal,
    }
    log = (directory / "gateway.log").open("wb")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dunning.gateway", env=environment, stdout=log, stderr=log
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await until_ready(url, process)
        yield url
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        log.close()


async def until_ready(url: str, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(60), httpx.AsyncClient() as http:
        while True:
            assert process.returncode is None, "the gateway ended"
            try:
                if (await http.get(f"{url}/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.wait({asyncio.ensure_future(process.wait())}, timeout=0.1)


async def until_heard(client: Client, name: str, count: int) -> list[ProviderFact]:
    """What the run was told, as soon as it is so many facts."""
    handle = client.get_workflow_handle(workflow_id("demo", name))
    async with asyncio.timeout(30):
        while True:
            try:
                heard: list[ProviderFact] = await handle.query("heard", result_type=list[ProviderFact])
            except Exception:
                heard = []
            if len(heard) >= count:
                return heard
            await asyncio.sleep(0.05)  # polled: a run tells nobody outside that it was told something


@pytest.fixture
async def ledger(ledger_url: str) -> AsyncIterator[Ledger]:
    found = await Ledger.open(ledger_url)
    yield found
    await found.aclose()


@pytest.fixture
async def recording(dev_server: WorkflowEnvironment) -> AsyncIterator[Client]:
    async with Worker(dev_server.client, task_queue=TASK_QUEUE, workflows=[Recorder]):
        yield dev_server.client


async def test_a_providers_message_reaches_the_run_through_the_gateway_process(
    recording: Client, ledger: Ledger, ledger_url: str, free_port: int, tmp_path: Path
) -> None:
    client = DunningClient(recording, ledger)
    options = {"country": "ID", "product_id": "pdt_1", "subscription_id": "sub_gw"}
    await client.start(subscription(id="gw-1", provider_options=options), now=AT)
    temporal = recording.service_client.config.target_host
    async with (
        gateway(ledger_url, temporal, free_port, tmp_path) as url,
        SandboxServer.start(webhook_url=f"{url}/webhooks/dodo/demo", webhook_secret=SECRET) as sandbox,
        httpx.AsyncClient(base_url=sandbox.url) as dodo,
    ):
        body: dict[str, Any] = {"subscription_id": "sub_gw", "metadata": {"subscription": "gw-1"}}
        assert (await dodo.post("/_sandbox/subscriptions", json=body)).is_success
        for status in ("active", "cancelled"):
            answer = await dodo.post("/_sandbox/subscriptions/sub_gw/status", json={"status": status})
            assert answer.is_success
        heard = await until_heard(recording, "gw-1", 2)
        ready = (await dodo.get(f"{url}/readyz")).json()
    assert {fact.mandate.status.value for fact in heard if fact.mandate} == {"authorized", "ended"}
    assert ready == {"ledger": "ok", "temporal": "ok"}
    assert SECRET.encode() not in (tmp_path / "gateway.log").read_bytes()


async def test_rows_that_a_killed_process_left_behind_are_told_by_the_next_one(
    recording: Client, ledger: Ledger, ledger_url: str, free_port: int, tmp_path: Path
) -> None:
    async with open_house(ledger_url) as house:  # takes the message, and ends before it tells anybody
        await house.subscribe("gw-2", reference="sub_gw_2")
        body = agreement("active", metadata={"subscription": "gw-2"})
        assert (await house.deliver(body)).status_code == 200
    temporal = recording.service_client.config.target_host
    async with gateway(ledger_url, temporal, free_port, tmp_path):
        (fact,) = await until_heard(recording, "gw-2", 1)
    assert fact.message_id == "msg_1"


class TestClient:
    """The client starts by reference and once, and steers whatever run there is."""

    async def test_a_start_is_by_reference_and_repeats_change_nothing(self, recording: Client, ledger: Ledger) -> None:
        client = DunningClient(recording, ledger)
        first = await client.start(subscription(id="cl-1"), now=AT)
        again = await client.start(subscription(id="cl-1"), now=AT)
        assert (first.is_new, again.is_new) == (True, False)
        assert first.workflow_id == again.workflow_id == "subscription/demo/cl-1"
        handle = client.handle("demo", "cl-1")
        given = await handle.query("started_with", result_type=SubscriptionInput)
        assert given == SubscriptionInput(account="demo", subscription="cl-1", generation=1)
        history = (await handle.fetch_history()).to_json()
        assert "ayu@example.com" not in history
        assert "Ayu" not in history
        attributes = (await client.describe("demo", "cl-1")).typed_search_attributes
        assert {pair.key.name for pair in attributes} >= {"DunningProvider", "DunningCustomer"}

    async def test_a_start_that_got_lost_after_the_ledger_is_made_good(self, recording: Client, ledger: Ledger) -> None:
        await ledger.create_subscription(subscription(id="cl-2"), now=AT)
        again = await DunningClient(recording, ledger).start(subscription(id="cl-2"), now=AT)
        assert again.is_new is False
        assert (await DunningClient(recording, ledger).show("demo", "cl-2")).business_now

    async def test_other_terms_under_a_known_id_start_nothing(self, recording: Client, ledger: Ledger) -> None:
        client = DunningClient(recording, ledger)
        await ledger.create_subscription(subscription(id="cl-3"), now=AT)
        with pytest.raises(Conflict):
            await client.start(subscription(id="cl-3", description="Other plan"), now=AT)
        with pytest.raises(NotFound):
            await client.show("demo", "cl-3")

    async def test_a_command_is_an_update_and_a_run_that_is_over_is_opened_again(
        self, recording: Client, ledger: Ledger
    ) -> None:
        client = DunningClient(recording, ledger)
        await client.start(subscription(id="cl-4"), now=AT)
        refused = await client.command("demo", "cl-4", Pause(command_id="p-1"))
        assert (refused.status, refused.reason) == ("refused", "it is paused already")
        done = await client.command("demo", "cl-4", Cancel(command_id="c-1"))
        assert done.status == "done"
        await client.handle("demo", "cl-4").result()
        reopened = await client.command("demo", "cl-4", Cancel(command_id="c-2"))
        assert reopened.command_id == "c-2"

    async def test_nobody_unknown_is_started_by_a_command(self, recording: Client, ledger: Ledger) -> None:
        client = DunningClient(recording, ledger)
        with pytest.raises(NotFound):
            await client.command("demo", "nobody", Pause(command_id="p-1"))
        with pytest.raises(NotFound):
            await client.describe("demo", "nobody")
