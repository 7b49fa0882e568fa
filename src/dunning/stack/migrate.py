"""`python -m dunning.stack.migrate`: bring the ledger at DUNNING_LEDGER_URL to this release's schema."""

from __future__ import annotations

import asyncio

from dunning.ledger import migrate
from dunning.settings import load_settings


def main() -> None:
    """Migrate and end."""
    asyncio.run(migrate(load_settings(accounts_file=None).ledger_url_async))


if __name__ == "__main__":
    main()
