"""The list of stories: what happens, and which rows of the state tables it has to walk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.workflows.walking import Row, row_of
from tests.workflows.world import World

Tell = Callable[[World], Awaitable[None]]


@dataclass(frozen=True)
class Story:
    """One story, and rows that its subscriptions must have walked at its end.

    `is_apart`: it looks at a charge that is under way, so it needs a server where nobody else works meanwhile.
    """

    name: str
    tell: Tell
    rows: frozenset[Row]
    is_apart: bool = False


STORIES: list[Story] = []


def walks(*rows: str, is_apart: bool = False) -> Callable[[Tell], Tell]:
    """Register a story under its function's name. A row is `S active cancel` or `C retrying paid`."""

    def register(tell: Tell) -> Tell:
        name = getattr(tell, "__name__", "story")
        STORIES.append(Story(name, tell, frozenset(row_of(row) for row in rows), is_apart))
        return tell

    return register
