"""Lives on a test clock of the real server: every instant is the one that was foretold. SPEC 6, 16, 17."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from dunning.domain.commands import Charge, Command, CommandResult, SetPolicy
from dunning.domain.decide import Do
from dunning.domain.tables import SubscriptionStatus
from dunning.ledger.models import StoredAttempt
from tests.on_the_stack import ACCOUNT, House, Life

pytestmark = pytest.mark.server
SOFT = "INSUFFICIENT_FUNDS"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LATEST = timedelta(seconds=120)
"""How much later than planned an attempt may really run. SPEC 17."""


async def attempts(life: Life) -> list[StoredAttempt]:
    return await life.house.dunning.ledger.attempts_of(ACCOUNT, life.name)


async def test_a_soft_decline_is_recovered_on_day_3_at_its_time_of_day_and_the_next_cycle_comes_on_its_day(
    house: House, tmp_path: Path
) -> None:
    """Every two weeks at 20:00; authorised at 13:10, so retries are at 13:10. Instants by hand."""
    day = datetime.now(UTC).date() + DAY
    authorized = datetime.combine(day - 3 * DAY, time(13, 10), UTC)
    due = datetime.combine(day, time(20, 0), UTC)
    life = await house.begin_as(
        f"story-{due:%H%M%S}", due, (SOFT, "SUCCEEDED", "SUCCEEDED"),
        payment_methods=[{"token": "pm_1", "authorized_at": authorized.isoformat()}],
        schedule={"anchor_at": due.isoformat(), "interval": "WEEK", "interval_count": 2},
    )  # fmt: skip
    by_hand = [
        ("1", due, "due", SOFT),
        ("1", datetime.combine(day + 3 * DAY, time(13, 10), UTC), "ladder", "SUCCEEDED"),
        ("2", due + 14 * DAY, "due", "SUCCEEDED"),
    ]

    declined = await life.move_to(due + HOUR)
    assert declined.status is SubscriptionStatus.PAST_DUE
    _, decision = await life.clock.until_quiet()
    assert decision is not None
    assert (decision.do, decision.at) == (Do.CHARGE, by_hand[1][1])
    recovered = await life.move_to(by_hand[1][1] + HOUR)
    assert recovered.status is SubscriptionStatus.ACTIVE
    last = await life.move_to(due + 14 * DAY + HOUR)

    lived = await attempts(life)
    assert [(a.obligation, a.planned_at, a.trigger, result(a)) for a in lived] == by_hand
    assert all(timedelta(0) <= a.business_at - a.planned_at <= LATEST for a in lived)
    assert (last.status, last.next_number) == (SubscriptionStatus.ACTIVE, 3)
    assert last.calendar is not None
    assert last.calendar.due(3) == due + 28 * DAY

    file = tmp_path / "story.json"
    file.write_text(json.dumps(life.document), encoding="utf-8")
    foretold = await house.cli("preview", file, "--outcomes", SOFT, "--cycles", 2)
    previewed = [
        (str(cycle["number"]), datetime.fromisoformat(a["planned_at"]), a["trigger"], a["outcome"])
        for cycle in foretold["cycles"]
        for a in cycle["attempts"]
    ]
    assert previewed == by_hand
    await assert_notices_as_foretold(life, foretold)


async def assert_notices_as_foretold(life: Life, foretold: dict[str, list[dict[str, list[dict[str, str]]]]]) -> None:
    """What was told, on which channel, not before its foretold instant and not two minutes after it."""
    expected = [n for cycle in foretold["cycles"] for n in cycle["notices"]]
    rows = await life.house.dunning.ledger.notices_of(ACCOUNT, life.name)
    assert expected
    assert [(r.occasion, r.channel) for r in rows] == [(n["occasion"], n["channel"]) for n in expected]
    assert {r.status for r in rows} == {"sent"}
    late = [r.planned_at - datetime.fromisoformat(n["at"]) for r, n in zip(rows, expected, strict=True)]
    assert all(timedelta(0) <= by <= LATEST for by in late)


def result(attempt: StoredAttempt) -> str:
    assert attempt.outcome is not None
    return attempt.outcome.raw_code or attempt.outcome.kind.value.upper()


async def ask(life: Life, commands: Sequence[Command]) -> list[CommandResult]:
    return [await life.command(command) for command in commands]


async def test_commands_sent_while_cycles_close_on_the_moving_clock_are_each_carried_out_once(house: House) -> None:
    cycles = 3
    life = await house.begin(
        schedule={
            "anchor_at": (datetime.now(UTC).replace(microsecond=0) + HOUR).isoformat(),
            "interval": "DAY",
            "interval_count": 1,
        },
        notifications={},
    )
    runs: set[str] = set()
    sent: dict[str, Command] = {}
    for number in range(1, cycles + 1):
        _, decision = await life.clock.until_quiet()
        assert decision is not None
        assert decision.do is Do.OPEN_CYCLE
        runs.add(str((await life.handle.describe()).run_id))
        callers = callers_of(life, number)
        sent |= {c.command_id: c for commands in callers for c in commands}

        moving = asyncio.create_task(life.clock.move_to(decision.at))
        asked = asyncio.gather(*(ask(life, commands) for commands in [*callers, *callers]))
        _, answers = await asyncio.gather(moving, asked)

        assert {r.command_id for found in answers for r in found} >= {c.command_id for one in callers for c in one}
        assert {r.status for found in answers for r in found} <= {"done", "accepted"}
    await life.clock.until_quiet()

    book = Counter(c["amount"] for c in await life.charges())
    on_demand = [c.amount for c in sent.values() if isinstance(c, Charge)]
    planned = [a for a in await attempts(life) if not a.obligation.startswith("od-")]
    # A fast-forward that meets a new run can count twice on this server, and the clock then passes a cycle more.
    assert len(planned) >= cycles
    assert [a.planned_at for a in planned] == [life.due + n * DAY for n in range(len(planned))]
    assert book == Counter([*on_demand, *[100_000] * len(planned)])
    assert {c["status"] for c in await life.charges()} == {"succeeded"}
    assert len(runs) == cycles, "each cycle ended a run"

    final = {name: await life.house.dunning.ledger.command_result(ACCOUNT, name) for name in sent}
    assert {r.status for r in final.values() if r is not None} == {"done"}
    assert None not in final.values()
    again = {name: await life.command(command) for name, command in sent.items()}
    assert again == final
    assert Counter(c["amount"] for c in await life.charges()) == book


def callers_of(life: Life, number: int) -> list[list[Command]]:
    """What several callers want of one cycle, ids of their own; the amounts tell every charge from every other."""
    policies: list[list[Command]] = [
        [SetPolicy(command_id=f"{life.name}-{number}-{caller}-{n}", grace_days=n) for n in range(3)]
        for caller in range(3)
    ]
    return [[Charge(command_id=f"{life.name}-{number}-od{n}", amount=1_000 * number + n) for n in range(2)], *policies]
