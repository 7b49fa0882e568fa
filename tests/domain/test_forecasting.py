"""What is read of a declined purchase is held against the model; entitlement stays what was read. SPEC 12."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from dunning.domain import facts
from dunning.domain.access import access, item_access
from dunning.domain.apply import apply
from dunning.domain.beginning import new_state
from dunning.domain.decide import Do
from dunning.domain.plans import ItemStanding, PlanPhase, PlanStanding, PlanStatus
from dunning.domain.state import State
from dunning.intake import parse_subscription
from tests.builders import at
from tests.domain.test_foreseen_purchase import BASE, purchase

ADD_ON = {**BASE, "product_id": "addon", "role": "addon", "unit_amount": 1_000}


def on(day: str) -> datetime:
    return at(f"2026-{day}T00:00")


def says(phase: PlanPhase, until: dict[str, str | None], *, renews: bool = True) -> PlanStanding:
    """What a read finds: per item the day up to which it gives access."""
    ends = {name: on(day) if day else None for name, day in until.items()}
    given = [one for one in ends.values() if one is not None]
    return PlanStanding(
        plan_id="token-1",
        status=PlanStatus.ENDED if phase is PlanPhase.OVER else PlanStatus.ACTIVE,
        phase=phase,
        next_due=tuple(sorted(set(given))),
        access_until=max(given, default=None),
        items=tuple(ItemStanding(product_id=name, until=end, is_renewing=renews) for name, end in ends.items()),
    )


def read(state: State, day: str, standing: PlanStanding) -> State:
    return apply(state, facts.PlanRead(standing=standing, is_asked=True), on(day)).state


def begun(**lengths: Any) -> State:
    """Base to Sep 1, an add-on whose trial ends on Aug 22."""
    items = ({**BASE, **lengths}, {**ADD_ON, **lengths})
    terms = parse_subscription(purchase(*items)).terms()
    state = new_state(account="a", subscription="s", generation=1, terms=terms, created_at=on("08-01")).state
    state = read(state, "08-01", says(PlanPhase.ACTIVE, {"base": "09-01", "addon": "08-22"}))
    return apply(state, facts.TimeCame(what=Do.ACTIVATE.value), on("08-01")).state


NOTHING: dict[str, str | None] = {"base": None, "addon": None}
HELD = says(PlanPhase.HOLD, NOTHING)
BACK = {"base": "09-04", "addon": "09-04"}
LEFT: dict[str, str | None] = {"base": "10-01", "addon": None}


@pytest.mark.parametrize(
    ("day", "phase", "until"),
    [("08-25", PlanPhase.ACTIVE, BACK), ("09-21", PlanPhase.ENDING, LEFT), ("09-10", PlanPhase.HOLD, NOTHING)],
)
def test_both_outcomes_of_g1_are_as_forecast(day: str, phase: PlanPhase, until: dict[str, str | None]) -> None:
    state = read(read(begun(), "08-22", HELD), day, says(phase, until, renews=phase is PlanPhase.ACTIVE))
    assert state.attention == ()


@pytest.mark.parametrize(
    ("day", "standing", "words"),
    [
        (
            "08-25",
            says(PlanPhase.ACTIVE, {"base": "09-01", "addon": "09-25"}),
            "item base gives access to 2026-09-01, where it gives access to 2026-09-04 was forecast",
        ),
        (
            "09-21",
            says(PlanPhase.ENDING, {"base": "09-30", "addon": "10-05"}, renews=False),
            "item addon gives access to 2026-10-05, where it gives nothing was forecast",
        ),
        ("09-22", says(PlanPhase.OVER, NOTHING, renews=False), "item base gives nothing"),
        ("09-30", HELD, "hold, where over was forecast"),
    ],
)
def test_what_differs_from_the_forecast_raises_attention_once(day: str, standing: PlanStanding, words: str) -> None:
    state = read(read(begun(), "08-22", HELD), day, standing)
    state = read(state, day, standing)
    (attention,) = state.attention
    assert words in attention.what


def test_a_hold_where_grace_was_forecast_raises_attention_and_access_is_what_was_read() -> None:
    state = read(begun(grace_days=7), "08-22", HELD)
    assert "hold, where grace was forecast" in state.attention[0].what
    assert not access(state, on("08-22")).is_granted
    assert not any(one.is_granted for one in item_access(state, on("08-22")))


def test_an_expiry_that_differs_is_still_the_one_that_gives_access() -> None:
    state = read(read(begun(), "08-22", HELD), "08-25", says(PlanPhase.ACTIVE, {"base": "11-01", "addon": "11-01"}))
    assert state.attention
    assert access(state, on("10-31")).until == on("11-01")


def test_a_day_of_silence_before_google_play_tells_of_the_decline_is_no_difference() -> None:
    silent = says(PlanPhase.ACTIVE, {"base": "09-01", "addon": None})
    state = read(read(begun(), "08-22", silent), "08-23", HELD)
    assert state.plan is not None
    assert state.plan.decline is not None
    assert state.plan.decline.declined_at == on("08-22")
    assert read(state, "08-25", says(PlanPhase.ACTIVE, {"base": "09-04", "addon": "09-04"})).attention == ()


def test_without_the_lengths_of_every_item_nothing_is_forecast() -> None:
    state = read(begun(grace_days=None, hold_days=None), "08-22", HELD)
    assert state.plan is not None
    assert state.plan.decline is None
    assert read(state, "08-25", says(PlanPhase.ACTIVE, {"base": "12-01", "addon": "12-01"})).attention == ()


def test_what_a_command_of_ours_ends_was_not_forecast() -> None:
    state = read(begun(), "08-22", HELD)
    revoked = facts.PlanChanged(standing=says(PlanPhase.OVER, NOTHING, renews=False))
    state = apply(state, revoked, on("08-22") + timedelta(hours=1)).state
    assert state.plan is not None
    assert (state.plan.decline, [one.what for one in state.attention if "forecast" in one.what]) == (None, [])
