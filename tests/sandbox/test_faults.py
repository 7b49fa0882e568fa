"""Faults fall on the next matching requests, before or after the work is done. SPEC 20."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from .conftest import Shop

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    ("kind", "charges"),
    [
        ("timeout_before_commit", 0),
        ("timeout_after_commit", 1),
        ("drop_connection", 0),
        ("drop_after_commit", 1),
    ],
)
async def test_a_lost_connection_leaves_no_trace_or_a_whole_charge(shop: Shop, kind: str, charges: int) -> None:
    await shop.register()
    await shop.faults({"on": "charge", "kind": kind, "seconds": 0.01})
    with pytest.raises(httpx.TransportError):
        await shop.charge(dunning_key="a")
    await shop.quiet()
    assert [row["status"] for row in await shop.book()] == ["succeeded"] * charges
    assert (await shop.charge(dunning_key="b")).status_code == 200, "the fault is used up"


@pytest.mark.parametrize(
    ("kind", "status", "code", "charges"),
    [
        ("http_500", 500, "INTERNAL_SERVER_ERROR", 0),
        ("http_500_after_commit", 500, "INTERNAL_SERVER_ERROR", 1),
        ("429", 429, "TOO_MANY_REQUESTS", 0),
        ("401", 401, "UNAUTHORIZED", 0),
    ],
)
async def test_an_error_answer_does_not_tell_whether_the_charge_was_made(
    shop: Shop, kind: str, status: int, code: str, charges: int
) -> None:
    await shop.register()
    await shop.faults({"on": "charge", "kind": kind})
    answer = await shop.charge()
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert len(await shop.book()) == charges


async def test_a_fault_uses_up_no_word_of_the_script_unless_the_charge_was_made(shop: Shop) -> None:
    await shop.register(script=["INSUFFICIENT_FUNDS", "DO_NOT_HONOR"])
    await shop.faults({"on": "charge", "kind": "http_500"}, {"on": "charge", "kind": "http_500_after_commit"})
    for key in ("a", "a"):
        assert (await shop.charge(dunning_key=key)).status_code == 500
    await shop.quiet()
    assert (await shop.settled(dunning_key="b"))["error_code"] == "DO_NOT_HONOR"
    assert [row["error_code"] for row in await shop.book()] == ["INSUFFICIENT_FUNDS", "DO_NOT_HONOR"]


async def test_a_slow_request_is_answered_in_the_end(shop: Shop) -> None:
    await shop.register()
    await shop.faults({"on": "charge", "kind": "slow", "seconds": 0.3})
    loop = asyncio.get_running_loop()
    started = loop.time()
    assert (await shop.charge()).status_code == 200
    assert loop.time() - started >= 0.3
    assert len(await shop.book()) == 1


async def test_a_fault_falls_on_as_many_requests_as_it_was_told(shop: Shop) -> None:
    await shop.register()
    await shop.faults({"on": "charge", "kind": "429", "times": 2, "after": 1})
    statuses = []
    for number in range(4):
        statuses.append((await shop.charge(dunning_key=f"k{number}")).status_code)
        await shop.quiet()
    assert statuses == [200, 429, 429, 200]


async def test_a_fault_without_an_end_lasts_until_it_is_taken_back(shop: Shop) -> None:
    await shop.register()
    await shop.faults({"on": "charge", "kind": "401", "times": None})
    assert [(await shop.charge()).status_code for _ in range(3)] == [401, 401, 401]
    await shop.client.delete("/_sandbox/faults")
    assert (await shop.charge()).status_code == 200


async def test_a_fault_for_one_subscription_spares_the_others(shop: Shop) -> None:
    await shop.register("sub_1")
    await shop.register("sub_2", metadata={"subscription": "ours-2"})
    await shop.faults({"on": "charge", "kind": "http_500", "subscription": "ours-2"})
    assert (await shop.charge("sub_1")).status_code == 200
    assert (await shop.charge("sub_2")).status_code == 500


async def test_a_fault_on_look_ups_spares_charges_and_falls_on_both_ways_to_look(shop: Shop) -> None:
    await shop.register()
    await shop.faults({"on": "lookup", "kind": "http_500", "times": 2})
    answer = await shop.charge()
    assert answer.status_code == 200
    assert (await shop.client.get("/payments")).status_code == 500
    assert (await shop.client.get(f"/payments/{answer.json()['payment_id']}")).status_code == 500
    assert (await shop.client.get("/payments")).status_code == 200


async def test_a_fault_on_any_request_spares_the_control_api(shop: Shop) -> None:
    await shop.faults({"on": "any", "kind": "http_500", "times": None})
    await shop.register()
    assert (await shop.client.get("/subscriptions/sub_1")).status_code == 500
    assert (await shop.client.get("/healthz")).status_code == 200


async def test_a_lagging_look_up_hides_young_payments_for_so_many_questions(shop: Shop) -> None:
    await shop.register()
    payment = await shop.settled(dunning_key="a")
    await shop.faults({"on": "lookup", "kind": "lookup_lag", "times": 2, "seconds": 60})
    seen = [len(await shop.listed(subscription_id="sub_1")) for _ in range(3)]
    assert seen == [0, 0, 1]
    await shop.faults({"on": "lookup", "kind": "lookup_lag", "seconds": 0})
    assert len(await shop.listed(subscription_id="sub_1")) == 1, "a payment older than the lag is shown"
    assert payment["status"] == "succeeded"


async def test_what_is_left_of_a_fault_can_be_read(shop: Shop) -> None:
    await shop.faults({"on": "charge", "kind": "429", "times": 3})
    await shop.register()
    await shop.charge()
    (left,) = (await shop.client.get("/_sandbox/faults")).json()["faults"]
    assert (left["kind"], left["times"]) == ("429", 2)


async def test_an_unknown_fault_is_refused(shop: Shop) -> None:
    answer = await shop.client.post("/_sandbox/faults", json=[{"on": "charge", "kind": "earthquake"}])
    assert answer.status_code == 422
