"""Messages that come at the same time are written at the same time. SPEC 15."""

from __future__ import annotations

import asyncio
from collections import deque

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from dunning.errors import DunningError
from dunning.ledger import Ledger
from dunning.ledger.models import NewMessage

BATCH = 500
"""Messages of one statement, at most."""

ROOM = 1_000
"""Messages that may wait to be written. One more is not accepted: its provider sends it again."""

Waiting = tuple[NewMessage, asyncio.Future[bool]]


class Overfull(DunningError):
    """Too many messages wait to be written."""


class InboxWriter:
    """Puts messages into the inbox, together with those of other requests; each request waits for its own commit.

    One statement is under way at a time; what comes meanwhile is the next one. Nothing runs while nothing waits:
    whoever comes first starts a task, which ends when all is written.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: deque[Waiting] = deque()
        self._task: asyncio.Task[None] | None = None

    async def write(self, message: NewMessage) -> bool:
        """Store one message; returns when it is committed. False: it was known.

        Raises:
            Overfull: there is no room for it.
            SQLAlchemyError: it could not be stored.
        """
        if len(self._waiting) >= ROOM:
            raise Overfull("too many messages wait to be written")
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((message, written))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        return await written

    async def aclose(self) -> None:
        """Returns when everything that was handed in is written, or has failed."""
        while self._task is not None and not self._task.done():
            await asyncio.wait({self._task})

    async def _work(self) -> None:
        while self._waiting:
            await self._write([self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))])

    async def _write(self, batch: list[Waiting]) -> None:
        """All at once; when one of them cannot be stored, one by one, so that it alone fails."""
        failure = await self._try(batch)
        if failure is None:
            return
        for number, one in enumerate(batch):
            if _is_away(failure):
                _fail(batch[number:], failure)  # nor would the others be stored
                return
            own = await self._try([one]) if len(batch) > 1 else failure
            if own is not None:
                _fail([one], own)
                failure = own

    async def _try(self, batch: list[Waiting]) -> Exception | None:
        try:
            new = await self._ledger.receive_many([message for message, _ in batch])
        except Exception as failure:
            return failure
        for message, written in batch:
            is_new = message.identity in new
            new.discard(message.identity)  # the same message a second time in this batch is a repeat
            if not written.done():
                written.set_result(is_new)
        return None


def _is_away(failure: Exception) -> bool:
    """Whether the database itself is the reason. It names a state for what it refuses, deadlocks among it."""
    if not isinstance(failure, DBAPIError):
        return not isinstance(failure, ValueError)
    is_of_connection = isinstance(failure, OperationalError | InterfaceError)
    return is_of_connection and getattr(failure.orig, "sqlstate", None) is None


def _fail(batch: list[Waiting], failure: Exception) -> None:
    for _, written in batch:
        if not written.done():
            written.set_exception(failure)
