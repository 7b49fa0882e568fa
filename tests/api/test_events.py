"""Events over HTTP: their kinds, what was given up, again, and a trial. SPEC 10."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import jsonschema
import pytest
from temporalio.testing import WorkflowEnvironment

from dunning.domain.event_catalogue import known_types
from tests.activities.backend import Backend, open_backend
from tests.api.desk import Desk, fields, open_desk, problem
from tests.ledger.test_records import event, record
from tests.ledger.till import Till

pytestmark = pytest.mark.server
LONG_AGO = (datetime.now(UTC) - timedelta(days=9)).isoformat()


@pytest.fixture
async def till(desk: Desk, ledger_url: str) -> Till:
    for number in (1, 2, 3):
        await desk.ledger.record(record(number, events=(event(number),)))
    await desk.ledger.record(record(1, subscription="sub-2", events=(event(1),)))
    return Till(desk.ledger, ledger_url)


async def give_up(till: Till, *sequences: int) -> None:
    for sequence in sequences:
        await till.sql(
            "update outbox set undelivered_at = clock_timestamp(), tries = 20, last_error = 'it answered 500' "
            f"where subscription = 'sub-1' and sequence = {sequence}"
        )


async def waiting(till: Till) -> list[tuple[str, int]]:
    query = (
        "select subscription, sequence from outbox where delivered_at is null and undelivered_at is null order by 1, 2"
    )
    return [(name, sequence) for name, sequence in await till.sql(query)]


async def test_every_kind_of_event_has_a_schema_that_its_example_keeps(desk: Desk) -> None:
    answer = await desk.ask("GET", "/event-types")
    assert [one["type"] for one in answer.json()["items"]] == known_types()
    for one in answer.json()["items"]:
        jsonschema.Draft202012Validator(one["json_schema"]).validate(one["example"])
        assert one["when"]


async def test_what_was_given_up_is_listed_by_pages_and_to_its_own_account_only(desk: Desk, till: Till) -> None:
    await give_up(till, 1, 2)
    first = (await desk.ask("GET", "/events/undelivered?limit=1")).json()
    second = (await desk.ask("GET", f"/events/undelivered?limit=1&cursor={first['next_cursor']}")).json()
    assert [one["sequence"] for one in (*first["items"], *second["items"])] == [1, 2]
    assert second["next_cursor"] is None
    assert first["items"][0]["last_error"] == "it answered 500"
    assert (await desk.ask("GET", "/events/undelivered", "other")).json()["items"] == []


async def test_one_event_again_goes_before_those_that_wait(desk: Desk, till: Till) -> None:
    await till.sql("update outbox set delivered_at = clock_timestamp(), tries = 7 where sequence < 3")
    [(ident,)] = await till.sql("select id from outbox where subscription = 'sub-1' and sequence = 2")
    problem(await desk.ask("POST", f"/events/{ident}/redeliver", "other"), 404, "not-found")
    answer = await desk.ask("POST", f"/events/{ident}/redeliver")
    assert (answer.status_code, answer.json()) == (202, {"events": 1})
    due = await desk.ledger.due_events("demo")
    assert [(one.subscription, one.sequence, one.tries) for one in due] == [("sub-1", 2, 0)]
    problem(await desk.ask("POST", "/events/evt_nobody/redeliver"), 404, "not-found")


async def test_all_since_an_instant_or_one_subscriptions_or_only_what_was_given_up(desk: Desk, till: Till) -> None:
    await till.sql("update outbox set delivered_at = clock_timestamp()")
    await till.sql("update outbox set delivered_at = null where subscription = 'sub-1' and sequence = 2")
    await give_up(till, 2)
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert (await desk.ask("POST", "/events/redeliver", json={"since": soon})).json() == {"events": 0}
    assert (await desk.ask("POST", "/events/redeliver", "other", json={"since": LONG_AGO})).json() == {"events": 0}
    assert await waiting(till) == []
    given_up = await desk.ask("POST", "/events/redeliver", json={"since": LONG_AGO, "undelivered": True})
    assert (given_up.json(), await waiting(till)) == ({"events": 1}, [("sub-1", 2)])
    one = await desk.ask("POST", "/events/redeliver", json={"since": LONG_AGO, "subscription_id": "sub-2"})
    assert (one.json(), await waiting(till)) == ({"events": 1}, [("sub-1", 2), ("sub-2", 1)])
    assert (await desk.ask("POST", "/events/redeliver", json={"since": LONG_AGO})).json() == {"events": 4}


async def test_a_redelivery_has_three_days_of_its_own(desk: Desk, till: Till) -> None:
    await till.sql("update outbox set recorded_at = recorded_at - interval '30 days', waiting_since = recorded_at")
    await give_up(till, 1)
    await desk.ask("POST", "/events/redeliver", json={"since": "2020-01-01T00:00:00Z", "undelivered": True})
    [(ident,)] = await till.sql("select id from outbox where subscription = 'sub-1' and sequence = 1")
    assert await desk.ledger.mark_failed(ident) is False


@pytest.mark.parametrize(
    ("body", "wrong"),
    [({}, {"since"}), ({"since": "2026-03-05T00:00:00"}, {"since"}), ({"since": 5, "what": 1}, {"since", "what"})],
)
async def test_every_fault_of_a_redelivery_is_named(desk: Desk, body: dict[str, object], wrong: set[str]) -> None:
    found = problem(await desk.ask("POST", "/events/redeliver", json=body), 422, "invalid-input")
    assert fields(found) == wrong


@contextlib.asynccontextmanager
async def trying(url: str, server: WorkflowEnvironment, backend: Backend) -> AsyncIterator[Desk]:
    accounts = {"demo": backend.account(), "other": backend.account(backend_url=None, backend_secret=None)}
    async with (
        httpx.AsyncClient() as http,
        open_desk(url, server.client, accounts=accounts, http=http) as found,
    ):
        yield found


async def test_a_trial_tells_what_the_endpoint_answers_to_a_signed_event(
    ledger_url: str, dev_server: WorkflowEnvironment
) -> None:
    async with open_backend() as backend, trying(ledger_url, dev_server, backend) as desk:
        told = (await desk.ask("POST", "/events/test")).json()
        assert (told["taken"], told["status"], told["because"]) == (True, 204, "")
        [event_] = backend.taken
        assert (event_["id"], event_["type"], event_["sequence"]) == (told["event_id"], "endpoint.test", 0)
        backend.answers["test"] = [302]
        refused = (await desk.ask("POST", "/events/test")).json()
        assert (refused["taken"], refused["status"]) == (False, 302)
        assert "only 2xx counts" in refused["because"]
        problem(await desk.ask("POST", "/events/test", "other"), 409, "conflict")


async def test_a_virtual_clock_is_refused_outside_of_development(
    ledger_url: str, dev_server: WorkflowEnvironment, desk: Desk
) -> None:
    accounts = {"demo": Backend().account(mode="live", api_key="dodo_live_key", backend_url=None, backend_secret=None)}
    async with open_desk(ledger_url, dev_server.client, accounts=accounts) as live:
        found = problem(await live.ask("POST", "/subscriptions?test_clock=true", json={}), 422, "invalid-input")
        assert fields(found) == {"test_clock"}
    assert (await desk.ask("POST", "/subscriptions?test_clock=true", json={})).status_code == 422
