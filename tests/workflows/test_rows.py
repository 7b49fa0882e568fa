"""Every row of both state tables is walked by real runs on real servers. SPEC 8, 20.

All stories live at the same time on one time-skipping server. Each names rows that its own subscriptions must have
walked; what all of them walked together is compared with the tables.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from tests import servers
from tests.workflows import stories_cycle, stories_refunds, stories_subscription
from tests.workflows.shared_clock import Corner, SharedClock
from tests.workflows.stories import STORIES, Story
from tests.workflows.walking import Row, Walked, all_rows, listening, row_of
from tests.workflows.world import open_world

# All stories are told together, in the set-up of the first test.
pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]
PATIENCE = 150.0
RESULT = 3.5
"""Seconds that a charge waits for its result; stories about pending payments wait for nothing."""

assert stories_cycle.__doc__
assert stories_refunds.__doc__
assert stories_subscription.__doc__

NOT_WALKED: dict[Row, str] = {
    row_of(words): because
    for words, because in {
        "C scheduled canceled": "a cycle is scheduled only inside one step: nothing can come between",
        "C scheduled paid": "a cycle is scheduled only inside one step: nothing can come between",
        "S past_due ended_with_time_left": "only Google Play says so; test_play_stories walks it",
        "S on_hold ended_with_time_left": "only Google Play says so; test_play_stories walks it",
        "S inactive resubscribed": "only Google Play says so; test_play_stories walks it",
    }.items()
}
"""Rows that no story can walk, and why. One that is walked after all does not belong here."""


@dataclass
class Told:
    """What became of the stories: failures, and the subscriptions that each had."""

    walked: Walked
    failures: dict[str, BaseException] = field(default_factory=dict)
    subscriptions: dict[str, tuple[str, ...]] = field(default_factory=dict)


async def tell(story: Story, corner: Corner, told: Told) -> None:
    """Tell it to its end; a failure ends no other story."""
    try:
        async with asyncio.timeout(PATIENCE):
            await story.tell(corner)
    except Exception as failure:
        told.failures[story.name] = failure
    finally:
        told.subscriptions[story.name] = tuple(corner.names)
        await corner.leave()


async def tell_together(stories: list[Story], url: str, told: Told) -> None:
    """Tell stories at the same time, on one server."""
    async with servers.time_skipping() as env, open_world(env, url, wait_seconds=RESULT) as world:
        clock = SharedClock(env, await world.now(), len(stories))
        async with asyncio.TaskGroup() as group:
            group.create_task(clock.move())
            for story in stories:
                group.create_task(tell(story, Corner(world, clock), told))


@pytest.fixture(scope="module")
async def told(request: pytest.FixtureRequest, databases: servers.Databases) -> Told:
    """Every story, or those whose tests were chosen."""
    functions = [item for item in request.session.items if isinstance(item, pytest.Function)]
    mine = [item for item in functions if item.path == request.path]
    is_whole = any(item.originalname == test_every_row_is_walked.__name__ for item in mine)
    chosen: list[Story] = (
        STORIES
        if is_whole
        else [s for item in mine if hasattr(item, "callspec") and isinstance(s := item.callspec.params["story"], Story)]
    )
    together = [[s for s in chosen if not s.is_apart]] + [[s] for s in chosen if s.is_apart]
    urls = [await databases.fresh() for _ in together]
    with listening() as walked:
        told = Told(walked)
        async with asyncio.TaskGroup() as group:
            for stories, url in zip(together, urls, strict=True):
                group.create_task(tell_together(stories, url, told))
    for url in urls:
        await databases.drop(url)
    return told


@pytest.mark.parametrize("story", STORIES, ids=lambda s: s.name)
async def test_a_story_walks_its_rows(story: Story, told: Told) -> None:
    if story.name in told.failures:
        raise told.failures[story.name]

    walked = told.walked.by(*told.subscriptions[story.name])

    assert story.rows <= walked, f"not walked: {[str(r) for r in story.rows - walked]}"


async def test_every_row_is_walked(told: Told) -> None:
    walked = told.walked.rows

    assert walked <= all_rows()
    assert sorted(map(str, all_rows() - walked)) == sorted(map(str, NOT_WALKED))
