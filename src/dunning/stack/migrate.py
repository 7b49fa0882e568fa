"""`python -m dunning.stack.migrate`: bring the stack's ledger (DUNNING_LEDGER_URL) to this release's schema.

With `DUNNING_SANDBOX_API_KEY`, that key opens the account `demo` from then on: for the example backend of the
development stack, and for nothing else.
"""

from __future__ import annotations

import asyncio
import os

from dunning.ledger import Ledger, migrate
from dunning.settings import load_settings


async def _prepare() -> None:
    url = load_settings(accounts_file=None).ledger_url_async
    await migrate(url)
    key = os.environ.get("DUNNING_SANDBOX_API_KEY")
    if not key:
        return
    ledger = await Ledger.open(url, pool_size=1)
    try:
        await ledger.adopt_key("demo", key, name="example backend")
    finally:
        await ledger.aclose()


def main() -> None:
    """Migrate and end."""
    asyncio.run(_prepare())


if __name__ == "__main__":
    main()
