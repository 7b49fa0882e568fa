"""`POST /v1/orders/{id}/refund`: what is taken, what is refused, and what it says while nobody works."""

from __future__ import annotations

import pytest

from tests.api.desk import Desk, fields, problem

pytestmark = pytest.mark.server
ORDER = "GPA.3345-1234-5678-90123"


async def test_a_refund_that_nobody_answered_yet_is_accepted_and_may_be_asked_again(desk: Desk) -> None:
    for _ in range(2):
        answer = await desk.ask("POST", f"/orders/{ORDER}/refund", json={"command_id": "c-1", "revoke": True})
        assert (answer.status_code, answer.json()["status"], answer.json()["command_id"]) == (202, "accepted", "c-1")


async def test_a_part_of_an_order_is_refused_with_the_reason(desk: Desk) -> None:
    answer = await desk.ask("POST", f"/orders/{ORDER}/refund", json={"command_id": "c-2", "amount": 5})
    assert "given back whole" in problem(answer, 409, "refused")["detail"]


@pytest.mark.parametrize(
    ("body", "headers", "field"),
    [
        ({"surplus": 1}, {}, "surplus"),
        ({"revoke": "yes"}, {}, "revoke"),
        ({"command_id": "a b"}, {}, "command_id"),
        ({"command_id": "one"}, {"Idempotency-Key": "two"}, "command_id"),
    ],
)
async def test_a_body_that_cannot_be_meant_names_its_field(
    desk: Desk, body: dict[str, object], headers: dict[str, str], field: str
) -> None:
    answer = await desk.ask("POST", f"/orders/{ORDER}/refund", json=body, headers=headers)
    assert fields(problem(answer, 422, "invalid-input")) == {field}


async def test_an_order_that_no_provider_would_name_is_refused(desk: Desk) -> None:
    answer = await desk.ask("POST", "/orders/a%20b/refund", json={})
    assert fields(problem(answer, 422, "invalid-input")) == {"order_id"}
