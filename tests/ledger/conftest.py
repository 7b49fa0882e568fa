"""An open ledger over a database of the test's own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dunning.ledger import Ledger
from tests.ledger.till import Till


@pytest.fixture
async def till(ledger_url: str) -> AsyncIterator[Till]:
    ledger = await Ledger.open(ledger_url, pool_size=12)
    yield Till(ledger, ledger_url)
    await ledger.aclose()
