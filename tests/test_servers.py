"""The servers that tests share are real, and databases are apart from each other."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from tests.servers import Databases

pytestmark = pytest.mark.server


async def test_databases_are_apart_from_each_other(databases: Databases) -> None:
    one, other = await databases.empty(), await databases.empty()
    async with await psycopg.AsyncConnection.connect(one, autocommit=True) as connection:
        await connection.execute("create table t (n int)")

    async with await psycopg.AsyncConnection.connect(other) as connection:
        found = await (await connection.execute("select to_regclass('t')")).fetchone()

    assert found == (None,)
    for url in (one, other):
        await databases.drop(url)


async def test_the_time_skipping_server_knows_our_search_attributes(temporal_env: WorkflowEnvironment) -> None:
    await _takes_our_search_attributes(temporal_env)


async def test_the_development_server_knows_our_search_attributes(dev_server: WorkflowEnvironment) -> None:
    await _takes_our_search_attributes(dev_server)


async def _takes_our_search_attributes(environment: WorkflowEnvironment) -> None:
    """A start with an attribute that is not registered is refused; no worker is needed to see that."""
    from dunning.contract import SEARCH_ATTRIBUTES

    samples = {str: "x", int: 3, bool: True, datetime: datetime(2026, 3, 5, 13, 10, tzinfo=UTC)}
    given = TypedSearchAttributes([SearchAttributePair(key, samples[key.value_type]) for key in SEARCH_ATTRIBUTES])
    handle = await environment.client.start_workflow(
        "NobodyRunsThis", id=f"attributes-{uuid4()}", task_queue="nobody", search_attributes=given
    )

    found = (await handle.describe()).typed_search_attributes

    assert {pair.key.name: pair.value for pair in found} == {pair.key.name: pair.value for pair in given}
    await handle.terminate()


async def test_an_unknown_search_attribute_is_refused(dev_server: WorkflowEnvironment) -> None:
    """Shows that the tests above can fail."""
    unknown = SearchAttributePair(SearchAttributeKey.for_keyword("DunningNope"), "x")

    with pytest.raises(RPCError, match="DunningNope"):
        await dev_server.client.start_workflow(
            "NobodyRunsThis",
            id=f"attributes-{uuid4()}",
            task_queue="nobody",
            search_attributes=TypedSearchAttributes([unknown]),
        )


async def test_a_fresh_database_has_the_ledgers_current_schema(
    fresh_database: Callable[[], Awaitable[str]], databases: Databases
) -> None:
    from dunning.ledger import is_current

    one, other = await fresh_database(), await fresh_database()

    assert one != other
    assert await is_current(one)
    assert not await is_current(databases.server.url_of())
