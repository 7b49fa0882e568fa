"""One development stack for the tests of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.on_the_stack import House, open_house


@pytest.fixture(scope="package")
async def house() -> AsyncIterator[House]:
    async with open_house() as opened:
        yield opened
