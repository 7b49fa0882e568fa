"""The migrations leave exactly the schema that the code names, from many processes at once. SPEC 13, 18."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from dunning.ledger import is_current, migrate
from dunning.ledger.migrating import async_url, migrations_config
from dunning.ledger.schema import metadata
from tests.servers import Databases

pytestmark = pytest.mark.server


@pytest.fixture
async def empty_url(databases: Databases) -> AsyncIterator[str]:
    url = await databases.empty()
    yield url
    await databases.drop(url)


def differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, metadata))


async def compared(url: str) -> list[Any]:
    engine = create_async_engine(async_url(url))
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(differences)
    finally:
        await engine.dispose()


async def test_an_empty_database_differs_and_a_migrated_one_does_not(empty_url: str) -> None:
    assert len(await compared(empty_url)) >= len(metadata.tables)
    assert not await is_current(empty_url)
    await migrate(empty_url)
    assert await compared(empty_url) == []
    assert await is_current(empty_url)


async def test_migrating_again_and_from_many_at_once_changes_nothing(empty_url: str) -> None:
    await asyncio.gather(*(migrate(empty_url) for _ in range(6)))
    await migrate(empty_url)
    assert await compared(empty_url) == []


SHAPE = {
    "columns": """
        select table_name, column_name, data_type, is_nullable, column_default, is_identity, identity_generation
        from information_schema.columns where table_schema = 'public' and table_name <> 'alembic_version'
    """,
    "indexes": """
        select tablename, indexname, indexdef from pg_indexes
        where schemaname = 'public' and tablename <> 'alembic_version'
    """,
    "constraints": """
        select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
        where connamespace = 'public'::regnamespace and conrelid <> 0 and conrelid::regclass::text <> 'alembic_version'
    """,
}
"""What Alembic's comparison leaves out: the conditions of partial indexes, and defaults as the database keeps them."""


def shape(connection: Connection) -> dict[str, set[tuple[Any, ...]]]:
    return {what: {tuple(row) for row in connection.execute(text(query))} for what, query in SHAPE.items()}


async def shape_of(url: str, *, create_models: bool) -> dict[str, set[tuple[Any, ...]]]:
    engine = create_async_engine(async_url(url))
    try:
        async with engine.begin() as connection:
            if create_models:
                await connection.run_sync(metadata.create_all)
            return await connection.run_sync(shape)
    finally:
        await engine.dispose()


async def test_the_migrations_leave_what_the_models_would_create_to_the_last_index_and_default(
    empty_url: str, ledger_url: str
) -> None:
    migrated = await shape_of(ledger_url, create_models=False)
    created = await shape_of(empty_url, create_models=True)
    assert {name for name, *_ in migrated["columns"]} == set(metadata.tables)
    assert any("WHERE" in definition for *_, definition in migrated["indexes"])
    assert migrated == created


async def test_a_ledger_can_be_taken_down_by_the_way_it_came(empty_url: str) -> None:
    await migrate(empty_url)
    engine = create_async_engine(async_url(empty_url))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(downgraded)
            left = await connection.run_sync(shape)
    finally:
        await engine.dispose()
    assert left == {"columns": set(), "indexes": set(), "constraints": set()}


def downgraded(connection: Connection) -> None:
    config = migrations_config()
    config.attributes["connection"] = connection
    command.downgrade(config, "base")


def test_no_migration_reads_the_models_which_change_after_it() -> None:
    scripts = list(ScriptDirectory.from_config(migrations_config()).walk_revisions())
    assert scripts
    for script in scripts:
        assert "dunning" not in imports_of(Path(script.path)), script.revision


def imports_of(path: Path) -> set[str]:
    """The packages that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module.partition(".")[0])
    return found
