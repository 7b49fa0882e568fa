"""Which rows of the state tables real runs walk, heard where the core moves states."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import pytest

from dunning.domain import tables
from dunning.domain.state import State
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


class Ear(threading.local):
    """Moves of the step that this thread takes: a step is taken in one go."""

    def __init__(self) -> None:
        self.moves: list[Row] = []


@contextmanager
def listening() -> Iterator[Walked]:
    """Hear every move of every step that counts.

    A step that is refused half way is thrown away by `apply`, and its moves with it: what a new step begins with is
    nothing, and only what `done` hands out is written down.
    """
    walked, ear = Walked(), Ear()
    begin, done = Step.__init__, Step.done

    def on_cycle(status: CycleStatus, fact: CycleFact) -> CycleStatus:
        target = tables.step_cycle(status, fact)
        ear.moves.append(Row("C", status, fact, target))
        return target

    def on_subscription(status: SubscriptionStatus, fact: SubscriptionFact) -> SubscriptionStatus:
        target = tables.step_subscription(status, fact)
        ear.moves.append(Row("S", status, fact, target))
        return target

    def on_begin(step: Step, state: State, now: datetime) -> None:
        ear.moves = []
        begin(step, state, now)

    def on_done(step: Step) -> Applied:
        applied = done(step)
        walked.by_subscription.setdefault(applied.state.id, set()).update(ear.moves)
        return applied

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Step, "__init__", on_begin)
        patch.setattr(Step, "done", on_done)
        for module in [m for path, m in sys.modules.items() if path.startswith("dunning.domain.") and m is not tables]:
            for name, heard in (("step_cycle", on_cycle), ("step_subscription", on_subscription)):
                if hasattr(module, name):
                    patch.setattr(module, name, heard)
        yield walked
