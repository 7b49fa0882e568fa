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


async def test_the_time_skipping_server_knows_our_search_attributes(
    temporal_env: WorkflowEnvironment,
) -> None:
    await _has_our_search_attributes(temporal_env)


async def test_the_development_server_knows_our_search_attributes(dev_server: WorkflowEnvironment) -> None:
    await _has_our_search_attributes(dev_server)


async def _has_our_search_attributes(environment: WorkflowEnvironment) -> None:
    from dunning.contract import SEARCH_ATTRIBUTES

    known = await environment.client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=environment.client.namespace)
    )

    assert {key.name for key in SEARCH_ATTRIBUTES} <= set(known.custom_attributes)
