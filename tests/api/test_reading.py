"""Lists by pages and filters, and walls between merchant accounts. SPEC 18."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dunning.domain.messages import EventDraft, EventType, PlannedNotice
from dunning.domain.terms import Channel, Occasion
from dunning.gateway.api.steering import COMMANDS
from dunning.ledger.models import Record
from tests.api.desk import Desk, document, fields, problem

pytestmark = pytest.mark.server

AT = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
NAMES = [f"sub-{number:02}" for number in range(7)]


async def pages(desk: Desk, path: str, account: str = "demo") -> list[list[dict[str, Any]]]:
    """Every page of a list, by its cursors."""
    found: list[list[dict[str, Any]]] = []
    cursor = None
    while True:
        more = f"&cursor={cursor}" if cursor is not None else ""
        answer = await desk.ask("GET", f"{path}{more}", account)
        assert answer.status_code == 200, answer.text
        found.append(answer.json()["items"])
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return found


async def test_a_list_comes_in_pages_whole_and_without_repeats(desk: Desk) -> None:
    await desk.have(*reversed(NAMES))
    found = await pages(desk, "/subscriptions?limit=3")
    assert [len(page) for page in found] == [3, 3, 1]
    assert [one["id"] for page in found for one in page] == NAMES
    assert [len(page) for page in await pages(desk, "/subscriptions?limit=7")] == [7]


async def test_a_list_that_grows_meanwhile_repeats_nothing(desk: Desk) -> None:
    await desk.have("a", "c", "e")
    first = (await desk.ask("GET", "/subscriptions?limit=2")).json()
    await desk.have("b", "d")
    rest = await desk.ids(f"/subscriptions?limit=9&cursor={first['next_cursor']}")
    assert ([one["id"] for one in first["items"]], rest) == (["a", "c"], ["d", "e"])


async def record(desk: Desk, name: str, **changes: Any) -> None:
    given: dict[str, Any] = {"status": "past_due", "is_open": True, "snapshot": {"generation": 1}, **changes}
    await desk.ledger.record(Record(account="demo", subscription=name, generation=1, revision=5, **given))


async def test_filters_leave_the_others_out(desk: Desk) -> None:
    await desk.have("a", "b", "c")
    await desk.create(id="d", customer={**document()["customer"], "id": "cust-2"})
    await record(desk, "a")
    await record(desk, "b", status="inactive", is_open=False)
    attention = {"generation": 1, "attention": [{"at": AT.isoformat(), "what": "look"}]}
    await record(desk, "c", status="active", snapshot=attention)
    later = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    wanted = {
        "status=past_due": ["a"],
        "is_open=false": ["b"],
        "is_open=true": ["a", "c", "d"],
        "attention=true": ["c"],
        "attention=false": ["a", "b", "d"],
        "customer=cust-2": ["d"],
        "customer=cust-2&status=past_due": [],
        f"created_until={later}": ["a", "b", "c", "d"],
        f"created_from={later}": [],
    }
    for query, names in wanted.items():
        assert await desk.ids(f"/subscriptions?{query}") == names, query


async def test_what_is_wrong_with_a_query_is_named_whole(desk: Desk) -> None:
    answer = await desk.ask("GET", "/subscriptions?status=late&limit=0&colour=red&created_from=yesterday")
    found = problem(answer, 422, "invalid-input")
    assert {(error["place"], error["field"]) for error in found["errors"]} == {
        ("query", "status"),
        ("query", "limit"),
        ("query", "colour"),
        ("query", "created_from"),
    }


async def test_a_cursor_belongs_to_its_own_list(desk: Desk) -> None:
    await desk.have("a", "b")
    await desk.have("a", "b", account="other")
    cursor = (await desk.ask("GET", "/subscriptions?limit=1")).json()["next_cursor"]
    forged = base64.urlsafe_b64encode(b'[1,"x",["a"]]').decode().rstrip("=")
    for query in (f"cursor={cursor}&status=active", f"cursor={forged}", "cursor=AAAA", "cursor=bnVsbA"):
        assert fields(problem(await desk.ask("GET", f"/subscriptions?{query}"), 422, "invalid-input")) == {"cursor"}
    problem(await desk.ask("GET", f"/subscriptions?cursor={cursor}", "other"), 422, "invalid-input")
    problem(await desk.ask("GET", f"/subscriptions/a/events?cursor={cursor}"), 422, "invalid-input")


async def test_events_and_notices_come_in_pages_in_their_order(desk: Desk) -> None:
    await desk.have("a")
    events = tuple(EventDraft(type=EventType.ATTENTION, at=AT, data={"what": str(n)}) for n in range(5))
    notices = tuple(
        PlannedNotice(
            key=f"1/{n}/failed",
            occasion=Occasion.FAILED,
            channels=(Channel.EMAIL, Channel.WHATSAPP),
            at=AT + timedelta(hours=n // 2),
            because="it was declined",
        )
        for n in range(3)
    )
    await record(desk, "a", events=events, notices=notices)
    found = await pages(desk, "/subscriptions/a/events?limit=2")
    assert [one["sequence"] for page in found for one in page] == [1, 2, 3, 4, 5]
    assert {(one["subscription_id"], one["merchant_account"]) for page in found for one in page} == {("a", "demo")}
    told = [one for page in await pages(desk, "/subscriptions/a/notices?limit=1") for one in page]
    assert len({(one["key"], one["channel"]) for one in told}) == len(told) == 6
    assert [one["planned_at"] for one in told] == sorted(one["planned_at"] for one in told)


async def test_another_accounts_subscription_is_not_there(desk: Desk) -> None:
    """Every address of it, read or steered, answers as if it did not exist; the same id may live in both."""
    await desk.have("theirs")
    addresses = [("GET", part) for part in ("", "/occurrences", "/attempts", "/notices", "/events", "/commands/c-1")]
    addresses += [("POST", f"/{name}") for name in COMMANDS]
    bodies = {"/defer": {"days": 1}, "/charge": {"amount": 1}, "/update_payment_method": {"token": "pm_2"}}
    bodies |= {"/refund": {"order": "1"}, "/revoke": {"type": "FULL"}}
    bodies["/change_items"] = {"items": [{"product_id": "pro", "role": "base", "quantity": 1, "unit_amount": 1}]}
    for method, part in addresses:
        body = {"json": bodies.get(part, {})} if method == "POST" else {}
        answer = await desk.ask(method, f"/subscriptions/theirs{part}", "other", **body)
        nowhere = await desk.ask(method, f"/subscriptions/nowhere{part}", "other", **body)
        found, other = problem(answer, 404, "not-found"), problem(nowhere, 404, "not-found")
        assert found["detail"].replace("theirs", "nowhere") == other["detail"]
    assert await desk.ids(account="other") == []
    assert (await desk.create("other", id="theirs", description="Ours")).status_code == 201
    assert (await desk.ask("GET", "/subscriptions/theirs")).json()["description"] == "Pro plan"
    assert (await desk.ask("GET", "/subscriptions/theirs", "other")).json()["description"] == "Ours"


async def test_a_body_cannot_name_another_account(desk: Desk) -> None:
    found = problem(await desk.create(merchant_account="other"), 422, "invalid-input")
    assert fields(found) == {"merchant_account"}
    assert (await desk.create(merchant_account="demo")).status_code == 201
    assert await desk.ids(account="other") == []


async def test_contacts_are_never_given_back(desk: Desk) -> None:
    await desk.have("a")
    for path in ("/subscriptions/a", "/subscriptions", "/subscriptions/a?source=ledger"):
        text = (await desk.ask("GET", path)).text
        assert "cust-815" in text
        assert "ayu@example.com" not in text
        assert "Ayu" not in text
