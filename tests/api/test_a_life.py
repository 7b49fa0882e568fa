"""A backend that knows only HTTP: a subscription from its start to its end on the real stack. SPEC 4, 8, 9, 10."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from temporalio.client import Client

from dunning.contract import workflow_id
from dunning.stack import Stack
from tests.api.desk import document, problem

pytestmark = pytest.mark.server


@pytest.fixture
async def http(stack: Stack, api_key: str) -> AsyncIterator[httpx.AsyncClient]:
    base = f"{stack.env['DUNNING_GATEWAY_URL']}/v1"
    async with httpx.AsyncClient(base_url=base, headers={"Authorization": f"Bearer {api_key}"}, timeout=60) as client:
        yield client


async def script(stack: Stack, name: str, *outcomes: str) -> None:
    """A customer of the sandbox who authorised charging before, and whose bank answers so."""
    customer = {
        "subscription_id": f"sub_{name}", "customer_id": f"cus_{name}", "payment_method_id": "pm_1",
        "methods": [{"payment_method_id": "pm_1"}, {"payment_method_id": "pm_2"}],
        "currency": "IDR", "metadata": {"subscription": name}, "script": list(outcomes),
    }  # fmt: skip
    async with httpx.AsyncClient(base_url=stack.env["DUNNING_SANDBOX_URL"]) as sandbox:
        (await sandbox.post("/_sandbox/subscriptions", json=customer)).raise_for_status()


async def until(
    http: httpx.AsyncClient, path: str, is_so: Callable[[dict[str, Any]], bool], seconds: float = 45
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(seconds):
            while not (found and is_so(found)):
                found = (await http.get(path)).raise_for_status().json()
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never so: {found}") from None
    return found


async def customer_who_is_declined_once(stack: Stack, name: str) -> dict[str, Any]:
    """A subscription that is due in two seconds."""
    due = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    await script(stack, name, "INSUFFICIENT_FUNDS", "SUCCEEDED")
    return document(
        id=name,
        customer={"id": "cust-life", "email": "ayu@example.com"},
        provider_options={"country": "ID", "product_id": "p", "subscription_id": f"sub_{name}"},
        payment_methods=[{"token": "pm_1", "authorized_at": due}],
        schedule={"anchor_at": due, "interval": "MONTH"},
    )


async def updates(stack: Stack, name: str) -> list[tuple[str, str]]:
    """Id of each command in the history of the latest run, and of the request that brought it."""
    temporal = await Client.connect(stack.env["TEMPORAL_ADDRESS"])
    history = await temporal.get_workflow_handle(workflow_id("demo", name)).fetch_history()
    asked = [e.workflow_execution_update_accepted_event_attributes.accepted_request for e in history.events]
    return [(a.meta.update_id, json.loads(a.input.header.fields["request_id"].data)) for a in asked if a.meta.update_id]


async def test_from_a_decline_to_the_end_over_http_alone(http: httpx.AsyncClient, stack: Stack) -> None:
    name = "life-1"
    given = await customer_who_is_declined_once(stack, name)
    assert (await http.post("/subscriptions", json=given)).status_code == 201

    declined = await until(http, f"/subscriptions/{name}", lambda s: s["status"] == "past_due")
    assert (declined["source"], declined["access"]["granted"]) == ("as its run has it", True)
    assert declined["next"]["reason"]
    [owed] = declined["obligations"]
    assert (owed["attempts"][0]["outcome"]["raw_code"], owed["next"]["rung"]) == ("INSUFFICIENT_FUNDS", 1)

    tried = await http.post(f"/subscriptions/{name}/retry_now", json={"command_id": "life-retry"})
    assert (tried.status_code, tried.json()["status"]) == (200, "done")
    paid = await until(http, f"/subscriptions/{name}", lambda s: s["status"] == "active")
    assert paid["access"]["granted"] is True
    again = await http.post(f"/subscriptions/{name}/retry_now", json={"command_id": "life-retry"})
    assert again.json() == tried.json()

    attempts = (await http.get(f"/subscriptions/{name}/attempts")).json()["items"]
    assert [(a["number"], a["trigger"], a["outcome"]["kind"]) for a in attempts] == [
        (1, "due", "declined"),
        (2, "operator", "succeeded"),
    ]
    events = (await http.get(f"/subscriptions/{name}/events")).json()["items"]
    assert {"payment.failed", "recurring.cycle.retrying", "payment.succeeded"} <= {e["type"] for e in events}
    assert [e["sequence"] for e in events] == list(range(1, len(events) + 1))

    coming = (await http.get(f"/subscriptions/{name}/occurrences?count=3")).json()["items"]
    assert [one["number"] for one in coming] == [2, 3, 4]
    deferred = await http.post(f"/subscriptions/{name}/defer", json={"days": 5}, headers={"Idempotency-Key": "d-1"})
    assert deferred.json()["command_id"] == "d-1"
    moved = (await http.get(f"/subscriptions/{name}/occurrences?count=1")).json()["items"]
    gap = datetime.fromisoformat(moved[0]["due_at"]) - datetime.fromisoformat(coming[0]["due_at"])
    assert gap == timedelta(days=5)

    await http.post(f"/subscriptions/{name}/pause", json={})
    refused = problem(await http.post(f"/subscriptions/{name}/pause", json={}), 409, "refused")
    assert refused["detail"] == "it is paused already"
    assert refused["command_id"].startswith("api-")
    trace = {"X-Request-Id": "trace-of-the-end"}
    ended = await http.post(f"/subscriptions/{name}/cancel", json={"command_id": "life-end"}, headers=trace)
    assert ended.json()["status"] == "done"
    assert ("life-end", "trace-of-the-end") in await updates(stack, name)
    known = (await http.get(f"/subscriptions/{name}/commands/life-end")).json()
    assert known["result"] == ended.json()
    assert name in [s["id"] for s in (await http.get("/subscriptions?customer=cust-life")).json()["items"]]


async def test_the_customer_authorises_at_the_link_and_a_repeated_id_for_another_command_is_refused(
    http: httpx.AsyncClient, stack: Stack
) -> None:
    assert (await http.post("/subscriptions", json=document(id="life-2"))).status_code == 201
    shown = await until(http, "/subscriptions/life-2", lambda s: s["mandate_link"] is not None)
    assert shown["mandate_link"].startswith(stack.env["DUNNING_SANDBOX_URL"])
    assert shown["access"]["granted"] is False
    policy = {"command_id": "life-policy", "grace_days": 3}
    assert (await http.post("/subscriptions/life-2/set_policy", json=policy)).status_code == 200
    again = await http.post("/subscriptions/life-2/set_policy", json=policy)
    assert (again.status_code, again.json()["status"]) == (200, "done")
    for path, body in (("cancel", {}), ("set_policy", {"grace_days": 4})):
        other = await http.post(f"/subscriptions/life-2/{path}", json={"command_id": "life-policy", **body})
        assert "another command" in problem(other, 409, "conflict")["detail"]
    assert (await http.get("/subscriptions/life-2")).json()["status"] == "requires_action"
