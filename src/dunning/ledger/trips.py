"""Several statements in one round trip to PostgreSQL.

What a charge costs at the ledger is not its statements but the turns between them: each is a message out, a message
back, and a turn of the event loop, and an account's gate is locked meanwhile. A `trip` sends what can be sent together,
the commit too. The server still executes one statement after the other, each with its own view of the data, so a
statement that follows a lock sees what was committed before the lock was ours.

Statements are compiled once, by SQLAlchemy for its own driver, and sent by that driver (psycopg's pipeline mode).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus
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
    driver = await _driver(connection)
    try:
        async with driver.pipeline():
            cursors = [await _sent(driver, call) for call in calls]
            if commit:
                await driver.commit()
        return [await _rows(cursor) for cursor in cursors]
    except psycopg.Error as error:
        raise _wrapped(error) from error


async def lone_trip(connection: AsyncConnection, *calls: Call) -> list[Rows]:
    """A transaction that is one round trip: the server makes one of all statements that it gets together.

    Raises:
        DBAPIError: as SQLAlchemy raises it; nothing is committed then.
    """
    driver = await _driver(connection)
    try:
        await driver.set_autocommit(True)
        try:
            if len(calls) == 1:
                return [await _rows(await _sent(driver, calls[0]))]
            return await trip(connection, *calls)
        finally:
            if driver.info.transaction_status is TransactionStatus.IDLE:
                await driver.set_autocommit(False)
            else:
                await _given_up(connection, driver)
    except psycopg.Error as error:
        raise _wrapped(error) from error


async def _given_up(connection: AsyncConnection, driver: psycopg.AsyncConnection[Any]) -> None:
    """Cancelled in the middle, or the server is gone: nobody shall have this connection again."""
    if driver.closed:
        # SQLAlchemy notices by itself only what it sends by itself; then the pool drops the others too.
        with contextlib.suppress(DBAPIError):
            await connection.exec_driver_sql("select 1")
    await connection.invalidate()


async def _driver(connection: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    raw = await connection.get_raw_connection()
    driver: psycopg.AsyncConnection[Any] = raw.driver_connection  # type: ignore[assignment]
    return driver


async def _sent(driver: psycopg.AsyncConnection[Any], call: Call) -> psycopg.AsyncCursor[Any]:
    cursor = driver.cursor(row_factory=namedtuple_row)
    await cursor.execute(call.text, call.values)
    return cursor


async def _rows(cursor: psycopg.AsyncCursor[Any]) -> Rows:
    return await cursor.fetchall() if cursor.description is not None else []


def _wrapped(error: psycopg.Error) -> BaseException:
    """As SQLAlchemy would raise it; the values are never repeated, they may hold contacts."""
    return DBAPIError.instance(None, None, error, psycopg.Error, hide_parameters=True, dialect=_DIALECT)
