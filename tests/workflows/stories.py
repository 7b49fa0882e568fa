"""The list of stories: what happens, and which rows of the state tables it has to walk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.workflows.world import World

Tell = Callable[[World], Awaitable[None]]


@dataclass(frozen=True)
class Story:
    """One story; `rows` are written `cycle retrying paid`."""

    name: str
    tell: Tell
    rows: frozenset[str]


STORIES: list[Story] = []


def walks(*rows: str) -> Callable[[Tell], Tell]:
    """Register a story under its function's name. A row is `S active cancel` or `C retrying paid`."""
    words = {"S": "subscription", "C": "cycle"}

    def register(tell: Tell) -> Tell:
        named = frozenset(f"{words[row[0]]}{row[1:]}" for row in rows)
        STORIES.append(Story(name=getattr(tell, "__name__", "story"), tell=tell, rows=named))
        return tell

    return register
