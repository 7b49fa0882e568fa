"""The house that notices are sent from, and its gateway: built once for each module, swept for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.notices.house import House, Street, street_of
from tests.servers import Databases


@pytest.fixture(scope="module")
async def module_street(databases: Databases) -> AsyncIterator[Street]:
    url = await databases.fresh()
    async with street_of(url) as street:
        yield street
    await databases.drop(url)


@pytest.fixture
async def street(module_street: Street) -> Street:
    await module_street.sweep()
    return module_street


@pytest.fixture
async def house(street: Street) -> House:
    return street
