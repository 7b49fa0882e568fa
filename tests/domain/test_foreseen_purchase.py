"""What `preview` foretells of a purchase with add-ons; every instant is worked out by hand. SPEC 12, 17."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dunning.domain.preview import Foretold
from dunning.domain.script import Script
from dunning.errors import InvalidInput
from dunning.importing import read_text
from dunning.intake import parse_subscription
from dunning.previewing import foretell, preview_json
from tests.builders import subscription_data

START = "2026-08-01T00:00:00+00:00"
BASE = {"product_id": "base", "role": "base", "quantity": 1, "unit_amount": 2_000, "grace_days": 0, "hold_days": 30}
ADD_ON = {"product_id": "addon", "unit_amount": 1_000, "trial_days": 7, "grace_days": 0, "hold_days": 30}


def deed(day: str, action: str, **fields: Any) -> dict[str, Any]:
    return {"at": f"2026-{day}T00:00:00+00:00", "action": action, "with": fields}


def purchase(*items: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return subscription_data(
        provider="google_play",
        collection="provider",
        provider_options={"purchase_token": "token-1", "package_name": "com.your.app"},
        payment_methods=[],
        currency="USD",
        items=list(items or (BASE,)),
        schedule={"anchor_at": START, "interval": "MONTH", "interval_count": 1},
        created_at=START,
        **changes,
    )


def walk(*outcomes: str, do: list[dict[str, Any]], cycles: int = 3, items: tuple[dict[str, Any], ...] = ()) -> Foretold:
    given = parse_subscription(purchase(*items))
    assert given.created_at is not None
    return foretell(given, Script(outcomes=outcomes, do=do), created_at=given.created_at, cycles=cycles)


def told(foretold: Foretold) -> list[str]:
    """Moment by moment: from when, where it stands, and up to which day each item gives access."""
    found = []
    for one in foretold.purchase:
        given = [f"{item.product_id} to {item.until:%m-%d}" for item in one.items if item.until is not None]
        found.append(f"{one.at:%m-%d} {one.status}: {', '.join(given) or 'nothing'}")
    return found


ADDED = deed("08-15", "buy_add_on", **ADD_ON)
BEFORE = [
    "08-01 active: base to 09-01",
    "08-15 active: base to 09-01, addon to 08-22",
    "08-22 on_hold: nothing",
]


def test_g1_recovered_on_aug_25_both_items_come_back_at_once_and_are_billed_on_sep_4() -> None:
    foretold = walk("DECLINED", do=[ADDED, deed("08-25", "repair_payment")])
    assert told(foretold) == [
        *BEFORE,
        "08-25 active: base to 09-04, addon to 09-04",
        "09-04 active: base to 10-04, addon to 10-04",
    ]
    owed = [(o.amount, f"{o.due_at:%m-%d}", o.status.value) for o in foretold.obligations]
    assert owed == [(2_000, "08-01", "succeeded"), (290, "08-22", "succeeded"), (3_000, "09-04", "succeeded")]


def test_g1_not_recovered_is_canceled_on_sep_21_and_the_base_item_lasts_through_sep_30() -> None:
    foretold = walk("DECLINED", do=[ADDED])
    assert told(foretold) == [*BEFORE, "09-21 canceled: base to 10-01", "10-01 inactive: nothing"]
    assert [(o.amount, o.status.value) for o in foretold.obligations] == [(2_000, "succeeded"), (290, "failed")]


def test_grace_keeps_every_item_and_a_payment_in_it_leaves_the_calendar() -> None:
    items = ({**BASE, "grace_days": 7}, {**BASE, "product_id": "addon", "role": "addon", "grace_days": 3})
    foretold = walk("DECLINED", do=[deed("09-02", "repair_payment")], cycles=2, items=items)
    assert told(foretold)[1:] == [
        "09-01 past_due: base to 09-04, addon to 09-04",
        "09-02 active: base to 10-01, addon to 10-01",
    ]


def test_a_purchase_goes_on_hold_when_its_grace_is_over() -> None:
    foretold = walk("DECLINED", do=[], cycles=2, items=({**BASE, "grace_days": 3},))
    assert told(foretold)[1:] == ["09-01 past_due: base to 09-04", "09-04 on_hold: nothing", "10-04 inactive: nothing"]


@pytest.mark.parametrize(
    ("name", "fields", "after"),
    [
        ("cancel", {"type": "USER_REQUESTED_STOP_RENEWALS"}, "08-10 canceled: base to 09-01"),
        ("defer", {"days": 30}, "08-10 active: base to 10-01"),
        ("revoke", {"type": "FULL"}, "08-10 inactive: nothing"),
    ],
)
def test_a_command_in_the_script_does_what_google_play_would_do(name: str, fields: dict[str, Any], after: str) -> None:
    foretold = walk(do=[deed("08-10", name, **fields)], cycles=1)
    assert told(foretold)[1] == after


def test_the_json_tells_every_moment_and_only_of_purchases() -> None:
    given = parse_subscription(purchase())
    assert given.created_at is not None
    said = preview_json(given, foretell(given, Script(), created_at=given.created_at, cycles=1))
    assert said["purchase"][0] == {
        "at": "2026-08-01T00:00:00Z",
        "status": "active",
        "phase": "active",
        "until": "2026-09-01T00:00:00Z",
        "next_at": "2026-09-01T00:00:00Z",
        "items": [{"product_id": "base", "until": "2026-09-01T00:00:00Z", "renews": True}],
    }


@pytest.mark.parametrize(
    ("script", "field"),
    [
        ([deed("08-15", "buy_add_on", product_id="addon")], "script.do.0.with.unit_amount"),
        ([ADDED, deed("08-16", "buy_add_on", **{**ADD_ON, "grace_days": 31})], "script.do.1.with.grace_days"),
    ],
)
def test_what_a_customer_cannot_buy_is_a_fault_of_the_file(script: list[dict[str, Any]], field: str) -> None:
    (entry,) = read_text(json.dumps({**purchase(), "script": {"do": script}}), ".json")
    assert [one.field for one in entry.faults] == [field]


def test_nothing_is_bought_in_an_app_of_a_provider_that_runs_no_calendar_there() -> None:
    document = {**subscription_data(), "script": {"do": [ADDED]}}
    (entry,) = read_text(json.dumps(document), ".json")
    assert [(one.field, one.value) for one in entry.faults] == [("script.do.0.action", "buy_add_on")]


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"grace_days": 31}, "grace_days"),
        ({"hold_days": 20}, "hold_days"),
        ({"grace_days": 30, "hold_days": 60}, "hold_days"),
    ],
)
def test_the_lengths_of_an_item_are_those_that_the_console_takes(item: dict[str, int], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_subscription(purchase({**BASE, **item}))
    assert [one.field for one in refused.value.faults] == [f"items.0.{field}"]


def test_items_have_lengths_of_their_own_at_google_play_alone() -> None:
    item = {**subscription_data()["items"][0], "grace_days": 3}
    with pytest.raises(InvalidInput) as refused:
        parse_subscription(subscription_data(items=[item]))
    assert [one.field for one in refused.value.faults] == ["items.0.grace_days"]
