"""The chaos row of SPEC 19: what it draws, what it calls a difference, and a small run of it on real servers."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from benchmarks import chaos
from benchmarks.chaos_herd import blows
from benchmarks.chaos_judge import Life, differences
from benchmarks.chaos_portfolio import MOST, SHARE, faults, portfolio
from dunning.demo.living import Lived
from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.ledger.models import StoredAttempt
from tests.builders import at, live

DUE = at("2026-03-05T13:10")
(MEMBER,) = portfolio(1, 1, DUE)


def test_a_seed_draws_the_same_portfolio_faults_and_blows_again_and_another_seed_others() -> None:
    assert portfolio(7, 40, DUE) == portfolio(7, 40, DUE)
    assert portfolio(7, 40, DUE) != portfolio(8, 40, DUE)
    assert portfolio(7, 40, DUE)[:10] == portfolio(7, 10, DUE)
    assert faults(7, MEMBER, "a") == faults(7, MEMBER, "a") != faults(8, MEMBER, "a")
    assert blows(7, 20, 5, 200) == blows(7, 20, 5, 200) != blows(8, 20, 5, 200)


def test_the_blows_are_as_many_as_asked_for_and_leave_the_end_in_peace() -> None:
    found = blows(7, 20, 5, 200)
    assert Counter(blow.is_kill for blow in found) == {True: 20, False: 5}
    assert all(1 <= blow.attempts <= 180 for blow in found)


def test_a_fifth_of_the_requests_is_faulted_by_every_kind_that_the_specification_names() -> None:
    drawn = [one for member in portfolio(7, 40, DUE) for one in faults(7, member, "x")]
    assert len(drawn) / (40 * sum(MOST.values())) == pytest.approx(SHARE, abs=0.01)
    assert {one["kind"] for one in drawn if one["on"] == "charge"} >= {
        "timeout_after_commit", "http_500", "drop_connection", "slow", "429",
    }  # fmt: skip
    assert "lookup_lag" in {one["kind"] for one in drawn if one["on"] == "lookup"}


def row(
    number: int, planned: str, outcome: OutcomeKind, *, late: timedelta = timedelta(), **more: Any
) -> StoredAttempt:
    values: dict[str, Any] = {
        "key": f"k{number}", "account": "demo", "subscription": "s", "generation": 1, "obligation": "1",
        "number": number, "customer_id": "c", "amount": 100, "currency": "IDR", "method": "pm_1", "trigger": "due",
        "retry_of": None, "planned_at": at(planned), "business_at": at(planned) + late, "status": "settled", "epoch": 1,
        "first_sent_at": DUE, "sent_at": DUE, "settled_at": DUE, "outcome": Outcome(kind=outcome, at=DUE),
        "provider_payment_id": None, "latency_ms": 1, **more,
    }  # fmt: skip
    return StoredAttempt(**values)


PAID = {"obligation": "1", "key": "k1", "status": "succeeded", "amount": 100}
CLOSED = ({"type": "recurring.cycle.created", "cycle": 1}, {"type": "recurring.cycle.succeeded", "cycle": 1})


def life(*rows: StoredAttempt, charges: tuple[dict[str, Any], ...] = (PAID,), **changes: Any) -> Life:
    lived = {"id": "s", "status": "active", "currency": "IDR", "attempts": rows, "notices": (), "charges": charges,
             "state": live().state, "steps": 1}  # fmt: skip
    return Life(lived=Lived(**lived), events=changes.get("events", CLOSED))


GOOD = life(row(1, "2026-03-05T13:10", OutcomeKind.SUCCEEDED))


def test_the_same_life_twice_has_no_difference() -> None:
    assert differences(MEMBER, GOOD, GOOD) == []


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (life(*GOOD.lived.attempts, charges=(PAID, {**PAID, "key": "k2"})), "was paid 2 times"),
        (life(*GOOD.lived.attempts, charges=(PAID, {**PAID, "status": "failed"})), "key k1 was charged 2 times"),
        (life(*GOOD.lived.attempts, charges=()), "paid: without faults"),
        (life(*GOOD.lived.attempts, events=CLOSED[:1]), "cycles: without faults"),
        (life(row(1, "2026-03-06T13:10", OutcomeKind.SUCCEEDED)), "planned"),
        (life(row(1, "2026-03-05T13:10", OutcomeKind.DECLINED)), "outcomes"),
        (life(row(1, "2026-03-05T13:10", OutcomeKind.SUCCEEDED, settled_at=None)), "is settled at the end"),
        (life(row(1, "2026-03-05T13:10", OutcomeKind.ABSENT)), "closed as absent, and the provider has it"),
    ],
)
def test_money_cycles_outcomes_and_instants_that_differ_are_named(other: Life, said: str) -> None:
    assert any(said in one for one in differences(MEMBER, GOOD, other))


@pytest.mark.parametrize(
    ("first", "is_excused"),
    [
        (row(1, "2026-03-05T13:10", OutcomeKind.DECLINED, late=timedelta(hours=12)), True),
        (row(1, "2026-03-05T13:10", OutcomeKind.DECLINED, late=timedelta(hours=11, minutes=59)), False),
        (row(1, "2026-03-06T13:10", OutcomeKind.DECLINED, late=timedelta(hours=12)), False),
    ],
    ids=["after a long outage", "after a short one", "the attempt that was held up itself"],
)
def test_instants_may_differ_only_after_an_attempt_that_was_held_up_for_long(
    first: StoredAttempt, is_excused: bool
) -> None:
    paid = {**PAID, "key": "k2"}
    second = row(2, "2026-03-08T13:10", OutcomeKind.SUCCEEDED)
    calm = life(row(1, "2026-03-05T13:10", OutcomeKind.DECLINED), second, charges=(paid,))
    moved = life(first, row(2, "2026-03-09T13:10", OutcomeKind.SUCCEEDED), charges=(paid,))
    assert (differences(MEMBER, calm, moved) == []) is is_excused


def test_the_row_fails_with_a_difference_and_says_the_seed_and_what_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def found(*_: int) -> tuple[list[str], str]:
        return ["003: paid: without faults {'1': 1}, with faults {}"], "met"

    monkeypatch.setattr(chaos, "play", found)
    (result,) = chaos.run(seed=4711, subscriptions=2, kills=0)
    assert not result.is_good
    assert "seed 4711: 003: paid" in capsys.readouterr().out
