"""Omise's schedules: made by the steps of its guide, read with what they collected, destroyed. Sheet B2.2, B5."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from dunning.domain.plans import PlanCycleStatus, PlanStatus, ReplaceMethod, TryKind
from dunning.providers.base import PaymentStatus, ProviderRefused, ProviderUnavailable
from dunning.providers.following import PlanMessage, PlanProvider, PlanRequest, PlanUnclear, standing_of
from dunning.providers.omise_schedules import schedule_body
from dunning.providers.omise_schedules_wire import WireOccurrence, due_days
from tests.builders import at
from tests.providers.omise.plan_rig import DAY, FIRST, NOW, calendar, request
from tests.providers.omise.rig import OmiseRig

pytestmark = pytest.mark.server


@pytest.mark.parametrize(
    ("schedule", "body"),
    [
        ({}, {"every": 1, "period": "month", "on": {"days_of_month": [5]}}),
        ({"interval": "YEAR"}, {"every": 12, "period": "month", "on": {"days_of_month": [5]}}),
        ({"interval": "WEEK", "interval_count": 2}, {"every": 2, "period": "week", "on": {"weekdays": ["thursday"]}}),
        ({"interval": "DAY", "interval_count": 10}, {"every": 10, "period": "day"}),
        (
            {"interval": "WEEK", "on": {"weekdays": ["monday", "friday"]}},
            {"every": 1, "period": "week", "on": {"weekdays": ["monday", "friday"]}},
        ),
        (
            {"on": {"weekday_of_month": "first_monday"}},
            {"every": 1, "period": "month", "on": {"weekday_of_month": "first_monday"}},
        ),
        (
            {"on": {"days_of_month": [5, 20]}, "total_cycles": 3},
            {"every": 1, "period": "month", "on": {"days_of_month": [5, 20]}},
        ),
    ],
)
def test_a_calendar_is_told_in_omise_s_words(schedule: dict[str, Any], body: dict[str, Any]) -> None:
    made = schedule_body(request(calendar=calendar(**schedule)))
    assert {name: made[name] for name in ("every", "period", "on") if name in made} == body


def test_the_first_and_the_last_day_are_those_of_the_anchor_s_own_offset() -> None:
    late = calendar(anchor_at="2026-03-05T23:30:00-08:00", total_cycles=2)
    made = schedule_body(request(calendar=late))
    assert (made["start_date"], made["end_date"]) == ("2026-03-05", "2026-04-05")


def test_a_first_charge_that_is_not_a_day_ahead_is_refused() -> None:
    with pytest.raises(ProviderRefused, match="one day ahead"):
        schedule_body(request(business_at=FIRST - timedelta(hours=1)))


async def made(rig: OmiseRig, *outcomes: str) -> tuple[PlanRequest, str]:
    asked = request(await rig.agree(*outcomes))
    return asked, (await rig.provider.create_plan(asked)).plan_id


async def test_what_was_made_is_found_by_its_reference_until_it_is_over(rig: OmiseRig) -> None:
    assert isinstance(rig.provider, PlanProvider)
    asked, plan_id = await made(rig)
    (found,) = await rig.provider.find_plans(asked, since=NOW)
    assert (found.plan_id, found.status, found.method_token) == (plan_id, PlanStatus.ACTIVE, "pm_1")
    assert found.next_due[0].date() == FIRST.date()
    assert await rig.provider.find_plans(asked.but(reference="pl_2"), since=NOW) == ()

    ended = await rig.provider.end_plan(plan_id, business_at=NOW, reason="over")
    again = await rig.provider.end_plan(plan_id, business_at=NOW, reason="over")
    assert (ended.status, again.status, ended.next_due) == (PlanStatus.ENDED, PlanStatus.ENDED, ())
    assert await rig.provider.find_plans(asked, since=NOW) == ()


async def test_three_failures_are_read_as_one_cycle_given_up_and_a_suspended_plan(rig: OmiseRig) -> None:
    codes = ["insufficient_fund", "DO_NOT_HONOR", "insufficient_fund"]
    _, plan_id = await made(rig, *codes)

    states = [await rig.provider.read_plan(plan_id, business_at=FIRST + n * DAY) for n in range(4)]

    told = [(plan.status, plan.cycles[0].status, len(plan.cycles[0].tries)) for plan in states]
    assert told == [
        (PlanStatus.ACTIVE, PlanCycleStatus.RETRYING, 1),
        (PlanStatus.ACTIVE, PlanCycleStatus.RETRYING, 2),
        (PlanStatus.SUSPENDED, PlanCycleStatus.GIVEN_UP, 3),
        (PlanStatus.SUSPENDED, PlanCycleStatus.GIVEN_UP, 3),
    ]
    standing = standing_of(states[-1], rig.provider.declines)
    tries = standing.cycles[0].tries
    assert [one.outcome.klass for one in tries] == ["SOFT", "HARD", "SOFT"]
    assert [one.kind for one in tries] == [TryKind.DUE, TryKind.RETRY, TryKind.RETRY]
    assert [one.at.date() - FIRST.date() for one in tries] == [0 * DAY, DAY, 2 * DAY]
    rows = [row.payment_id for row in await rig.book()]
    assert [one.outcome.provider_payment_id for one in tries] == rows


async def test_a_retry_that_is_paid_is_two_tries_and_the_calendar_goes_on(rig: OmiseRig) -> None:
    _, plan_id = await made(rig, "insufficient_fund", "SUCCEEDED")
    plan = await rig.provider.read_plan(plan_id, business_at=FIRST + 32 * DAY)
    first, second = plan.cycles
    assert [one.payment.status for one in first.tries] == [PaymentStatus.FAILED, PaymentStatus.SUCCEEDED]
    assert (first.status, second.status, len(second.tries)) == (PlanCycleStatus.PAID, PlanCycleStatus.PAID, 1)
    assert plan.status is PlanStatus.ACTIVE


async def test_a_plan_that_nobody_knows_has_ended(rig: OmiseRig) -> None:
    plan = await rig.provider.read_plan("schd_test_unknown", business_at=NOW)
    assert plan.status is PlanStatus.ENDED


@pytest.mark.parametrize(
    ("customer", "tokens", "code"),
    [("cust_test_nobody", ("pm_1",), "not_found"), (None, ("card_test_nobody",), "not_found")],
)
async def test_the_guide_s_steps_refuse_before_anything_is_made(
    rig: OmiseRig, customer: str | None, tokens: tuple[str, ...], code: str
) -> None:
    known = await rig.agree()
    with pytest.raises(ProviderRefused) as refused:
        await rig.provider.create_plan(request(customer or known, method_tokens=tokens))
    assert refused.value.code == code
    assert (await rig.omise("GET", "/schedules"))["total"] == 0


async def test_an_expired_card_is_refused_and_one_in_its_last_month_is_not(rig: OmiseRig) -> None:
    customer = await rig.agree()
    token = await rig.tokenise(month=3, year=2030)
    asked = request(customer, method_tokens=(token,), first_due_at=at("2030-05-05T02:00:00Z"))
    with pytest.raises(ProviderRefused, match="expired"):
        await rig.provider.create_plan(asked.but(business_at=at("2030-04-01T00:00:00Z")))
    plan = await rig.provider.create_plan(asked.but(business_at=at("2030-03-31T00:00:00Z")))
    assert plan.status is PlanStatus.ACTIVE


@pytest.mark.parametrize(
    ("kind", "error", "count"),
    [
        ("drop_after_commit", PlanUnclear, 1),
        ("http_500_after_commit", PlanUnclear, 1),
        ("http_500", PlanUnclear, 0),
        ("429", ProviderUnavailable, 0),
        ("401", ProviderUnavailable, 0),
    ],
)
async def test_what_is_unclear_is_told_apart_from_what_surely_did_not_happen(
    rig: OmiseRig, kind: str, error: type[Exception], count: int
) -> None:
    asked = request(await rig.agree())
    await rig.fault(kind, on="mandate")
    with pytest.raises(error):
        await rig.provider.create_plan(asked)
    assert len(await rig.provider.find_plans(asked, since=NOW)) == count


async def test_a_schedule_is_never_changed(rig: OmiseRig) -> None:
    _, plan_id = await made(rig)
    with pytest.raises(ProviderRefused, match="make a new one"):
        await rig.provider.change_plan(plan_id, ReplaceMethod(token="pm_new"), business_at=NOW)


async def test_its_messages_say_that_there_is_something_to_read(rig: OmiseRig) -> None:
    await made(rig, "insufficient_fund")
    await rig.post("advance", {"business_now": FIRST.isoformat()})
    await rig.quiet()
    messages = await rig.provider.messages_since(datetime.now(FIRST.tzinfo) - DAY)
    plans = [(one.raw_type, one.subscription) for one in messages if isinstance(one, PlanMessage)]
    assert plans == [("schedule.create", "ours-1"), ("charge.create", "ours-1")]


def test_retries_that_are_listed_as_lines_of_their_own_belong_to_their_due_day() -> None:
    line = {"id": "occu_1", "scheduled_on": "2017-02-06", "retry_on": "2017-02-07", "status": "failed", "result": "c1"}
    again = {"id": "occu_2", "scheduled_on": "2017-02-07", "retry_on": None, "status": "successful", "result": "c2"}
    later = {"id": "occu_3", "scheduled_on": "2017-03-06", "retry_on": None, "status": "successful", "result": "c3"}
    days = due_days(WireOccurrence.model_validate(one) for one in (later, line, again))
    assert [(str(day.first.scheduled_on), day.tried, day.charges) for day in days] == [
        ("2017-02-06", 2, {1: "c1", 2: "c2"}), ("2017-03-06", 1, {1: "c3"}),
    ]  # fmt: skip
