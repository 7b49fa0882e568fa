"""Sealed payloads on a real server: no readable word in a history, a rotation, the codec server. SPEC 15, 18."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from dunning.client import DunningClient
from dunning.contract import workflow_id
from dunning.ledger import Ledger
from dunning.sandbox import SandboxServer
from dunning.sealing import ENCODING, KEY_ID, EncryptionCodec, data_converter
from dunning.settings import AccountSettings, Settings
from dunning.testclock import TestClock
from tests.builders import subscription
from tests.sealing.keys import NEW, OLD, ring
from workers import bootstrap

pytestmark = pytest.mark.server
MARKER = "kopi-marker-4711"
UI = "https://temporal.example.com"
BOOKKEEPING = {
    "seq", "attempt", "activity_id", "activity_type", "complete_time", "backoff", "original_schedule_time",
    "activation_index",
}  # fmt: skip
"""What the SDK's core writes of a local activity by itself, past every codec: numbers, instants and the name."""


@asynccontextmanager
async def working(address: str, ledger_url: str, sandbox: SandboxServer, *keys: str) -> AsyncIterator[DunningClient]:
    """A worker and a client with these keys, as `connect` and `python -m workers` wire them."""
    account = AccountSettings(
        provider="dodo", mode="test", base_url=sandbox.url, api_key=SecretStr("dodo_test_key"), merchant_name="Kopi"
    )
    settings = Settings(ledger_url=SecretStr(ledger_url), accounts={"demo": account})
    client = await Client.connect(address, data_converter=data_converter(ring(*keys)))
    ledger = await Ledger.open(ledger_url)
    try:
        async with bootstrap.worker(client, settings, task_queue="sealed") as worker, worker:
            yield DunningClient(client, ledger, task_queue="sealed")
    finally:
        await ledger.aclose()


def payloads_in(message: Any) -> Iterator[Payload]:
    """Every payload in a message of Temporal's, wherever it stands; search attributes are left out."""
    for field, value in message.ListFields():
        if field.message_type is None or field.name == "search_attributes":
            continue
        if field.message_type.GetOptions().map_entry:
            inner = [one for one in value.values() if hasattr(one, "ListFields")]
        else:
            inner = list(value) if field.is_repeated else [value]
        for one in inner:
            if isinstance(one, Payload):
                yield one
            else:
                yield from payloads_in(one)


async def history(client: Client, name: str) -> list[Any]:
    """Every event of the latest run, as the server stores it."""
    found = await client.get_workflow_handle(workflow_id("demo", name)).fetch_history()
    return list(found.events)


async def test_histories_hold_no_readable_word_and_a_rotated_key_still_reads(
    dev_server: WorkflowEnvironment, ledger_url: str, free_port: int
) -> None:
    address = dev_server.client.service_client.config.target_host
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    given = subscription(
        id="sealed-1",
        description=MARKER,
        metadata={"note": MARKER},
        schedule={"anchor_at": due.isoformat(), "interval": "MONTH", "interval_count": 1},
        payment_methods=[{"token": "pm_1", "authorized_at": due.isoformat()}],
    )
    async with SandboxServer.start(settle_seconds=0) as sandbox:
        body = {"subscription_id": "sub_dodo_1", "payment_method_id": "pm_1", "script": ["INSUFFICIENT_FUNDS"]}
        async with httpx.AsyncClient(base_url=sandbox.url) as http:
            (await http.post("/_sandbox/subscriptions", json={**body, "currency": "IDR"})).raise_for_status()
        async with working(address, ledger_url, sandbox, "old") as dunning:
            await dunning.start(given, is_test_clock=True)
            await TestClock(dunning, "demo", given.id).advance(due + timedelta(minutes=1))
        events = await history(dev_server.client, given.id)
        await assert_sealed(events, "old")
        async with working(address, ledger_url, sandbox, "new", "old") as dunning:
            await TestClock(dunning, "demo", given.id).advance(due + timedelta(days=3, minutes=1))
            rows = await dunning.ledger.attempts_of("demo", given.id)
        # The cycle closed, so the run was renewed: its state was carried over under the new key.
        await assert_sealed(await history(dev_server.client, given.id), "new", "old")
    assert [row.outcome and row.outcome.kind.value for row in rows] == ["declined", "succeeded"]
    await assert_codec_server_opens(events, free_port)


async def assert_sealed(events: list[Any], *keys: str) -> None:
    """No payload in the open, the marker in none of them, and in some once they are opened."""
    found = [payload for event in events for payload in payloads_in(event)]
    assert found
    in_the_open = [json.loads(payload.data) for payload in found if payload.metadata["encoding"] != ENCODING]
    assert all(set(note) <= BOOKKEEPING for note in in_the_open)
    found = [payload for payload in found if payload.metadata["encoding"] == ENCODING]
    assert {payload.metadata[KEY_ID].decode() for payload in found} <= set(keys)
    assert keys[0] in {payload.metadata[KEY_ID].decode() for payload in found}
    assert not any(MARKER.encode() in event.SerializeToString() for event in events)
    opened = await EncryptionCodec(ring("new", "old")).decode(found)
    assert any(MARKER.encode() in payload.data for payload in opened)


async def assert_codec_server_opens(events: list[Any], port: int) -> None:
    """What a browser at the Temporal UI does, against the process that an operator starts."""
    every = [payload for event in events for payload in payloads_in(event)]
    sealed = [payload for payload in every if payload.metadata["encoding"] == ENCODING]
    body = MessageToDict(Payloads(payloads=sealed))
    async with codec_server(port) as http:
        ask = {"origin": UI, "access-control-request-method": "POST", "access-control-request-headers": "x-namespace"}
        allowed = await http.options("/decode", headers=ask)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, UI)
        other = await http.options("/decode", headers={**ask, "origin": "https://elsewhere.example"})
        assert "access-control-allow-origin" not in other.headers
        for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic let-me-in"}):
            refused = await http.post("/decode", json=body, headers=wrong)
            assert refused.status_code == 401
            assert MARKER not in refused.text
        http.headers["authorization"] = "Bearer let-me-in"
        answer = await http.post("/decode", json=body, headers={"origin": UI, "x-namespace": "default"})
        opened = [base64.b64decode(one.get("data", "")).decode() for one in answer.json()["payloads"]]
        assert len(opened) == len(sealed)
        assert any(MARKER in text for text in opened)
        again = (await http.post("/encode", json=answer.json())).json()
        names = {base64.b64decode(one["metadata"][KEY_ID]).decode() for one in again["payloads"]}
        assert names == {"new"}
        for nonsense in (b"{", b"[]", b'{"payloads": 1}', b"[" * 100_000):
            assert (await http.post("/decode", content=nonsense)).status_code == 400
        sealed[0].metadata[KEY_ID] = b"lost"
        unknown = await http.post("/decode", json=MessageToDict(Payloads(payloads=sealed[:1])))
        assert (unknown.status_code, "'lost'" in unknown.json()["message"]) == (422, True)


@asynccontextmanager
async def codec_server(port: int) -> AsyncIterator[httpx.AsyncClient]:
    """`dunning codec-server` as a process of its own."""
    env = {**os.environ, "DUNNING_PAYLOAD_KEYS": f"new:{NEW},old:{OLD}", "DUNNING_PAYLOAD_CODEC_TOKEN": "let-me-in"}
    program = [sys.executable, "-c", "from dunning.cli import main; main()"]
    process = await asyncio.create_subprocess_exec(
        *program, "codec-server", "--port", str(port), "--origin", UI, env=env
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as http, asyncio.timeout(30):
            while not await is_up(http):  # noqa: ASYNC110 - the sign comes from another process
                await asyncio.sleep(0.05)
            yield http
    finally:
        process.terminate()
        await process.wait()


async def is_up(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/healthz")).is_success
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("words", "keys", "because"),
    [
        ((), {}, "no key to open payloads with"),
        (("--host", "0.0.0.0"), {"DUNNING_PAYLOAD_KEYS": f"old:{OLD}"}, "set DUNNING_PAYLOAD_CODEC_TOKEN"),
        (("--origin", "*"), {"DUNNING_PAYLOAD_KEYS": f"old:{OLD}"}, "every page could ask"),
    ],
)
async def test_the_codec_server_does_not_start_where_everybody_could_read(
    words: tuple[str, ...], keys: dict[str, str], because: str
) -> None:
    program = [sys.executable, "-c", "from dunning.cli import main; main()"]
    process = await asyncio.create_subprocess_exec(
        *program, "codec-server", "--port", "0", *words, env={**os.environ, **keys},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, complained = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert because in " ".join((said + complained).decode().replace("│", " ").split())
