"""The cases L1 to L15 of SPEC 6, through the command and its JSON. Every instant was written down by hand."""

from __future__ import annotations

from typing import Any

from tests.cli.conftest import Foretell

SHORT = "INSUFFICIENT_FUNDS"


def planned(owed: dict[str, Any]) -> list[str]:
    return [attempt["planned_at"] for attempt in owed["attempts"]]


def starting(anchor: str, *, authorized: str | None = None, **schedule: Any) -> dict[str, Any]:
    return {
        "payment_methods": [{"token": "pm_1", "authorized_at": authorized or anchor}],
        "schedule": {"anchor_at": anchor, "interval": "MONTH", "interval_count": 1, **schedule},
    }


def test_l1_retries_run_3_10_and_17_days_later_and_then_the_cycle_fails(foretell: Foretell) -> None:
    told = foretell(SHORT, SHORT, SHORT, SHORT)
    assert planned(told["cycles"][0]) == [
        "2026-03-05T13:10:00Z", "2026-03-08T13:10:00Z", "2026-03-15T13:10:00Z", "2026-03-22T13:10:00Z",
    ]  # fmt: skip
    assert told["cycles"][0]["status"] == "failed"
    assert told["final_status"] == "inactive"


def test_l3_an_attempt_delayed_by_an_outage_of_days_keeps_its_gaps(foretell: Foretell) -> None:
    told = foretell(SHORT, "OUTAGE/36h", SHORT, SHORT, SHORT)
    attempts = told["cycles"][0]["attempts"]
    # refused at 13:10, then probed after 1, 5, 15, 60, 120 minutes and every 4 h: 04:31 is the first after 36 h
    assert attempts[1]["planned_at"] == "2026-03-08T13:10:00Z"
    assert attempts[1]["at"] == "2026-03-10T04:31:00Z"
    assert planned(told["cycles"][0])[2:] == ["2026-03-17T13:10:00Z", "2026-03-24T13:10:00Z"]


def test_l4_retries_of_a_charge_on_demand_run_at_the_anchors_time_of_day(foretell: Foretell) -> None:
    charge = {"at": "2026-03-06T20:00:00Z", "action": "charge", "with": {"amount": 5000}}
    told = foretell("SUCCEEDED", SHORT, SHORT, SHORT, SHORT, script={"do": [charge]})
    assert planned(told["on_demand"][0]) == [
        "2026-03-06T20:00:00Z", "2026-03-09T13:10:00Z", "2026-03-16T13:10:00Z", "2026-03-23T13:10:00Z",
    ]  # fmt: skip
    assert told["on_demand"][0]["amount"] == 5000


def test_l5_a_hard_decline_ends_automatic_attempts_on_the_method(foretell: Foretell) -> None:
    told = foretell(SHORT, "DO_NOT_HONOR")
    attempts = told["cycles"][0]["attempts"]
    assert [(a["outcome"], a["class"]) for a in attempts] == [(SHORT, "SOFT"), ("DO_NOT_HONOR", "HARD")]


def test_l6_an_interval_of_three_days_three_times_is_days_3_6_and_9(foretell: Foretell) -> None:
    told = foretell(SHORT, SHORT, SHORT, SHORT, retry={"interval": "DAY", "interval_count": 3, "total": 3})
    assert planned(told["cycles"][0])[1:] == ["2026-03-08T13:10:00Z", "2026-03-11T13:10:00Z", "2026-03-14T13:10:00Z"]


def test_l7_a_weekly_plan_keeps_only_the_day_3_rung_and_warns_of_the_others(foretell: Foretell) -> None:
    told = foretell(SHORT, SHORT, **starting("2026-03-05T13:10:00Z", interval="WEEK"))
    assert planned(told["cycles"][0]) == ["2026-03-05T13:10:00Z", "2026-03-08T13:10:00Z"]
    assert [(r["cycle"], r["rung"], r["days"], r["at"]) for r in told["dropped_rungs"]] == [
        (1, 2, 10, "2026-03-15T13:10:00Z"),
        (1, 3, 17, "2026-03-22T13:10:00Z"),
    ]
    assert len([w for w in told["warnings"] if "rung 2" in w or "rung 3" in w]) == 2


def test_l8_the_third_cycle_of_a_month_end_plan_is_due_on_the_31st_again(foretell: Foretell) -> None:
    told = foretell("SUCCEEDED", "SUCCEEDED", SHORT, SHORT, SHORT, SHORT, cycles=3, **starting("2027-01-31T09:00:00Z"))
    assert [c["due_at"] for c in told["cycles"]] == [
        "2027-01-31T09:00:00Z", "2027-02-28T09:00:00Z", "2027-03-31T09:00:00Z",
    ]  # fmt: skip
    assert planned(told["cycles"][2]) == [
        "2027-03-31T09:00:00Z", "2027-04-03T09:00:00Z", "2027-04-10T09:00:00Z", "2027-04-17T09:00:00Z",
    ]  # fmt: skip


def test_l9_an_advised_wait_moves_the_rung_and_later_rungs_keep_their_gaps(foretell: Foretell) -> None:
    told = foretell(f"{SHORT}/wait=10d", SHORT, SHORT, SHORT)
    assert planned(told["cycles"][0])[1:] == ["2026-03-15T13:10:00Z", "2026-03-22T13:10:00Z", "2026-03-29T13:10:00Z"]


def test_l10_a_cycle_due_at_midnight_is_retried_at_the_authorisations_time_of_day(foretell: Foretell) -> None:
    terms = starting("2026-03-05T00:00:00Z", authorized="2026-03-04T13:10:00Z")
    told = foretell(SHORT, SHORT, SHORT, SHORT, **terms)
    assert planned(told["cycles"][0]) == [
        "2026-03-05T00:00:00Z", "2026-03-08T13:10:00Z", "2026-03-15T13:10:00Z", "2026-03-22T13:10:00Z",
    ]  # fmt: skip


def test_l12_a_rung_that_would_come_too_soon_runs_one_day_later(foretell: Foretell) -> None:
    charge = {"at": "2026-03-06T20:00:00Z", "action": "charge", "with": {"amount": 5000}}
    outcomes = ("SUCCEEDED", SHORT, SHORT, SHORT, SHORT)
    told = foretell(*outcomes, script={"do": [charge]}, **starting("2026-03-05T07:00:00Z"))
    assert planned(told["on_demand"][0])[1:] == [
        "2026-03-10T07:00:00Z", "2026-03-17T07:00:00Z", "2026-03-24T07:00:00Z",
    ]  # fmt: skip


def test_l13_with_last_success_the_ladder_keeps_that_ones_time_of_day(foretell: Foretell) -> None:
    terms = starting("2026-03-06T08:30:00Z", authorized="2026-03-05T13:10:00Z")
    retry = {"ladder_days": [3, 10, 17], "anchor": "last_success"}
    told = foretell("SUCCEEDED", SHORT, SHORT, SHORT, SHORT, cycles=2, retry=retry, **terms)
    assert planned(told["cycles"][1]) == [
        "2026-04-06T08:30:00Z", "2026-04-09T08:30:00Z", "2026-04-16T08:30:00Z", "2026-04-23T08:30:00Z",
    ]  # fmt: skip


def test_l14_a_rung_within_24_hours_of_an_operators_try_moves_one_day(foretell: Foretell) -> None:
    retry_now = {"at": "2026-03-15T09:00:00Z", "action": "retry_now"}
    told = foretell(SHORT, SHORT, SHORT, SHORT, SHORT, script={"do": [retry_now]})
    assert [(a["trigger"], a["planned_at"]) for a in told["cycles"][0]["attempts"]] == [
        ("due", "2026-03-05T13:10:00Z"),
        ("ladder", "2026-03-08T13:10:00Z"),
        ("operator", "2026-03-15T09:00:00Z"),
        ("ladder", "2026-03-16T13:10:00Z"),
        ("ladder", "2026-03-23T13:10:00Z"),
    ]


def test_l15_instants_are_kept_and_the_customers_clock_moves(foretell: Foretell) -> None:
    customer = {
        "id": "cust-1", "email": "ayu@example.com", "time_zone": "America/New_York", "opt_in": {"EMAIL": True},
    }  # fmt: skip
    told = foretell(SHORT, SHORT, SHORT, SHORT, customer=customer)
    assert [a["local_at"] for a in told["cycles"][0]["attempts"]] == [
        "2026-03-05T08:10:00-05:00", "2026-03-08T09:10:00-04:00",
        "2026-03-15T09:10:00-04:00", "2026-03-22T09:10:00-04:00",
    ]  # fmt: skip
