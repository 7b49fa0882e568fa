"""A calendar that the provider runs: what it says, in any order and as often as it likes. SPEC 12."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dunning.domain import facts
from dunning.domain.apply import apply
from dunning.domain.attempts import Outcome, OutcomeKind, Trigger
from dunning.domain.beginning import new_state
from dunning.domain.command_table import judge
from dunning.domain.decide import Do, decide
from dunning.domain.declines import DeclineClass
from dunning.domain.plan_rules import PLAN_RULES
from dunning.domain.plans import CycleStanding, PlanCycleStatus, PlanStanding, PlanStatus, TryKind, TryStanding
from dunning.domain.preview import Walk
from dunning.domain.script import Script
from dunning.domain.state import State
from dunning.domain.tables import CycleStatus, SubscriptionStatus
from dunning.errors import InvalidInput
from dunning.intake import parse_command, parse_subscription
from tests.builders import at, dodo, subscription_data

CREATED = at("2026-03-01T13:10:00Z")
DUE = at("2026-03-05T06:00:00Z")
DAY = timedelta(days=1)
RUNS = timedelta(hours=-4, minutes=-30)
"""Omise charges at 01:30, before our own instant."""


def omise(**changes: Any) -> dict[str, Any]:
    return subscription_data(
        **{
            "provider": "omise",
            "collection": "provider",
            "provider_options": {"customer_id": "cust_test_1"},
            "payment_methods": [{"token": "card_1", "authorized_at": CREATED.isoformat()}],
            "currency": "THB",
            "schedule": {"anchor_at": DUE.isoformat(), "interval": "MONTH", "interval_count": 1},
            "created_at": CREATED.isoformat(),
            **changes,
        }
    )


def running(**changes: Any) -> State:
    """Authorised, the schedule made, active."""
    terms = parse_subscription(omise(**changes)).terms()
    state = new_state(account="a", subscription="s", generation=1, terms=terms, created_at=CREATED).state
    decision = decide(state, CREATED)
    assert decision is not None
    assert decision.do is Do.CREATE_PLAN
    made = facts.PlanRead(
        standing=PlanStanding(plan_id="schd_1", status=PlanStatus.ACTIVE), is_asked=True, is_made=True
    )
    state = apply(state, made, CREATED).state
    return apply(state, facts.TimeCame(what=Do.ACTIVATE.value), CREATED).state


def outcome(number: int, code: str | None, klass: DeclineClass = DeclineClass.SOFT) -> Outcome:
    when = DUE + RUNS + (number - 1) * DAY
    if code is None:
        return Outcome(kind=OutcomeKind.SUCCEEDED, at=when, provider_payment_id=f"chrg_{number}")
    return Outcome(kind=OutcomeKind.DECLINED, at=when, raw_code=code, klass=klass, provider_payment_id=f"chrg_{number}")


def says(
    *outcomes: Outcome, status: PlanCycleStatus | None = None, plan: PlanStatus = PlanStatus.ACTIVE
) -> PlanStanding:
    """What Omise says after these tries of the first day."""
    kinds = [TryKind.DUE, TryKind.RETRY, TryKind.RETRY]
    tries = tuple(
        TryStanding(number=n, kind=kinds[n - 1], at=one.at, outcome=one, method="card_1")
        for n, one in enumerate(outcomes, start=1)
    )
    is_paid = outcomes[-1].kind is OutcomeKind.SUCCEEDED
    told = PlanCycleStatus.PAID if is_paid else PlanCycleStatus.RETRYING
    cycle = CycleStanding(
        cycle_id="occu_1", due_on=DUE.date(), status=status or told, amount=100_000, currency="THB", tries=tries
    )
    return PlanStanding(plan_id="schd_1", status=plan, cycles=(cycle,))


def hear(state: State, standing: PlanStanding, now: datetime | None = None, *, is_asked: bool = False) -> State:
    at_now = now or max(one.at for one in standing.cycles[0].tries)
    return apply(state, facts.PlanRead(standing=standing, is_asked=is_asked), at_now).state


SOFT = [outcome(n, "insufficient_fund") for n in (1, 2, 3)]
SUSPENDED = says(*SOFT, status=PlanCycleStatus.GIVEN_UP, plan=PlanStatus.SUSPENDED)


def test_any_fact_of_a_cycle_first_makes_it_due_also_before_our_own_instant() -> None:
    state = hear(running(), says(outcome(1, None)))
    paid = state.obligation("1")
    assert (paid.status, paid.due_at, state.next_number) == (CycleStatus.SUCCEEDED, DUE, 2)
    assert [a.trigger for a in paid.attempts] == [Trigger.DUE]


@pytest.mark.parametrize("klass", [DeclineClass.HARD, DeclineClass.ACTION, DeclineClass.SOFT, DeclineClass.MERCHANT])
def test_while_the_provider_retries_no_class_of_decline_makes_us_charge(klass: DeclineClass) -> None:
    state = hear(running(), says(outcome(1, "some_code", klass)))
    owed = state.obligation("1")
    assert (owed.status, state.status) == (CycleStatus.RETRYING, SubscriptionStatus.PAST_DUE)
    assert owed.next is not None
    assert (owed.next.trigger, owed.next.rung, owed.next.planned_at) == (Trigger.PROVIDER, 1, DUE + DAY)
    decision = decide(state, state.latest)
    assert decision is not None
    assert decision.do not in (Do.CHARGE, Do.GIVE_UP)


def test_after_the_suspension_rungs_one_and_two_are_used_and_day_seventeen_is_ours_once_the_plan_is_gone() -> None:
    state = hear(running(notifications={}), SUSPENDED)
    owed = state.obligation("1")
    assert owed.gone == (1, 2)
    assert owed.next is not None
    assert (owed.next.trigger, owed.next.rung, owed.next.planned_at) == (
        Trigger.LADDER, 3, at("2026-03-22T13:10:00Z"),
    )  # fmt: skip
    decision = decide(state, state.latest)
    assert decision is not None
    assert decision.do is Do.END_PLAN
    away = facts.PlanEnded(plan_id="schd_1", is_done=False, because="away", retry_at=DUE + 60 * DAY)
    unended = decide(apply(state, away, state.latest).state, DUE + 59 * DAY)
    assert unended is not None
    assert (unended.do, unended.at) == (Do.END_PLAN, DUE + 60 * DAY)
    state = apply(state, facts.PlanEnded(plan_id="schd_1"), state.latest).state
    charge = decide(state, state.latest)
    assert charge is not None
    assert (charge.do, charge.at) == (Do.CHARGE, owed.next.at)


def test_a_payment_that_the_end_of_the_plan_reveals_wins_over_our_ladder() -> None:
    state = hear(running(), SUSPENDED)
    paid = says(*SOFT[:2], outcome(3, None), plan=PlanStatus.ENDED)
    state = apply(state, facts.PlanEnded(plan_id="schd_1", standing=paid), state.latest).state
    assert state.obligation("1").status is CycleStatus.SUCCEEDED
    assert state.obligation("1").next is None


def test_a_hard_decline_under_fail_cycle_stops_the_plan_at_once() -> None:
    state = running(on_hard_decline="FAIL_CYCLE", failed_cycle_action="STOP")
    state = hear(state, says(outcome(1, "stolen_or_lost_card", DeclineClass.HARD)))
    assert state.status is SubscriptionStatus.INACTIVE
    decision = decide(state, state.latest)
    assert decision is not None
    assert decision.do is Do.END_PLAN


def test_fail_cycle_without_stop_is_refused_where_the_provider_collects() -> None:
    with pytest.raises(InvalidInput, match="FAIL_CYCLE"):
        parse_subscription(omise(on_hard_decline="FAIL_CYCLE", failed_cycle_action="RESUME"))


def test_what_is_late_is_asked_for_and_asking_backs_off() -> None:
    state, asked = running(), []
    for _ in range(5):
        decision = decide(state, state.latest)
        assert decision is not None
        assert decision.do is Do.READ_PLAN
        asked.append(decision.at - DUE)
        nothing = PlanStanding(plan_id="schd_1", status=PlanStatus.ACTIVE)
        state = apply(state, facts.PlanRead(standing=nothing, is_asked=True), decision.at).state
    hours = [24, 25, 30, 48, 72]
    assert asked == [timedelta(hours=h) for h in hours]


def test_a_message_that_comes_after_the_reading_changes_nothing() -> None:
    read = hear(running(), says(outcome(1, None)), DUE + DAY, is_asked=True)
    again = apply(read, facts.PlanRead(standing=says(outcome(1, None))), DUE + DAY)
    assert again.events == ()
    assert again.state.but(revision=read.revision) == read


STORY = [
    says(SOFT[0]),
    says(*SOFT[:2]),
    SUSPENDED,
]


@settings(max_examples=60, deadline=None)
@given(order=st.lists(st.sampled_from(range(3)), max_size=8))
def test_standings_in_any_order_and_number_end_where_the_last_one_leads(order: list[int]) -> None:
    state = running()
    now = DUE + 3 * DAY
    for index in [*order, 2]:
        state = hear(state, STORY[index], now)
    owed = state.obligation("1")
    assert [(a.number, a.trigger, a.outcome) for a in owed.attempts] == [
        (1, Trigger.DUE, SOFT[0]), (2, Trigger.PROVIDER, SOFT[1]), (3, Trigger.PROVIDER, SOFT[2]),
    ]  # fmt: skip
    assert state.plan is not None
    assert state.plan.is_taken_over
    assert owed.next is not None
    assert owed.next.rung == 3


def test_a_plan_that_is_gone_is_a_developers_cancel() -> None:
    state = apply(running(), facts.PlanRead(standing=PlanStanding(plan_id="schd_1", status=PlanStatus.ENDED)), DUE)
    assert (state.state.status, state.state.cancel_type) == (
        SubscriptionStatus.CANCELED, "DEVELOPER_REQUESTED_STOP_PAYMENTS",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "field", "alternative"),
    [
        ({"schedule": {"anchor_at": "2026-03-31T06:00:00Z", "interval": "MONTH"}}, "schedule.anchor_at", "engine"),
        (
            {"schedule": {"anchor_at": DUE.isoformat(), "interval": "MONTH", "on": {"days_of_month": [5, 30]}}},
            "schedule.on.days_of_month.1",
            "engine",
        ),
        ({"schedule": {"anchor_at": DUE.isoformat(), "interval": "DAY"}}, "schedule.interval_count", "engine"),
        ({"schedule": {"anchor_at": "2026-03-01T20:00:00Z", "interval": "MONTH"}}, "schedule.anchor_at", "engine"),
        ({"immediate_action": "FULL_AMOUNT"}, "immediate_action", "engine"),
        ({"retry": {"spread_seconds": 60}}, "retry.spread_seconds", "engine"),
    ],
)
def test_what_a_schedule_cannot_express_is_refused_with_the_alternative(
    changes: dict[str, Any], field: str, alternative: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_subscription(omise(**changes), at=CREATED)
    (fault,) = refused.value.faults
    assert fault.field == field
    assert f"collection {alternative}" in fault.rule


@pytest.mark.parametrize(
    ("name", "fields", "because"),
    [
        ("skip_cycle", {}, "cannot leave a cycle out"),
        ("set_policy", {"grace_days": 1}, "keeps its own retries"),
        ("retry_now", {}, "by itself"),
    ],
)
def test_what_omise_cannot_do_is_refused_with_the_reason(name: str, fields: dict[str, Any], because: str) -> None:
    state = hear(running(), says(SOFT[0]))
    verdict = judge(state, parse_command({"name": name, "command_id": "c", **fields}), state.latest)
    assert not verdict.is_allowed
    assert because in verdict.because


@pytest.mark.parametrize("name", ["pause", "defer"])
def test_a_command_beyond_the_schedule_waits_for_its_end_and_is_then_carried_out_by_us(name: str) -> None:
    fields = {"days": 3} if name == "defer" else {}
    command = parse_command({"name": name, "command_id": "c", **fields})
    state = apply(running(), facts.Queued(command=command), CREATED).state
    first = decide(state, CREATED)
    assert first is not None
    assert first.do is Do.END_PLAN
    state = apply(state, facts.PlanEnded(plan_id="schd_1"), CREATED).state
    then = decide(state, CREATED)
    assert then is not None
    assert then.do is Do.RUN_COMMAND
    state = apply(state, facts.Commanded(command=command), CREATED).state
    assert state.results[-1].status == "done"
    assert state.plan is not None
    assert state.plan.is_taken_over


def test_every_refused_way_says_why() -> None:
    ways = [way for rules in PLAN_RULES.values() for way in rules.ways.values()]
    assert ways
    assert all(bool(way.because) is (way.means == "refused") for way in ways)


def test_preview_foretells_the_providers_own_tries_and_our_day_seventeen() -> None:
    agreed = parse_subscription(omise())
    walk = Walk(
        agreed.terms(),
        account="omise",
        subscription="s",
        created_at=CREATED,
        classify=dodo,
        script=Script.model_validate({"outcomes": ["INSUFFICIENT_FUNDS"] * 3}),
    )
    foretold = walk.run(until=None, cycles=2)
    first, second = (o for o in foretold.obligations if o.is_cycle)
    assert [(a.trigger, a.planned_at) for a in first.attempts] == [
        (Trigger.DUE, DUE),
        (Trigger.PROVIDER, DUE + DAY),
        (Trigger.PROVIDER, DUE + 2 * DAY),
        (Trigger.LADDER, at("2026-03-22T13:10:00Z")),
    ]
    assert [(a.is_followed, a.planned_at) for a in second.attempts] == [(False, at("2026-04-05T06:00:00Z"))]
