"""Commands that arrive while a run continues as new: none is lost, none is carried out twice. SPEC 9, 15.

The server is told to suggest continue-as-new after a few events, so that runs end under the commands, not between them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from dunning.client import DunningClient
from dunning.domain.attempts import Attempt
from dunning.domain.commands import Charge, Command, CommandResult, Defer, Pause, Resume, SetPolicy
from dunning.domain.state import State
from dunning.domain.tables import SubscriptionStatus
from tests import servers
from tests.on_the_stack import until
from tests.workflows.world import ACCOUNT, Life, World, open_world

pytestmark = pytest.mark.server
EVENTS_OF_A_RUN = 40
CALLERS, EACH = 5, 8
DAY = timedelta(days=1)
FAR = timedelta(days=10)


@pytest.fixture(scope="module")
async def world(databases: servers.Databases) -> AsyncIterator[World]:
    """On a server that suggests continue-as-new after a few events; its clock is the wall's."""
    url = await databases.fresh()
    setting = f"limit.historyCount.suggestContinueAsNew={EVENTS_OF_A_RUN}"
    async with servers.start_dev_server(setting) as server, open_world(server, url) as opened:
        yield opened
    await databases.drop(url)


def client_of(world: World) -> DunningClient:
    return DunningClient(world.client, world.ledger, task_queue=world.task_queue)


async def runs(life: Life) -> list[str]:
    """Run ids of the chain, oldest first."""
    found, run = [], life.first_run
    while run:
        found.append(run)
        history = await life.world.client.get_workflow_handle(life.handle.id, run_id=run).fetch_history()
        run = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return found


async def ask(life: Life, commands: list[Command]) -> dict[str, CommandResult]:
    """One caller: command after command, each sent when the one before has its result."""
    dunning = client_of(life.world)
    return {c.command_id: await dunning.command(ACCOUNT, life.name, c) for c in commands}


async def ask_all(life: Life, callers: list[list[Command]]) -> list[dict[str, CommandResult]]:
    async with asyncio.timeout(120):
        return list(await asyncio.gather(*(ask(life, commands) for commands in callers)))


async def recorded(life: Life, commands: list[Command]) -> dict[str, CommandResult | None]:
    """The final results in the ledger."""
    return {c.command_id: await life.world.ledger.command_result(ACCOUNT, c.command_id) for c in commands}


async def told(life: Life) -> Counter[str]:
    return Counter(row["type"] for row in await life.world.ledger.events_of(ACCOUNT, life.name))


async def test_each_of_many_defers_moves_the_next_due_instant_once_over_many_runs(world: World) -> None:
    life = await world.begin(due_in=FAR)
    callers: list[list[Command]] = [
        [Defer(command_id=f"{life.name}-{caller}-{n}", days=1) for n in range(EACH)] for caller in range(CALLERS)
    ]
    everything = [c for commands in callers for c in commands]

    # Every command has two callers at the same time, as a backend that repeats itself after a broken connection.
    answers = await ask_all(life, [*callers, *callers])

    state = await life.state()
    assert state.calendar is not None
    assert state.calendar.due(1) == life.anchor + len(everything) * DAY
    assert {result.status for found in answers for result in found.values()} == {"done"}
    assert answers[:CALLERS] == answers[CALLERS:], "both callers get the one result"
    assert (await told(life))["subscription.deferred"] == len(everything)
    assert await recorded(life, everything) == {k: v for found in answers for k, v in found.items()}
    chain = await runs(life)
    assert len(chain) >= 4, chain

    again = await ask_all(life, callers)
    assert again == answers[:CALLERS], "a later run gives the first result too"
    assert (await life.state()).calendar == state.calendar
    assert (await told(life))["subscription.deferred"] == len(everything)


async def test_pauses_and_policies_that_race_are_each_carried_out_once_in_the_order_of_their_caller(
    world: World,
) -> None:
    life = await world.begin(due_in=FAR)
    switching: list[Command] = []
    for n in range(EACH):
        switching += [Pause(command_id=f"{life.name}-p{n}"), Resume(command_id=f"{life.name}-r{n}")]
    policies: list[list[Command]] = [
        [SetPolicy(command_id=f"{life.name}-{caller}-{n}", grace_days=n) for n in range(EACH)]
        for caller in range(CALLERS)
    ]

    answers = await ask_all(life, [switching, *policies])

    assert {result.status for found in answers for result in found.values()} == {"done"}
    events = await told(life)
    assert (events["subscription.paused"], events["subscription.resumed"]) == (EACH, EACH)
    assert (await life.state()).status is SubscriptionStatus.ACTIVE
    assert len(await runs(life)) >= 4
    assert await ask_all(life, [switching]) == answers[:1], "no pause is carried out again"
    after = await told(life)
    assert after == events


def in_flight(state: State) -> Attempt | None:
    return next((o.in_flight for o in state.open_obligations if o.in_flight is not None), None)


async def test_commands_during_the_charge_that_closes_a_cycle_are_answered_by_the_run_that_took_them(
    world: World,
) -> None:
    life = await begin_slowly(world, "SUCCEEDED")
    await until(life.state, lambda s: in_flight(s) is not None, "the first charge is on its way")
    deferring = Defer(command_id=f"{life.name}-d", days=2)
    policies: list[list[Command]] = [
        [SetPolicy(command_id=f"{life.name}-{caller}-{n}", grace_days=n) for n in range(3)] for caller in range(3)
    ]

    answers = await ask_all(life, [[deferring], [deferring], *policies])
    state = await until(life.state, lambda s: s.open_cycle is None, "the cycle closes")

    assert answers[0] == answers[1]
    assert {result.status for found in answers for result in found.values()} <= {"done", "accepted"}
    final = await until(
        lambda: recorded(life, [deferring, *(c for one in policies for c in one)]),
        lambda found: all(result is not None for result in found.values()),
        "every command has its final result",
    )
    assert {result.status for result in final.values() if result is not None} == {"done"}
    state = await life.state()
    assert state.calendar is not None
    assert (await told(life))["subscription.deferred"] == 1
    assert [c["status"] for c in await life.charges()] == ["succeeded"]
    assert len(await runs(life)) >= 2


async def test_charges_on_demand_that_race_with_new_runs_are_each_collected_once(world: World) -> None:
    life = await world.begin(due_in=FAR)
    callers: list[list[Command]] = [
        [Charge(command_id=f"{life.name}-{caller}-{n}", amount=1_000 + 10 * caller + n) for n in range(3)]
        for caller in range(4)
    ]
    everything = [c for commands in callers for c in commands]

    answers = await ask_all(life, [*callers, *callers])
    wanted = sorted(c.amount for c in everything if isinstance(c, Charge))
    await until(life.charges, lambda book: len(book) >= len(wanted), "every charge is collected")
    await until(life.state, lambda s: not s.open_obligations and not s.queue, "nothing is owed any more")

    assert answers[:4] == answers[4:]
    assert sorted(c["amount"] for c in await life.charges()) == wanted
    assert {c["status"] for c in await life.charges()} == {"succeeded"}
    assert len(await runs(life)) >= 2, "a run that collects is not cut in two, but the next one comes"
    await ask_all(life, callers)
    assert sorted(c["amount"] for c in await life.charges()) == wanted


async def begin_slowly(world: World, *outcomes: str, **changes: Any) -> Life:
    """A cycle that is due now, at a provider that takes its time."""
    life = await world.begin(*outcomes, due_in=timedelta(seconds=2), **changes)
    slow = {"on": "charge", "kind": "slow", "seconds": 1.5, "subscription": life.name}
    (await world.http.post("/_sandbox/faults", json=[slow])).raise_for_status()
    return life


async def test_an_id_that_was_used_for_another_command_is_refused_and_changes_nothing(world: World) -> None:
    life = await world.begin("SUCCEEDED", due_in=FAR)
    dunning = client_of(world)
    first, other = Defer(command_id=f"{life.name}-1", days=2), Pause(command_id=f"{life.name}-1")

    done = await dunning.command(ACCOUNT, life.name, first)
    refused = await dunning.command(ACCOUNT, life.name, other)
    again = await dunning.command(ACCOUNT, life.name, first)

    assert (refused.status, refused.reason[:11]) == ("refused", "command_id:")
    assert again == done
    assert (await life.state()).status is not SubscriptionStatus.PAUSED
