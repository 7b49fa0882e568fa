"""Fixtures that many tests share. A server is started when the first test asks for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
from temporalio.testing import WorkflowEnvironment

from tests import events, servers


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI a test that starts real servers is run a second time when it fails. Decision 0011."""
    if "CI" not in os.environ:
        return
    for item in items:
        if item.get_closest_marker("server") is not None:
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session", autouse=True)
def _promises() -> Iterator[None]:
    """Every event that the machine emits in any test is what the catalogue promises. SPEC 10."""
    with events.checked_steps():
        yield


@pytest.fixture(scope="session")
async def databases() -> AsyncIterator[servers.Databases]:
    """Databases of one private PostgreSQL."""
    async with servers.postgres_server() as server:
        yield servers.Databases(server)


@pytest.fixture(scope="session")
def postgres_url(databases: servers.Databases) -> str:
    """The URL of the server's own database; tests that write take `ledger_url`."""
    return databases.server.url_of()


@pytest.fixture
async def fresh_database(databases: servers.Databases) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """`await fresh_database()` gives the URL of a new migrated database; it is dropped after the test."""
    made: list[str] = []

    async def fresh() -> str:
        made.append(await databases.fresh())
        return made[-1]

    yield fresh
    try:
        for url in made:
            await events.require_promised(url)
    finally:
        for url in made:
            await databases.drop(url)


@pytest.fixture
async def ledger_url(fresh_database: Callable[[], Awaitable[str]]) -> str:
    """The URL of a new migrated database of this test's own."""
    return await fresh_database()


@pytest.fixture(scope="module")
async def temporal_env() -> AsyncIterator[WorkflowEnvironment]:
    """The time-skipping server of one module: what a test leaves running there holds its clock for nobody else."""
    async with servers.time_skipping() as environment:
        yield environment


@pytest.fixture(scope="session")
async def dev_server() -> AsyncIterator[WorkflowEnvironment]:
    """The development server: search attributes, lists, races, virtual clocks per workflow."""
    async with servers.start_dev_server() as environment:
        yield environment


@pytest.fixture
def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    return servers.free_port()
