"""A first price on the mandate's page, as the core decides it. SPEC 8, 12."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dunning.domain import facts
from dunning.domain.apply import apply
from dunning.domain.attempts import Outcome, OutcomeKind, attempt_key
from dunning.domain.beginning import new_state
from dunning.domain.decide import Do, decide
from dunning.domain.script import Script
from dunning.domain.state import State
from dunning.domain.tables import SubscriptionStatus
from dunning.domain.terms import Subscription
from dunning.previewing import foretell
from tests.builders import subscription

T0 = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
LINK = {"country": "ID", "product_id": "pdt_1"}
HOUR = timedelta(hours=1)


def on_page(*, mandate_only: bool = False) -> Subscription:
    return subscription(
        provider_options={**LINK, "mandate_only": mandate_only},
        payment_methods=[],
        immediate_action="FULL_AMOUNT",
        schedule={"anchor_at": T0.isoformat(), "interval": "MONTH", "interval_count": 1},
    )


def begun(*, mandate_only: bool = False) -> State:
    given = on_page(mandate_only=mandate_only)
    return new_state(account="demo", subscription="sub-1", generation=1, terms=given.terms(), created_at=T0).state


def with_page() -> State:
    return apply(begun(), facts.MandateCreated(reference="cks_1", link="https://pay.example"), T0).state


def key_of(state: State) -> str:
    assert state.page is not None
    return state.page.key


def next_of(state: State, now: datetime) -> tuple[Do, datetime]:
    found = decide(state, now)
    assert found is not None
    return found.do, found.at


def outcome(kind: OutcomeKind) -> Outcome:
    return Outcome(kind=kind, at=T0 + HOUR)


def test_the_key_is_attempt_1s_of_cycle_1_and_is_remembered_from_the_moment_the_page_may_exist():
    key = attempt_key("demo", "sub-1", 1, "1", 1)
    for fact in (
        facts.MandateCreated(reference="cks_1", link="https://pay.example"),
        facts.MandateNotCreated(because="away", retry_at=T0 + HOUR),
    ):
        page = apply(begun(), fact, T0).state.page
        assert page is not None
        assert page.key == key
    assert apply(begun(mandate_only=True), facts.MandateCreated(reference="c", link="l"), T0).state.page is None


def test_a_payment_told_of_before_the_mandate_asks_for_the_mandate_at_once_and_then_less_and_less():
    state = with_page()
    assert next_of(state, T0) == (Do.READ_MANDATE, T0 + HOUR)
    state = apply(state, facts.PagePaid(key=key_of(state)), T0 + timedelta(minutes=7)).state
    assert next_of(state, T0) == (Do.READ_MANDATE, T0 + timedelta(minutes=7))
    state = apply(state, facts.MandateRead(), T0 + timedelta(minutes=7)).state
    assert next_of(state, T0) == (Do.READ_MANDATE, T0 + timedelta(minutes=8))
    state = apply(state, facts.MandateRead(), T0 + timedelta(minutes=8)).state
    assert next_of(state, T0) == (Do.READ_MANDATE, T0 + timedelta(minutes=12))


def test_once_the_mandate_stands_the_attempt_keeps_the_key_and_is_forgotten_when_it_is_settled():
    state = with_page()
    key = key_of(state)
    state = apply(state, facts.MandateAuthorized(at=T0 + HOUR, reference="sub_1", method_token="pm_9"), T0 + HOUR).state
    for what in (facts.TimeCame(what=Do.ACTIVATE.value), facts.AttemptStarted(obligation="1")):
        state = apply(state, what, T0 + HOUR).state
    in_flight = state.obligation("1").in_flight
    assert in_flight is not None
    assert (in_flight.key, key_of(state)) == (key, key)
    paid = facts.AttemptConcluded(obligation="1", number=1, outcome=outcome(OutcomeKind.SUCCEEDED))
    state = apply(state, paid, T0 + HOUR).state
    assert (state.status, state.page) == (SubscriptionStatus.ACTIVE, None)


def test_an_end_without_it_gives_the_mandate_back_first_and_then_settles_the_attempt():
    state = apply(with_page(), facts.TimeCame(what=Do.TIME_OUT_ACTIVATION.value), T0 + 7 * 24 * HOUR).state
    assert state.status is SubscriptionStatus.FAILED
    assert next_of(state, state.latest)[0] is Do.END_MANDATE
    state = apply(state, facts.MandateGivenBack(), state.latest).state
    assert next_of(state, state.latest) == (Do.CLOSE_PAGE, state.stopped_at)
    unclear = apply(state, facts.PageClosed(outcome=outcome(OutcomeKind.UNKNOWN)), state.latest).state
    assert state.stopped_at is not None
    assert next_of(unclear, state.latest) == (Do.CLOSE_PAGE, state.stopped_at + timedelta(minutes=1))
    absent = apply(state, facts.PageClosed(outcome=outcome(OutcomeKind.ABSENT)), state.latest).state
    assert (absent.page, absent.attention) == (None, ())
    paid = apply(unclear, facts.PageClosed(outcome=outcome(OutcomeKind.SUCCEEDED)), state.latest).state
    assert paid.page is None
    assert "first price was paid" in paid.attention[-1].what


def test_a_payment_that_was_told_of_before_a_cancel_does_not_make_the_closing_ask_without_end():
    state = with_page()
    state = apply(state, facts.PagePaid(key=key_of(state)), T0).state
    state = apply(state, facts.TimeCame(what=Do.TIME_OUT_ACTIVATION.value), T0 + HOUR).state
    state = apply(state, facts.MandateGivenBack(), state.latest).state
    assert next_of(state, state.latest) == (Do.CLOSE_PAGE, state.stopped_at)
    state = apply(state, facts.PageClosed(outcome=outcome(OutcomeKind.UNKNOWN)), state.latest).state
    assert state.stopped_at is not None
    assert next_of(state, state.latest) == (Do.CLOSE_PAGE, state.stopped_at + timedelta(minutes=1))


def test_a_payment_on_a_page_whose_attempt_was_closed_is_for_a_person():
    state = apply(with_page(), facts.PagePaid(key="at_of_an_earlier_start"), T0).state
    assert "whose attempt was closed" in state.attention[-1].what
    assert state.page is not None
    assert state.page.paid_at is None


@pytest.mark.parametrize(
    ("story", "outcomes", "status"),
    [
        ({}, ("SUCCEEDED",), SubscriptionStatus.ACTIVE),
        ({}, ("PENDING/2h/SUCCEEDED",), SubscriptionStatus.ACTIVE),
        ({}, ("INSUFFICIENT_FUNDS", "SUCCEEDED"), SubscriptionStatus.FAILED),
        ({"mandate": "fail"}, (), SubscriptionStatus.FAILED),
        ({"mandate": "never"}, (), SubscriptionStatus.FAILED),
    ],
)
def test_a_preview_foretells_it_as_attempt_1_and_ends(story, outcomes, status):
    given = on_page()
    told = foretell(given, Script.model_validate({"outcomes": outcomes, **story}), created_at=T0, cycles=1)
    assert told.state.status is status
    assert told.warnings == ()
    paid = [(a.number, a.trigger.value, a.planned_at) for o in told.obligations for a in o.attempts]
    assert paid == ([] if story else [(1, "due", T0 + timedelta(minutes=1))])
