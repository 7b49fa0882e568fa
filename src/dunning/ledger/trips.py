"""Several statements in one round trip to PostgreSQL.

What a charge costs at the ledger is not its statements but the turns between them: each is a message out, a message
back, and a turn of the event loop, and an account's gate is locked meanwhile. A `trip` sends what can be sent together,
the commit too. The server still executes one statement after the other, each with its own view of the data, so a
statement that follows a lock sees what was committed before the lock was ours.

Statements are compiled once, by SQLAlchemy for its own driver, and sent by that driver (psycopg's pipeline mode).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row
from sqlalchemy import ClauseElement, Row
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.compiler import SQLCompiler

_DIALECT = PGDialect_psycopg()  # type: ignore[no-untyped-call]

Rows = list[Row[Any]]
"""Named tuples; what reads them needs no more of a row than its names."""


class Call(NamedTuple):
    """A statement as the driver takes it, with its values."""

    text: str
    values: dict[str, Any]


class Statement:
    """A statement that is built and compiled once; called with the values of its parameters."""

    def __init__(self, clause: ClauseElement) -> None:
        compiled = clause.compile(dialect=_DIALECT)
        if not isinstance(compiled, SQLCompiler):
            raise TypeError(f"no statement with parameters: {clause!r}")
        self._text = str(compiled)
        self._fixed: dict[str, Any] = {}
        self._given: list[tuple[str, Callable[[Any], Any] | None]] = []
        for name, value in compiled.params.items():
            bind = compiled.binds[name]
            process = bind.type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
            if bind.required:
                self._given.append((name, process))
            else:
                self._fixed[name] = process(value) if process is not None else value

    def __call__(self, **values: Any) -> Call:
        """Bind it. Raises `KeyError` when a value is missing."""
        bound = {name: values[name] if make is None else make(values[name]) for name, make in self._given}
        return Call(self._text, {**self._fixed, **bound})


async def trip(connection: AsyncConnection, *calls: Call, commit: bool = False) -> list[Rows]:
    """Send statements together; the rows of each. `commit` ends the transaction in the same round trip.

    Raises:
        DBAPIError: as SQLAlchemy raises it; nothing of the trip is committed then.
    """
    raw = await connection.get_raw_connection()
    driver: psycopg.AsyncConnection[Any] = raw.driver_connection  # type: ignore[assignment]
    try:
        async with driver.pipeline():
            cursors = [driver.cursor(row_factory=namedtuple_row) for _ in calls]
            for cursor, call in zip(cursors, calls, strict=True):
                await cursor.execute(call.text, call.values)
            if commit:
                await driver.commit()
        return [await cursor.fetchall() if cursor.description is not None else [] for cursor in cursors]  # type: ignore[misc]
    except psycopg.Error as error:
        raise _wrapped(error) from error


def _wrapped(error: psycopg.Error) -> BaseException:
    """As SQLAlchemy would raise it; the values are never repeated, they may hold contacts."""
    return DBAPIError.instance(None, None, error, psycopg.Error, hide_parameters=True, dialect=_DIALECT)
