"""What the chaos row draws from its seed: subscriptions, the futures of their customers, and the faults. SPEC 19.

Everything is drawn for each subscription by itself, so that the order in which a machine happens to do things changes
none of it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from benchmarks.data import subscription
from dunning.domain.base import Value
from dunning.domain.script import Script
from dunning.domain.terms import Subscription

CYCLES = 2
SHARE = 0.2
"""Of the provider's requests, those that a fault befalls. SPEC 19."""

SOFT = ("INSUFFICIENT_FUNDS", "LIMIT_EXCEEDED", "CARD_VELOCITY_EXCEEDED")
TECHNICAL = ("NETWORK_TIMEOUT", "PROCESSING_ERROR")
HARD = ("DO_NOT_HONOR", "STOLEN_CARD")
LADDERS: tuple[dict[str, Any], ...] = (
    {"ladder_days": [3, 10, 17]},
    {"interval": "DAY", "interval_count": 3, "total": 3},
    {"ladder_days": [2, 5, 9]},
)
CHARGE_FAULTS = (
    "timeout_after_commit",
    "http_500_after_commit",
    "drop_after_commit",
    "timeout_before_commit",
    "http_500",
    "drop_connection",
    "429",
    "slow",
)
LOOK_UP_FAULTS = ("lookup_lag", "http_500", "drop_connection", "429", "slow")
MANDATE_FAULTS = ("http_500", "drop_connection", "429", "slow", "http_500_after_commit")
MOST = {"charge": 60, "lookup": 600, "mandate": 40}
"""So many requests of a subscription have their fate drawn beforehand; more than it makes."""


class Member(Value):
    """One subscription of the portfolio, the same in both runs but for its name."""

    number: int
    anchor: datetime
    changes: dict[str, Any]
    outcomes: tuple[str, ...]

    def named(self, run: str) -> Subscription:
        """The subscription as one of the runs has it."""
        name = f"{run}-{self.number:03d}"
        methods = [{"token": t, "authorized_at": self.anchor.isoformat()} for t in self.changes["tokens"]]
        terms = {key: value for key, value in self.changes.items() if key != "tokens"}
        return subscription(self.anchor, name, payment_methods=methods, **terms)

    @property
    def script(self) -> Script:
        """What its charges come to, one word for each that reaches the provider."""
        return Script(outcomes=self.outcomes)

    @property
    def moves_its_calendar(self) -> bool:
        """Whether the instants of a cycle depend on when the one before it was paid."""
        return "hold_days" in self.changes or self.changes["retry"].get("anchor") == "last_success"


def portfolio(seed: int, size: int, due: datetime) -> list[Member]:
    """So many subscriptions, the first cycle of each due shortly after `due`."""
    return [_member(random.Random(f"{seed}/{number}"), number, due) for number in range(size)]


def _member(draw: random.Random, number: int, due: datetime) -> Member:
    retry = {**draw.choice(LADDERS), "anchor": draw.choice(["authorization", "authorization", "last_success"])}
    changes: dict[str, Any] = {
        "retry": retry,
        "failed_cycle_action": draw.choice(["STOP", "RESUME", "RESUME"]),
        "on_hard_decline": draw.choice(["WAIT_FOR_PAYMENT_METHOD", "FAIL_CYCLE"]),
        "tokens": draw.choice([["pm_1"], ["pm_1"], ["pm_1", "pm_2"]]),
    }
    if draw.random() < 0.25:
        changes |= {"grace_days": 5, "hold_days": 20}
    outcomes = [word for _ in range(CYCLES) for word in _ladder(draw)]
    anchor = due + timedelta(seconds=97 * number)
    return Member(number=number, anchor=anchor, changes=changes, outcomes=tuple(outcomes))


def _ladder(draw: random.Random) -> Iterator[str]:
    """A cycle's outcomes: most go deep into the ladder, one in four through all of it."""
    for _ in range(draw.choice([0, 1, 2, 3, 3, 3, 4, 4])):
        kind = draw.random()
        if kind < 0.08:
            yield draw.choice(TECHNICAL)
        elif kind < 0.14:
            yield draw.choice(HARD)
        elif kind < 0.20:
            yield f"PENDING/2h/{draw.choice(SOFT)}"
        elif kind < 0.24:
            yield "OUTAGE/30h"
            yield draw.choice(SOFT)
        else:
            yield draw.choice(SOFT)
    yield draw.choice(["SUCCEEDED", "SUCCEEDED", "SUCCEEDED", "PENDING/3h/SUCCEEDED", "TIMEOUT_COMMITTED"])


def faults(seed: int, member: Member, name: str, share: float = SHARE) -> list[dict[str, Any]]:
    """The fate of each charge request and each look-up of one subscription, in the sandbox's own words."""
    draw = random.Random(f"{seed}/{member.number}/faults")
    found: list[dict[str, Any]] = []
    for target, kinds in (("charge", CHARGE_FAULTS), ("lookup", LOOK_UP_FAULTS), ("mandate", MANDATE_FAULTS)):
        struck = [n for n in range(MOST[target]) if draw.random() < share]
        for before, number in enumerate(struck):
            kind = draw.choice(kinds)
            # A request that an earlier fault took was not counted by the later ones.
            one: dict[str, Any] = {"on": target, "kind": kind, "subscription": name, "after": number - before}
            if kind == "slow":
                one["seconds"] = round(draw.uniform(0.2, 2.5), 2)
            elif kind.startswith("timeout"):
                one["seconds"] = round(draw.uniform(0.2, 1.5), 2)
            found.append(one)
    return found
