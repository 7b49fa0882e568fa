"""Bringing the ledger's schema to this release, and telling whether it is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from dunning.errors import LedgerError

_HERE = Path(__file__).parent / "migrations"
_LOCK = 7_305_022_119
"""One migration at a time over all processes: an advisory lock of this number."""


def migrations_config() -> Config:
    """Alembic's settings: where the migrations are."""
    config = Config()
    config.set_main_option("script_location", str(_HERE))
    return config


def _engine(url: str) -> AsyncEngine:
    return create_async_engine(async_url(url), poolclass=NullPool)


def async_url(url: str) -> str:
    """Any PostgreSQL URL, for SQLAlchemy with psycopg."""
    _, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}"


async def migrate(url: str) -> None:
    """Bring the schema to the newest revision; safe to run from many processes at once.

    Raises:
        LedgerError: the database cannot be reached.
    """
    engine = _engine(url)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("select pg_advisory_xact_lock(:n)"), {"n": _LOCK})
            await connection.run_sync(_upgrade)
    except OSError as failure:
        raise LedgerError(f"the ledger cannot be reached: {failure}") from failure
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = migrations_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


async def is_current(url: str) -> bool:
    """Whether the schema is this release's."""
    engine = _engine(url)
    try:
        async with engine.connect() as connection:
            found: Any = await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())
    finally:
        await engine.dispose()
    return bool(found == ScriptDirectory.from_config(migrations_config()).get_current_head())
