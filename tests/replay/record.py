"""Records the histories that `test_replay` replays: `python -m tests.replay.record`, once for each release.

A test run never records. What was recorded before a change must replay after it, or the change is guarded by
`workflow.patched`.
"""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

from dunning.ledger import migrate
from dunning.stack.postgres import postgres_server
from tests import servers
from tests.workflows.world import Life, World, open_world

HISTORIES = Path(__file__).parent / "histories"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SOFT = "INSUFFICIENT_FUNDS"


async def good_cycles(world: World) -> Life:
    life = await world.begin("SUCCEEDED", "SUCCEEDED")
    await life.pass_time(2 * HOUR)
    await life.pass_time(31 * DAY)
    return life


async def full_ladder(world: World) -> Life:
    life = await world.begin(SOFT, SOFT, SOFT, SOFT)
    await life.until(lambda s: s.is_ended, step=DAY)
    return life


async def method_updated(world: World) -> Life:
    life = await world.begin("DO_NOT_HONOR", methods=("pm_1", "pm_2"))
    await life.pass_time(2 * HOUR)
    await life.command("update_payment_method", "cmd-1", token="pm_2")
    await life.pass_time(HOUR)
    return life


async def time_out_after_commit(world: World) -> Life:
    life = await world.begin("TIMEOUT_COMMITTED")
    await life.until(lambda s: s.paid_until is not None, step=HOUR)
    return life


async def grace_and_hold(world: World) -> Life:
    life = await world.begin(SOFT, SOFT, "SUCCEEDED", grace_days=3, hold_days=30)
    await life.until(lambda s: s.paid_until is not None, step=12 * HOUR)
    return life


async def commands(world: World) -> Life:
    life = await world.begin("SUCCEEDED", SOFT)
    await life.pass_time(2 * HOUR)
    await life.command("defer", "c-1", days=3)
    await life.command("charge", "c-2", amount=5_000)
    await life.command("pause", "c-3")
    await life.pass_time(2 * DAY)
    await life.command("resume", "c-4")
    await life.command("cancel", "c-5")
    await life.pass_time(HOUR)
    return life


STORIES: tuple[Callable[[World], Awaitable[Life]], ...] = (
    good_cycles,
    full_ladder,
    method_updated,
    time_out_after_commit,
    grace_and_hold,
    commands,
)


async def main() -> None:
    async with postgres_server() as server:
        await migrate(server.url_of())
        for story in STORIES:
            async with servers.time_skipping() as environment, open_world(environment, server.url_of()) as world:
                life = await story(world)
                await save(life, story.__name__)


async def save(life: Life, name: str) -> None:
    """Every run of the chain, oldest first, in place of those recorded before."""
    for old in HISTORIES.glob(f"{name}-*.json.gz"):
        old.unlink()
    run: str | None = life.first_run
    number = 0
    while run is not None:
        number += 1
        handle = life.world.client.get_workflow_handle(life.handle.id, run_id=run)
        history = await handle.fetch_history()
        file = HISTORIES / f"{name}-{number}.json.gz"
        file.write_bytes(gzip.compress(history.to_json().encode(), mtime=0))
        last = history.events[-1]
        following = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id
        run = following or None
        print(file.name, len(history.events), "events")


if __name__ == "__main__":
    HISTORIES.mkdir(exist_ok=True)
    asyncio.run(main())
