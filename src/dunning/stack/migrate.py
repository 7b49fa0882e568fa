"""`python -m dunning.stack.migrate`: bring the stack's ledger (DUNNING_LEDGER_URL) to this release's schema.

With `DUNNING_SANDBOX_API_KEY`, that key opens the account `demo` from then on, and one in
`DUNNING_SANDBOX_API_KEY_<ACCOUNT>` that account: for the example backend of the development stack, and for nothing
else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping

from dunning.ledger import Ledger, migrate
from dunning.settings import load_settings

KEY = "DUNNING_SANDBOX_API_KEY"
FIRST = "demo"


def sold_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """The stack's own API keys, by merchant account."""
    named = {
        name.removeprefix(f"{KEY}_").lower(): key for name, key in environment.items() if name.startswith(f"{KEY}_")
    }
    given = environment.get(KEY)
    return {FIRST: given, **named} if given else named


async def _prepare() -> None:
    url = load_settings(accounts_file=None).ledger_url_async
    await migrate(url)
    keys = sold_keys(os.environ)
    if not keys:
        return
    ledger = await Ledger.open(url, pool_size=1)
    try:
        for account, key in keys.items():
            await ledger.adopt_key(account, key, name="example backend")
    finally:
        await ledger.aclose()


def main() -> None:
    """Migrate and end."""
    asyncio.run(_prepare())


if __name__ == "__main__":
    main()
