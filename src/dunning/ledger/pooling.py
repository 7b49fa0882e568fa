"""Which pooled connections are asked whether they still live before they are used."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

IDLE = 1.0
"""Seconds. One that was used so recently is not asked: that question was a tenth of all round trips of a charge.

Should it have died in that second all the same, the call fails as it does when the database goes away in the middle of
one, and the pool drops every connection it has.
"""

_FREE_SINCE = "dunning_free_since"


def ping_when_idle(engine: AsyncEngine) -> None:
    """Ask a connection that lay idle before it is handed out; a dead one is replaced."""
    dialect = engine.sync_engine.dialect

    def handed_back(_: Any, record: Any) -> None:
        record.info[_FREE_SINCE] = time.monotonic()

    def handed_out(connection: Any, record: Any, _: Any) -> None:
        since = record.info.get(_FREE_SINCE)
        if since is None or time.monotonic() - since < IDLE:
            return
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as dead:
            raise DisconnectionError(str(dead)) from dead

    event.listen(engine.sync_engine, "checkin", handed_back)
    event.listen(engine.sync_engine, "checkout", handed_out)
