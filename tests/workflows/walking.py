"""Which rows of the state tables real runs walk, heard where the core moves states."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from dunning.domain.state import Obligation
from dunning.domain.step import Applied, Step
from dunning.domain.tables import (
    CYCLE_TABLE,
    SUBSCRIPTION_TABLE,
    CycleFact,
    CycleStatus,
    SubscriptionFact,
    SubscriptionStatus,
)


class Row(NamedTuple):
    """One row of a table; `machine` is `S` (subscription) or `C` (cycle)."""

    machine: str
    state: str
    fact: str
    target: str

    def __str__(self) -> str:
        return f"{self.machine} {self.state} {self.fact} -> {self.target}"


def all_rows() -> frozenset[Row]:
    """Both tables."""
    subscriptions = {Row("S", s, f, t) for s, facts in SUBSCRIPTION_TABLE.items() for f, t in facts.items()}
    cycles = {Row("C", s, f, t) for s, facts in CYCLE_TABLE.items() for f, t in facts.items()}
    return frozenset(subscriptions | cycles)


def row_of(words: str) -> Row:
    """The row written `C retrying paid`; `KeyError` when the table has none."""
    machine, state, fact = words.split()
    if machine == "S":
        target: str = SUBSCRIPTION_TABLE[SubscriptionStatus(state)][SubscriptionFact(fact)]
    else:
        target = CYCLE_TABLE[CycleStatus(state)][CycleFact(fact)]
    return Row(machine, state, fact, target)


class Walked:
    """Rows by subscription."""

    def __init__(self) -> None:
        self.by_subscription: dict[str, set[Row]] = {}

    def by(self, *subscriptions: str) -> frozenset[Row]:
        """What these subscriptions walked."""
        return frozenset(row for name in subscriptions for row in self.by_subscription.get(name, ()))

    @property
    def rows(self) -> frozenset[Row]:
        """What all of them walked."""
        return self.by(*self.by_subscription)


@contextmanager
def listening() -> Iterator[Walked]:
    """Hear every move of every step that counts.

    The states are those before and after the real move, whatever the tables say. A step that is refused half way is
    thrown away by `apply`, and its moves with it: only what `done` hands out is written down.
    """
    walked = Walked()
    moves: dict[Step, list[Row]] = {}
    move, turn, done = Step.move, Step.turn, Step.done

    def on_move(step: Step, obligation: Obligation, fact: CycleFact, **changes: Any) -> Obligation:
        new = move(step, obligation, fact, **changes)
        moves.setdefault(step, []).append(Row("C", obligation.status, fact, new.status))
        return new

    def on_turn(step: Step, fact: SubscriptionFact) -> None:
        was = step.s.status
        turn(step, fact)
        moves.setdefault(step, []).append(Row("S", was, fact, step.s.status))

    def on_done(step: Step) -> Applied:
        applied = done(step)
        walked.by_subscription.setdefault(applied.state.id, set()).update(moves.pop(step, ()))
        return applied

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Step, "move", on_move)
        patch.setattr(Step, "turn", on_turn)
        patch.setattr(Step, "done", on_done)
        yield walked
