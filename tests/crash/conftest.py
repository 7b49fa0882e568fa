"""One stack for the tests that kill workers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dunning.stack import Stack


@pytest.fixture(scope="package")
async def stack() -> AsyncIterator[Stack]:
    async with Stack.start(["temporal", "postgres", "migrate", "mail", "sandbox", "gateway"]) as started:
        yield started
