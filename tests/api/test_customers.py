"""What a customer wants to get, over HTTP. SPEC 11."""

from __future__ import annotations

import pytest

from tests.api.desk import Desk, document, fields, problem

pytestmark = pytest.mark.server
URL = "/customers/cust-815"
ROUTINE, SERVICE = {"channel": "EMAIL", "kind": "routine"}, {"channel": "EMAIL", "kind": "service"}


async def test_opt_outs_are_replaced_as_a_whole_and_say_what_reaches_the_customer(desk: Desk) -> None:
    await desk.create()

    first = await desk.ask("PUT", f"{URL}/opt-outs", json={"opt_outs": [ROUTINE, SERVICE, ROUTINE]})
    second = await desk.ask("PUT", f"{URL}/opt-outs", json={"opt_outs": [ROUTINE]})
    seen = await desk.ask("GET", f"{URL}/reach")

    assert (first.status_code, second.status_code) == (200, 200)
    assert second.json() == seen.json()
    assert seen.json()["opt_outs"] == [ROUTINE]
    mail = next(one for one in seen.json()["channels"] if one["channel"] == "EMAIL")
    assert (mail["routine"], mail["service"]) == (False, True)
    assert mail["because"] == "the customer opted out of routine notices on this channel"


async def test_no_address_is_ever_given_back(desk: Desk) -> None:
    await desk.create()

    seen = await desk.ask("GET", f"{URL}/reach")

    assert document()["customer"]["email"] not in seen.text


async def test_everything_that_is_wrong_is_named_and_nothing_has_changed(desk: Desk) -> None:
    await desk.create()
    wrong = {"opt_outs": [{"channel": "PIGEON", "kind": "routine"}, {"channel": "EMAIL"}], "surplus": 1}

    answer = await desk.ask("PUT", f"{URL}/opt-outs", json=wrong)

    assert len(fields(problem(answer, 422, "invalid-input"))) == 3
    assert (await desk.ask("GET", f"{URL}/reach")).json()["opt_outs"] == []


async def test_another_accounts_customer_does_not_exist(desk: Desk) -> None:
    await desk.create()

    problem(await desk.ask("GET", f"{URL}/reach", "other"), 404, "not-found")
    problem(await desk.ask("PUT", f"{URL}/opt-outs", "other", json={"opt_outs": [ROUTINE]}), 404, "not-found")
    assert (await desk.ask("GET", f"{URL}/reach")).json()["opt_outs"] == []
