"""Creating over HTTP: once for an id, once for a key, all faults at once, and bad input changes nothing. SPEC 4."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from dunning.client import connect
from dunning.domain.commands import Cancel
from dunning.ledger.models import Record
from tests.api.desk import Desk, account, document, fields, open_desk, problem

pytestmark = pytest.mark.server


async def test_a_subscription_is_written_down_and_started(desk: Desk) -> None:
    answer = await desk.create(id="new-1")
    assert (answer.status_code, answer.headers["location"]) == (201, "/v1/subscriptions/new-1")
    body = answer.json()
    assert (body["status"], body["merchant_account"], body["generation"]) == ("started", "demo", 1)
    stored = await desk.ledger.read_subscription("demo", "new-1")
    assert stored.terms.amount == 10_000_000
    described = await desk.dunning.describe("demo", "new-1")
    assert described.id == body["workflow_id"]
    memo = await described.memo()
    assert memo["request_id"] == answer.headers["x-request-id"]


async def test_the_same_terms_again_change_nothing_and_other_terms_are_a_conflict(desk: Desk) -> None:
    assert (await desk.create()).status_code == 201
    again = await desk.create(customer={**document()["customer"], "email": "new@example.com"})
    assert (again.status_code, again.json()["status"]) == (200, "exists")
    found = problem(await desk.create(description="Another plan"), 409, "conflict")
    assert "other terms" in found["detail"]
    stored = await desk.ledger.read_subscription("demo", "sub-4711")
    assert stored.terms.description == "Pro plan"


async def test_many_at_once_make_one(desk: Desk) -> None:
    answers = await asyncio.gather(*(desk.create(id="race-1") for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]


async def test_an_idempotency_key_gives_the_first_answer_again(desk: Desk) -> None:
    first = await desk.create(key="order-1")
    again = await desk.create(key="order-1")
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (201, first.json())
    found = problem(await desk.create(key="order-1", id="sub-2"), 422, "key-reused")
    assert "order-1" in found["detail"]
    assert await desk.ids() == ["sub-4711"]
    other = await desk.create("other", key="order-1", id="sub-2")
    assert other.status_code == 201


async def test_a_key_is_not_used_up_by_bad_input(desk: Desk) -> None:
    problem(await desk.create(key="order-1", currency="rp"), 422, "invalid-input")
    assert (await desk.create(key="order-1")).status_code == 201


async def end(desk: Desk, name: str, generation: int = 1) -> None:
    """As a run that ended leaves it."""
    snapshot = Record(
        account="demo", subscription=name, generation=generation, revision=9, status="failed", is_open=False,
        snapshot={"generation": generation},
    )  # fmt: skip
    await desk.ledger.record(snapshot)


async def restart(desk: Desk, key: str | None, **changes: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return await desk.ask("POST", "/subscriptions?restart=true", json=document(**changes), headers=headers)


async def test_what_failed_is_begun_anew_once_for_a_key(desk: Desk) -> None:
    await desk.create()
    problem(await restart(desk, "again-1"), 409, "conflict")
    await end(desk, "sub-4711")
    first = await restart(desk, "again-2", description="Better plan")
    assert (first.status_code, first.json()["generation"]) == (201, 2)
    await end(desk, "sub-4711", 2)
    assert (await restart(desk, "again-2", description="Better plan")).json() == first.json()
    assert (await desk.ledger.read_subscription("demo", "sub-4711")).generation == 2
    assert fields(problem(await restart(desk, None), 422, "invalid-input")) == {"Idempotency-Key"}


async def test_a_restart_that_died_on_its_way_is_finished_and_not_done_twice(desk: Desk) -> None:
    """The ledger had begun the second life; the answer was never written down, and that life has failed since."""
    await desk.create()
    await end(desk, "sub-4711")
    assert (await restart(desk, "again-1")).json()["generation"] == 2
    async with desk.ledger._engine.begin() as connection:
        await connection.exec_driver_sql("update answers set status = null, body = null")
    await end(desk, "sub-4711", 2)
    answer = await restart(desk, "again-1")
    assert (answer.status_code, answer.json()["generation"]) == (200, 2)
    assert (await desk.ledger.read_subscription("demo", "sub-4711")).generation == 2


async def test_every_fault_is_named_with_its_rule_and_value(desk: Desk) -> None:
    bad = document(currency="rp", items=[{"product_id": "a b", "role": "base", "unit_amount": -1}], surplus=1)
    bad["customer"]["email"] = "nobody"
    bad["retry"] = {"ladder_days": [3, 2]}
    bad["merchant_account"] = "other"
    del bad["schedule"]
    found = problem(await desk.ask("POST", "/subscriptions", json=bad), 422, "invalid-input")
    assert fields(found) == {
        "currency", "items.0.product_id", "items.0.unit_amount", "surplus", "customer.email", "retry.ladder_days.1",
        "merchant_account", "schedule",
    }  # fmt: skip
    told = {error["field"]: error for error in found["errors"]}
    assert told["currency"] == {
        "field": "currency", "rule": "must be a currency of ISO 4217, in capitals", "value": "rp", "place": "body",
    }  # fmt: skip
    assert told["customer.email"]["value"] == "[not shown]"
    assert await desk.ids() == []


async def test_what_only_this_place_knows_is_a_fault_too(desk: Desk, ledger_url: str) -> None:
    found = problem(await desk.create(created_at="2026-03-01T00:00:00Z"), 422, "invalid-input")
    assert fields(found) == {"created_at"}
    omise = {"demo": account("omise")}
    async with open_desk(ledger_url, desk.dunning.temporal, accounts=omise) as elsewhere:
        found = problem(await elsewhere.create(), 422, "invalid-input")
        assert found["errors"][0]["rule"] == "must be the merchant account's omise"


BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "invalid-json"),
    (b"{", 400, "invalid-json"),
    (b"\xff\xfe{}", 400, "invalid-json"),
    (b'{"id": "a", "id": "b"}', 400, "invalid-json"),
    (b'{"id": NaN}', 400, "invalid-json"),
    (b'{"id": 1e999}', 400, "invalid-json"),
    (b'{"id": ' + b"9" * 5000 + b"}", 400, "invalid-json"),
    (b"[" * 100_000, 400, "invalid-json"),
    (b"null", 422, "invalid-input"),
    (b"[]", 422, "invalid-input"),
    (b'"text"', 422, "invalid-input"),
    (b'{"a": ' * 200 + b"1" + b"}" * 200, 422, "invalid-input"),
    (b'{"description": "\\u0000"}', 422, "invalid-input"),
    (b'{"description": "\\ud800"}', 422, "invalid-input"),
    (b'{"\\u0000": 1}', 422, "invalid-input"),
    (b'{"schedule": {"anchor_at": "9999-12-31T23:59:59-23:59"}}', 422, "invalid-input"),
]


async def test_what_cannot_be_read_is_refused_without_an_error(desk: Desk) -> None:
    headers = {"Content-Type": "application/json"}
    for body, status, kind in BODIES:
        for path in ("/subscriptions", "/previews", "/subscriptions/x/charge"):
            problem(await desk.ask("POST", path, content=body, headers=headers), status, kind)
    assert await desk.ids() == []


async def test_only_json_is_taken(desk: Desk) -> None:
    whole = json.dumps(document()).encode()
    for kind in ("text/plain", "application/xml", "application/jsonx", ""):
        answer = await desk.ask("POST", "/subscriptions", content=whole, headers={"Content-Type": kind})
        problem(answer, 415, "unsupported-media-type")
    kind = "application/json; charset=utf-8"
    answer = await desk.ask("POST", "/subscriptions", content=whole, headers={"Content-Type": kind})
    assert answer.status_code == 201


async def test_a_large_body_is_refused_whatever_its_length_claims(desk: Desk) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(16):
            yield b" " * 65_536

    headers = {"Content-Type": "application/json"}
    problem(await desk.ask("POST", "/subscriptions", content=endless(), headers=headers), 413, "too-large")


async def test_without_temporal_it_is_written_down_and_a_repeat_starts_it(
    ledger_url: str, dev_server: WorkflowEnvironment, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port}")
    async with open_desk(ledger_url, await connect(lazy=True)) as lonely:
        answer = await lonely.create(id="later-1", key="order-1")
        assert "nothing is done twice" in problem(answer, 503, "unavailable")["detail"]
        assert answer.headers["retry-after"] == "5"
        command = await lonely.ask("POST", "/subscriptions/later-1/pause")
        assert command.status_code in (503, 504)
        assert (await lonely.ask("GET", "/subscriptions/later-1")).json()["status"] == "requires_action"
    async with open_desk(ledger_url, dev_server.client) as desk:
        assert (await desk.create(id="later-1", key="order-1")).status_code == 200
        assert await desk.dunning.describe("demo", "later-1")


async def test_without_the_ledger_everything_says_so(desk: Desk, ledger_url: str) -> None:
    gone = ledger_url.rpartition("/")[0] + "/there_is_no_such_database"
    async with open_desk(gone, desk.dunning.temporal) as homeless:
        homeless.keys["demo"] = await desk.key()
        for method, path in (("GET", "/subscriptions"), ("POST", "/subscriptions"), ("POST", "/subscriptions/x/pause")):
            problem(await homeless.ask(method, path), 503, "unavailable")


async def test_a_command_without_an_answer_says_how_to_ask_again(desk: Desk) -> None:
    """No worker takes it; the run may take it in later."""
    await desk.have("slow-1")
    answer = await desk.ask("POST", "/subscriptions/slow-1/cancel", json={"command_id": "c-1"})
    found = problem(answer, 504, "no-answer")
    assert found["command_id"] == Cancel(command_id="c-1").command_id
