"""A gateway with one subscription that the ledger knows."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.gateway.house import House, open_house


@pytest.fixture
async def house(ledger_url: str) -> AsyncIterator[House]:
    async with open_house(ledger_url) as found:
        await found.subscribe()
        yield found
