"""The ledger owns money and messages: PostgreSQL, one facade. SPEC 1, 13."""

from __future__ import annotations

from typing import Self

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from dunning.ledger.answers import Answers
from dunning.ledger.attempts import Attempts, ClaimLost, Resending
from dunning.ledger.books import Books
from dunning.ledger.diagnoses import Diagnoses
from dunning.ledger.first_prices import FirstPrices
from dunning.ledger.keys import ApiKeys
from dunning.ledger.limits import Limits
from dunning.ledger.messages import Commands, Inbox
from dunning.ledger.migrating import async_url, is_current, migrate
from dunning.ledger.notices import Notices
from dunning.ledger.outbox import Outbox
from dunning.ledger.pages import Pages
from dunning.ledger.pooling import ping_when_idle
from dunning.ledger.reach import Reaches
from dunning.ledger.record import Records
from dunning.ledger.refunds import Refunds
from dunning.ledger.settlements import Settlements
from dunning.ledger.subscriptions import Subscriptions

__all__ = ["ClaimLost", "Ledger", "Limits", "Resending", "is_current", "migrate"]


class Ledger(
    Subscriptions,
    Attempts,
    FirstPrices,
    Refunds,
    Records,
    Commands,
    Inbox,
    Settlements,
    Outbox,
    Notices,
    Reaches,
    ApiKeys,
    Answers,
    Pages,
    Books,
    Diagnoses,
):
    """Everything that is written down. Each method is one transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @classmethod
    async def open(cls, url: str, *, pool_size: int = 10) -> Self:
        """Connect; `pool_size` connections at most, and as long as 10 s of waiting for one."""
        # An error of the database would else repeat what was written, contacts and all, into a log.
        engine = create_async_engine(
            async_url(url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=10,
            hide_parameters=True,
        )
        ping_when_idle(engine)
        return cls(engine)

    async def ping(self) -> None:
        """Raise when the database does not answer."""
        async with self._begin() as connection:
            await connection.execute(text("select 1"))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._engine.dispose()
