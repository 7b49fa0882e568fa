"""What an unclear outcome may become: found, absent for a day, or proved never sent. SPEC 13."""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.domain import facts
from dunning.domain.apply import apply
from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.beginning import new_state
from dunning.domain.decide import Do, decide
from dunning.domain.declines import DeclineClass
from dunning.domain.planning import may_close_absent
from dunning.domain.state import State
from dunning.domain.tables import CycleStatus
from tests.builders import at, subscription

DUE = at("2026-03-05T13:10")


def charged(kind: OutcomeKind) -> State:
    """A subscription whose first attempt came to `kind`."""
    given = subscription()
    state = new_state(
        account="demo", subscription="sub-1", generation=1, terms=given.terms(), created_at=at("2026-03-01T00:00")
    ).state
    for _ in range(10):
        decision = decide(state, DUE)
        assert decision is not None
        if decision.do is Do.CHARGE:
            break
        state = apply(state, facts.TimeCame(what=decision.do.value), decision.at).state
    state = apply(state, facts.AttemptStarted(obligation="1"), DUE).state
    return concluded(state, kind, DUE)


def concluded(state: State, kind: OutcomeKind, when: datetime, *, is_look_up: bool = False) -> State:
    fact = facts.AttemptConcluded(obligation="1", number=1, outcome=Outcome(kind=kind, at=when), is_look_up=is_look_up)
    return apply(state, fact, when).state


def test_look_ups_come_after_1_5_15_60_minutes_and_then_hourly() -> None:
    state = charged(OutcomeKind.UNKNOWN)
    seen = []
    for _ in range(6):
        decision = decide(state, DUE)
        while decision is not None and decision.do is Do.RAISE_ATTENTION:
            what = facts.TimeCame(what=decision.do.value, obligation="1")
            state = apply(state, what, decision.at).state
            decision = decide(state, DUE)
        assert decision is not None
        assert decision.do is Do.LOOK_UP
        seen.append((decision.at - DUE) // timedelta(minutes=1))
        state = concluded(state, OutcomeKind.UNKNOWN, decision.at, is_look_up=True)

    assert seen == [1, 5, 15, 60, 120, 180]
    assert any("unclear for an hour" in a.what for a in state.attention)


def test_an_attempt_that_was_never_sent_goes_on_at_once_under_the_same_key() -> None:
    state = charged(OutcomeKind.UNKNOWN)
    key = state.obligation("1").attempts[0].key

    state = concluded(state, OutcomeKind.OUTAGE, DUE + timedelta(minutes=1), is_look_up=True)
    decision = decide(state, DUE + timedelta(minutes=1))

    assert state.obligation("1").status is CycleStatus.ATTEMPTING
    assert decision is not None
    assert (decision.do, decision.at) == (Do.CHARGE, DUE + timedelta(minutes=1))
    state = apply(state, facts.AttemptStarted(obligation="1"), decision.at).state
    assert state.obligation("1").attempts[0].key == key
    assert state.attention == ()


def test_an_attempt_proved_absent_is_closed_and_made_again_at_the_anchors_time_without_a_rung() -> None:
    state = charged(OutcomeKind.UNKNOWN)

    state = concluded(state, OutcomeKind.ABSENT, at("2026-03-06T14:00"), is_look_up=True)
    planned = state.obligation("1").next

    assert planned is not None
    # closed 03-06T14:00, after 13:10: the first anchored instant is the next day's
    assert (planned.planned_at, planned.number, planned.retry_of, planned.rung) == (at("2026-03-07T13:10"), 2, 1, None)


def test_nothing_is_given_up_and_no_cycle_opens_while_the_outcome_is_unclear() -> None:
    state = charged(OutcomeKind.UNKNOWN)

    for _ in range(60 * 24):
        decision = decide(state, DUE)
        assert decision is not None
        assert decision.do in (Do.LOOK_UP, Do.RAISE_ATTENTION)
        if decision.do is Do.LOOK_UP:
            state = concluded(state, OutcomeKind.UNKNOWN, decision.at, is_look_up=True)
        else:
            state = apply(state, facts.TimeCame(what=decision.do.value, obligation="1"), decision.at).state
    assert state.next_number == 2


def test_that_an_attempt_never_arrived_is_remembered_with_its_obligation() -> None:
    state = concluded(charged(OutcomeKind.UNKNOWN), OutcomeKind.ABSENT, DUE + timedelta(hours=25), is_look_up=True)

    assert state.obligation("1").flagged[-1] == "an attempt never reached the provider and is made again"


def test_a_soft_decline_found_after_the_only_card_expired_waits_for_another_method() -> None:
    for kind in (OutcomeKind.PENDING, OutcomeKind.UNKNOWN):
        state = charged(kind)
        state = state.but(methods=tuple(m.but(expires="2026-03") for m in state.methods))
        when = at("2026-04-01T00:10")
        outcome = Outcome(kind=OutcomeKind.DECLINED, at=when, klass=DeclineClass.SOFT)

        fact = facts.AttemptConcluded(obligation="1", number=1, outcome=outcome, is_look_up=True)
        state = apply(state, fact, when).state

        assert state.obligation("1").status is CycleStatus.AWAITING_METHOD


def test_an_answer_that_has_no_place_is_not_asked_for_again_at_once() -> None:
    state = charged(OutcomeKind.PENDING)
    first = decide(state, DUE)
    assert first is not None
    assert first.do is Do.LOOK_UP

    state = concluded(state, OutcomeKind.DEFERRED, first.at, is_look_up=True)
    again = decide(state, first.at)

    assert state.obligation("1").status is CycleStatus.PENDING
    assert any("no place" in a.what for a in state.attention)
    assert again is not None
    assert (again.do, again.at > first.at) == (Do.LOOK_UP, True)


def looked_up(state: State, when: datetime, *, is_answered: bool) -> State:
    outcome = Outcome(kind=OutcomeKind.UNKNOWN, at=when, is_absent=is_answered)
    fact = facts.AttemptConcluded(obligation="1", number=1, outcome=outcome, is_look_up=True)
    return apply(state, fact, when).state


def test_a_day_of_answers_closes_an_attempt_and_one_answer_after_a_day_of_silence_does_not() -> None:
    answered, silent = charged(OutcomeKind.UNKNOWN), charged(OutcomeKind.UNKNOWN)
    for minutes in (1, 5, 15, *range(60, 24 * 60, 60)):
        answered = looked_up(answered, DUE + timedelta(minutes=minutes), is_answered=minutes >= 60)
        silent = looked_up(silent, DUE + timedelta(minutes=minutes), is_answered=False)
    day = DUE + timedelta(hours=24)

    assert may_close_absent(answered.obligation("1").attempts[0], day)
    assert not may_close_absent(answered.obligation("1").attempts[0], day - timedelta(minutes=1))
    assert not may_close_absent(silent.obligation("1").attempts[0], day)
    # The first answer at 24 h; so the 23 hours that the list may lag end at 47 h.
    silent = looked_up(silent, day, is_answered=True)
    attempt = silent.obligation("1").attempts[0]
    assert not may_close_absent(attempt, DUE + timedelta(hours=46, minutes=59))
    assert may_close_absent(attempt, DUE + timedelta(hours=47))
