"""How many full-ladder subscription-years the pure engine walks in a second on one core. SPEC 19.

Two lives of one year, monthly, whose every charge is declined as a soft decline:
`stop` fails through the default ladder (four attempts) and stops; `resume` fails through it in all twelve
cycles (48 attempts). Speeds are compared with a plain Python loop of the same run, never with a clock alone.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from benchmarks.data import subscription
from benchmarks.rows import Row
from dunning.domain.declines import Classified, DeclineClass
from dunning.domain.outcomes import ScriptedDecline
from dunning.domain.preview import Foretold, Walk
from dunning.domain.script import Script
from dunning.domain.terms import Terms

START = datetime(2026, 1, 15, 2, 0, tzinfo=UTC)
YEAR = START + timedelta(days=365)
CYCLES = 12
ATTEMPTS = 4
ROUNDS = 5
LEAST = 10
AIM = 5000
RATIO = {"STOP": 560.0, "RESUME": 42.0}
"""Years walked in the time of a thousand turns of the plain loop: a tenth below what was measured.

They keep the engine from getting slower. They are not SPEC 19's floor, which is not reached: docs/performance.md.
"""

_SOFT = Classified(klass=DeclineClass.SOFT, rule_id="benchmark")
_SCRIPT = Script()
_FUTURE = (ScriptedDecline(code="INSUFFICIENT_FUNDS"),) * (CYCLES * ATTEMPTS)


def terms(action: str) -> Terms:
    """Plain monthly terms with the default ladder and the given action after it."""
    return subscription(START, failed_cycle_action=action).terms()


def walk(of: Terms) -> Foretold:
    """One subscription's year, every charge declined."""
    life = Walk(
        of,
        account="bench",
        subscription="sub-1",
        created_at=START - timedelta(hours=1),
        classify=lambda _: _SOFT,
        script=_SCRIPT,
        outcomes=_FUTURE,
    )
    return life.run(until=YEAR, cycles=CYCLES)


def plain_turn() -> int:
    """One turn of the yardstick: a thousand copies of a small dict with an instant moved by a day."""
    at, day = START, timedelta(days=1)
    record: dict[str, object] = {"at": at, "number": 0, "status": "open", "amount": 100_000}
    for number in range(1000):
        at = at + day
        record = {**record, "at": at, "number": number}
    return len(record)


def speed(work: Callable[[], object], seconds: float) -> float:
    """Times a second of an undisturbed core: by the tenth percentile of single runs within `seconds`.

    Other processes on the machine only ever lengthen a run: they take the processor's caches away.
    """
    taken: list[float] = []
    began = time.thread_time()
    while (now := time.thread_time()) - began < seconds or len(taken) < LEAST:
        work()
        taken.append(time.thread_time() - now)
    return 1 / sorted(taken)[len(taken) // 10]


def run(*, is_quick: bool = False) -> list[Row]:
    """Both lives, interleaved with the yardstick; medians of five."""
    seconds = 0.1 if is_quick else 0.6
    rows: list[Row] = []
    gc.collect()
    for action in ("STOP", "RESUME"):
        given = terms(action)
        walk(given)
        year = partial(walk, given)
        pairs = [(speed(year, seconds), speed(plain_turn, seconds)) for _ in range(ROUNDS)]
        years = statistics.median(a for a, _ in pairs)
        ratio = statistics.median(1000 * a / b for a, b in pairs)
        is_reached = f"SPEC 19 asks {AIM}: {'reached' if years >= AIM else 'NOT reached'}"
        rows.append(Row(f"preview {action}: subscription-years a core-second", years, "1/s", aim=is_reached))
        rows.append(Row(f"preview {action}: years per 1000 plain turns", ratio, "x", at_least=RATIO[action]))
    return rows
