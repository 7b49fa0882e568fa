"""Holding every event that a test brings about against the catalogue: what is promised is what is sent. SPEC 10."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from dunning.domain.event_catalogue import check_event
from dunning.domain.step import Applied, Step


@contextmanager
def checked_steps() -> Iterator[None]:
    """While it lasts, an event of the machine that breaks its promise fails the test that it happens in."""
    done = Step.done

    def checked(self: Step) -> Applied:
        applied = done(self)
        for event in applied.events:
            check_event(event.type.value, event.data)
        return applied

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Step, "done", checked)
        yield


async def require_promised(url: str) -> None:
    """Every event in a ledger is as promised; a ledger that a test broke or never migrated has none."""
    query = "select type, data from outbox"
    try:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            rows = await (await connection.execute(query)).fetchall()
    except psycopg.errors.UndefinedTable:
        return
    for type_, data in rows:
        check_event(type_, data)
