"""The servers that tests share are real, and databases are apart from each other."""

from __future__ import annotations

import psycopg
import pytest
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
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


@pytest.mark.parametrize("server", ["temporal_env", "dev_server"])
async def test_temporal_servers_know_our_search_attributes(
    server: str, request: pytest.FixtureRequest
) -> None:
    environment: WorkflowEnvironment = request.getfixturevalue(server)
    from dunning.contract import SEARCH_ATTRIBUTES

    known = await environment.client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=environment.client.namespace)
    )

    assert {key.name for key in SEARCH_ATTRIBUTES} <= set(known.custom_attributes)
