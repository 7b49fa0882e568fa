"""Around every request: its id, its line in the log, its limit, and problems that people can act on. SPEC 18."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
from temporalio.testing import WorkflowEnvironment

from dunning.gateway.api.limiting import Limiter
from dunning.log import configure_logging
from tests.api.desk import Desk, open_desk, problem

pytestmark = pytest.mark.server


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the gateway logs meanwhile, one JSON object a line."""
    stream = io.StringIO()
    configure_logging(stream=stream, form="json")
    yield stream
    configure_logging()


def lines(log: io.StringIO) -> list[dict[str, object]]:
    return [one for one in map(json.loads, log.getvalue().splitlines()) if one["event"].startswith("api.")]


async def test_a_request_has_one_id_in_its_answer_and_in_every_line_of_the_log(desk: Desk, log: io.StringIO) -> None:
    answer = await desk.create(id="a")
    await desk.ask("GET", "/subscriptions/a?source=ledger", headers={"X-Request-Id": "trace-7"})
    first, second = lines(log)
    assert first["request_id"] == answer.headers["x-request-id"]
    assert second["request_id"] == "trace-7"
    assert (second["method"], second["route"]) == ("GET", "/v1/subscriptions/{subscription_id}")
    assert (second["status"], second["account"]) == (200, "demo")
    assert isinstance(second["ms"], float)


async def test_the_log_holds_no_key_and_no_contact(desk: Desk, log: io.StringIO) -> None:
    await desk.create(id="a")
    await desk.create(id="a", currency="rp")
    await desk.http.get("/v1/subscriptions", headers={"Authorization": "Bearer dnk_wrong"})
    told = log.getvalue()
    assert len(lines(log)) == 3
    for private in (desk.keys["demo"].rpartition("_")[2], "ayu@example.com", "Ayu", "dnk_wrong"):
        assert private not in told


async def test_an_id_that_could_harm_a_log_is_replaced(desk: Desk) -> None:
    for given in (b"", b"x" * 41, b"two words", b'quote"', b"\xfc", b"a;b=c"):
        answer = await desk.http.get("/healthz", headers={b"X-Request-Id": given})
        assert len(answer.headers["x-request-id"]) == 32


async def test_a_key_that_asks_too_often_waits_and_others_do_not(
    ledger_url: str, dev_server: WorkflowEnvironment
) -> None:
    now = 0.0
    limiter = Limiter(2, 3, clock=lambda: now)
    async with open_desk(ledger_url, dev_server.client, limiter=limiter) as desk:
        answers = [await desk.ask("GET", "/subscriptions") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        problem(answers[-1], 429, "too-many-requests")
        assert answers[-1].headers["retry-after"] == "1"
        assert (await desk.ask("GET", "/subscriptions", "other")).status_code == 200
        now = 1.0
        answers = [await desk.ask("GET", "/subscriptions") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert (await desk.http.get("/healthz")).status_code == 200


def test_a_limiter_forgets_the_key_that_was_used_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dunning.gateway.api.limiting.MAX_KEYS", 2)
    limiter = Limiter(1, 1, clock=lambda: 0.0)
    assert [limiter.take(key) for key in ("a", "b", "a", "c", "b")] == [None, None, 1, None, None]
    assert len(limiter._buckets) == 2


async def test_addresses_and_methods_that_are_not_there_are_problems_too(desk: Desk) -> None:
    problem(await desk.http.get("/v1/nothing"), 404, "not-found")
    for path, methods in (
        ("/v1/subscriptions", "GET, POST"),
        ("/v1/subscriptions/a", "GET"),
        ("/v1/subscriptions/a/pause", "POST"),
        ("/webhooks/dodo/demo", "POST"),
    ):
        answer = await desk.http.delete(path)
        problem(answer, 405, "method-not-allowed")
        assert answer.headers["allow"] == methods


async def test_an_id_that_cannot_exist_is_named(desk: Desk) -> None:
    for path in ("/subscriptions/a%20b", "/subscriptions/a@b.c/events", "/subscriptions/" + "x" * 65):
        found = problem(await desk.ask("GET", path), 422, "invalid-input")
        assert [(error["place"], error["field"]) for error in found["errors"]] == [("path", "subscription_id")]


async def test_health_needs_no_key(desk: Desk) -> None:
    assert (await desk.http.get("/healthz")).json() == {"result": "ok"}
    assert (await desk.http.get("/readyz")).json() == {"ledger": "ok", "temporal": "ok"}


async def test_a_fault_of_ours_tells_nothing_but_its_id(desk: Desk, log: io.StringIO) -> None:
    async with desk.ledger._engine.begin() as connection:
        await connection.exec_driver_sql("alter table subscriptions rename to gone")
    answer = await desk.ask("GET", "/subscriptions")
    found = problem(answer, 500, "internal")
    assert "gone" not in answer.text
    assert "relation" not in answer.text
    [failed] = [line for line in lines(log) if line["event"] == "api.failed"]
    assert failed["request_id"] == found["request_id"]
