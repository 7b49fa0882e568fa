"""The migrations leave exactly the schema that the code names, from many processes at once. SPEC 13, 18."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from dunning.ledger import is_current, migrate
from dunning.ledger.migrating import async_url
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
