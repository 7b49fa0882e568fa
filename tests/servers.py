"""Real servers for tests: PostgreSQL, and Temporal's two kinds. All of them end with the run."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import psycopg
from psycopg import sql
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from dunning.stack.places import free_port, program
from dunning.stack.postgres import PostgresServer, postgres_server

__all__ = ["Databases", "PostgresServer", "free_port", "postgres_server", "start_dev_server", "time_skipping"]

_TEMPLATE = "migrated"
TIME_SKIPPING_FLAG = "frontend.WorkflowTimeSkippingEnabled=true"


@dataclass
class Databases:
    """Databases of one server, each a copy of one that was migrated once (about 50 ms each)."""

    server: PostgresServer
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _has_template: bool = False

    async def fresh(self) -> str:
        """The URL of a new database with the ledger's schema and nothing in it."""
        if not self._has_template:
            await self._migrate_template()
        return await self._create(_TEMPLATE)

    async def empty(self) -> str:
        """The URL of a new database without any schema."""
        return await self._create("template1")

    async def drop(self, url: str) -> None:
        """Drop it, whoever is still connected."""
        name = url.rpartition("/")[2]
        await self._execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name)))

    async def _create(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        await self._execute(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        return self.server.url_of(name)

    async def _migrate_template(self) -> None:
        from dunning.ledger import migrate

        await self._execute(sql.SQL("create database {}").format(sql.Identifier(_TEMPLATE)))
        await migrate(self.server.url_of(_TEMPLATE))
        self._has_template = True

    async def _execute(self, statement: sql.Composed) -> None:
        async with await psycopg.AsyncConnection.connect(self.server.url_of(), autocommit=True) as connection:
            await connection.execute(statement)


@asynccontextmanager
async def time_skipping() -> AsyncIterator[WorkflowEnvironment]:
    """The Java server with one virtual clock for all workflows, with our search attributes."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=program("temporal-test-server"), data_converter=pydantic_data_converter
    ) as environment:
        await add_search_attributes(environment.client)
        yield environment


@asynccontextmanager
async def start_dev_server(*settings: str) -> AsyncIterator[WorkflowEnvironment]:
    """The development server in memory, on a free port, without UI, with virtual clocks allowed.

    `settings` are more of the server's own, as `name=value`.
    """
    from dunning.contract import SEARCH_ATTRIBUTES

    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=program("temporal"),
        dev_server_log_level="error",
        dev_server_extra_args=[f"--dynamic-config-value={one}" for one in (TIME_SKIPPING_FLAG, *settings)],
        search_attributes=list(SEARCH_ATTRIBUTES),
        data_converter=pydantic_data_converter,
    ) as environment:
        yield environment


async def add_search_attributes(client: Client) -> None:
    """Register what operators filter by."""
    from dunning.contract import SEARCH_ATTRIBUTES

    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace=client.namespace,
            search_attributes={
                key.name: IndexedValueType.ValueType(key.indexed_value_type) for key in SEARCH_ATTRIBUTES
            },
        ),
        timeout=timedelta(seconds=20),
    )
