"""The house that notices are sent from."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.notices.house import House, house_of


@pytest.fixture
async def house(ledger_url: str) -> AsyncIterator[House]:
    async with house_of(ledger_url) as house:
        yield house
