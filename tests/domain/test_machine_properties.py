"""What must always hold, over random lives: outcomes, policies, calendars and commands drawn by Hypothesis."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dunning.domain import facts
from dunning.domain.apply import apply
from dunning.domain.attempts import COUNTED_TRIGGERS, Outcome, OutcomeKind
from dunning.domain.declines import DeclineClass
from dunning.domain.messages import NoticeStatus
from dunning.domain.preview import Foretold
from dunning.domain.state import State
from dunning.domain.tables import CYCLE_TABLE, SUBSCRIPTION_TABLE, CycleStatus
from tests.builders import dodo, live

CODES = ["INSUFFICIENT_FUNDS", "DO_NOT_HONOR", "INCORRECT_CVC", "NETWORK_ERROR", "INVALID_REQUEST", "NEVER_SEEN"]
WORDS = [*CODES, "SUCCEEDED", "OUTAGE/36h", "OUTAGE/2h", "TIMEOUT_COMMITTED", "INSUFFICIENT_FUNDS/wait=10d"]
WORDS += ["PENDING/2h/SUCCEEDED", "PENDING/30h/INSUFFICIENT_FUNDS", "PENDING/5d/DO_NOT_HONOR"]

ACTIONS = st.one_of(
    st.just(("pay_by_link", {})),
    st.just(("retry_now", {})),
    st.just(("mark_fixed", {})),
    st.just(("resume", {})),
    st.just(("pause", {})),
    st.just(("restore", {})),
    st.just(("skip_cycle", {})),
    st.just(("cancel", {"type": "USER_REQUESTED_STOP_RENEWALS"})),
    st.just(("cancel", {})),
    st.just(("refund", {"order": "1", "amount": 40_000})),
    st.just(("refund", {"order": "2", "revoke": True})),
    st.sampled_from(["FULL", "PRORATED"]).map(lambda t: ("revoke", {"type": t})),
    st.integers(1, 40).map(lambda d: ("defer", {"days": d})),
    st.integers(100_000, 900_000).map(lambda a: ("charge", {"amount": a})),
    st.integers(2, 4).map(lambda n: ("update_payment_method", {"token": f"pm_{n}"})),
)


@st.composite
def lives(draw: st.DrawFn) -> Foretold:
    outcomes = draw(st.lists(st.sampled_from(WORDS), max_size=14))
    days = sorted(draw(st.lists(st.integers(1, 120), max_size=4)))
    do = []
    for day in days:
        action, fields = draw(ACTIONS)
        do.append({"at": f"+{day}d", "action": action, "with": fields})
    interval = draw(st.sampled_from(["DAY", "WEEK", "MONTH"]))
    changes: dict[str, Any] = {
        "schedule": {
            "anchor_at": "2026-03-05T13:10:00Z",
            "interval": interval,
            "interval_count": draw(st.integers(1, 3)),
        },
        "failed_cycle_action": draw(st.sampled_from(["STOP", "RESUME"])),
        "on_hard_decline": draw(st.sampled_from(["WAIT_FOR_PAYMENT_METHOD", "FAIL_CYCLE"])),
        "immediate_action": draw(st.sampled_from(["NONE", "FULL_AMOUNT"])),
    }
    if draw(st.booleans()):
        changes |= {"grace_days": draw(st.integers(0, 10)), "hold_days": draw(st.integers(0, 40))}
    if draw(st.booleans()):
        changes["payment_methods"] = [{"token": "pm_1", "authorized_at": "2026-03-05T13:10:00Z"}, {"token": "pm_9"}]
    if draw(st.booleans()):
        changes["retry"] = {
            "ladder_days": [1, 2, 5, 9],
            "max_attempts": draw(st.integers(1, 4)),
            "anchor": "last_success",
        }
    return live(*outcomes, do=do, cycles=6, until="2026-09-01T00:00:00Z", **changes)


common = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@common
@given(lives())
def test_a_walk_terminates(life: Foretold) -> None:
    assert life.warnings == ()


@common
@given(lives())
def test_no_attempt_is_ever_made_on_a_method_that_was_declined_for_good(life: Foretold) -> None:
    started = [(a.started_at, a) for o in life.obligations for a in o.attempts if a.started_at is not None]
    dead: dict[str, Any] = {}
    for started_at, attempt in sorted(started, key=lambda one: one[0]):
        assert attempt.method not in dead or started_at <= dead[attempt.method], attempt
        outcome = attempt.outcome
        if outcome is not None and outcome.klass is DeclineClass.HARD:
            dead.setdefault(attempt.method, outcome.at)


@common
@given(lives())
def test_never_more_attempts_than_allowed_and_every_key_is_its_own(life: Foretold) -> None:
    allowed = life.state.terms.retry.attempts_allowed
    for obligation in life.obligations:
        counted = [a for a in obligation.attempts if a.trigger in COUNTED_TRIGGERS and a.retry_of is None]
        assert len(counted) <= allowed
        rungs = [a.rung for a in counted if a.rung is not None]
        assert len(rungs) == len(set(rungs))
    keys = Counter(a.key for o in life.obligations for a in o.attempts)
    assert all(n == 1 for n in keys.values())


@common
@given(lives())
def test_an_obligation_is_paid_at_most_once(life: Foretold) -> None:
    for obligation in life.obligations:
        paid = [a for a in obligation.attempts if a.outcome is not None and a.outcome.kind is OutcomeKind.SUCCEEDED]
        assert len(paid) <= 1
        if paid:
            assert obligation.status is CycleStatus.SUCCEEDED


@common
@given(lives())
def test_rungs_strictly_increase_and_keep_the_anchors_time_of_day(life: Foretold) -> None:
    for obligation in life.obligations:
        rungs = [a for a in obligation.attempts if a.rung is not None and a.retry_of is None]
        instants = [a.planned_at for a in rungs]
        assert all(x < y for x, y in pairwise(instants))
        assert all(obligation.anchor is not None and a.planned_at.time() == obligation.anchor.time() for a in rungs)


@common
@given(lives())
def test_attempts_never_start_before_they_are_planned_nor_before_an_advised_wait(life: Foretold) -> None:
    for obligation in life.obligations:
        for attempt in obligation.attempts:
            assert attempt.started_at is not None
            assert attempt.started_at >= attempt.planned_at
            assert attempt.not_before is None or attempt.started_at >= attempt.not_before


@common
@given(lives())
def test_notices_do_not_contradict_what_happened(life: Foretold) -> None:
    for obligation in life.obligations:
        sent = [n for n in life.notices if n.obligation == obligation.id and n.status is NoticeStatus.SENT]
        names = [n.occasion.value for n in sent]
        if "recovered" in names:
            assert obligation.status is CycleStatus.SUCCEEDED
            assert names.index("recovered") > 0
        assert names.count("stopped") <= 1


FACTS = st.one_of(
    st.sampled_from(CODES).map(
        lambda c: facts.AttemptConcluded(
            obligation="1",
            number=1,
            outcome=Outcome(kind=OutcomeKind.DECLINED, at="2026-04-01T00:00:00Z", raw_code=c, klass=dodo(c).klass),
        )
    ),
    st.sampled_from(list(OutcomeKind)).map(
        lambda k: facts.AttemptConcluded(
            obligation="1", number=1, outcome=Outcome(kind=k, at="2026-04-01T00:00:00Z", klass=DeclineClass.SOFT)
        )
    ),
    st.just(facts.PaymentObserved(payment_id="p", amount=100_000, currency="IDR", at="2026-04-01T00:00:00Z")),
    st.just(facts.MandateEnded(at="2026-04-01T00:00:00Z")),
    st.just(facts.MandateFailed(at="2026-04-01T00:00:00Z")),
    st.just(facts.MandateAuthorized(at="2026-04-01T00:00:00Z")),
    st.just(facts.MethodUpdated(at="2026-04-01T00:00:00Z", token="pm_7")),
    st.just(facts.DisputeOpened(at="2026-04-01T00:00:00Z", payment_id="p")),
)


@common
@given(lives(), st.lists(FACTS, min_size=1, max_size=5))
def test_every_fact_in_every_state_moves_as_the_tables_say_or_changes_nothing(
    life: Foretold, more: list[facts.Fact]
) -> None:
    state: State = life.state
    for fact in more:
        after = apply(state, fact, life.ended_at + timedelta(hours=1)).state
        assert after.revision == state.revision + 1
        if after.status is not state.status:
            assert _is_reachable(state.status, after.status)
        for old in state.obligations:
            new = after.obligation(old.id)
            assert new.status is old.status or _is_cycle_reachable(old.status, new.status)
        state = after


def _is_reachable(start: Any, end: Any) -> bool:
    seen, todo = set(), [start]
    while todo:
        here = todo.pop()
        for there in SUBSCRIPTION_TABLE[here].values():
            if there not in seen:
                seen.add(there)
                todo.append(there)
    return end in seen


def _is_cycle_reachable(start: Any, end: Any) -> bool:
    seen, todo = set(), [start]
    while todo:
        here = todo.pop()
        for there in CYCLE_TABLE[here].values():
            if there not in seen:
                seen.add(there)
                todo.append(there)
    return end in seen


@common
@given(lives())
def test_the_same_fact_twice_changes_no_status(life: Foretold) -> None:
    payment = facts.PaymentObserved(payment_id="p9", amount=100_000, currency="IDR", at="2026-04-01T00:00:00Z")
    once = apply(life.state, payment, life.ended_at).state
    twice = apply(once, payment, life.ended_at).state

    assert twice.but(revision=0) == once.but(revision=0)
