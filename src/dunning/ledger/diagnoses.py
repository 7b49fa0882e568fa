"""What `dunning doctor` reads: messages that were refused, and what the provider would not take of us. SPEC 12."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import and_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql import func

from dunning.domain.base import Value
from dunning.domain.declines import DeclineClass
from dunning.domain.messages import EventType
from dunning.domain.page import ON_PAGE
from dunning.ledger.base import Part
from dunning.ledger.schema import attempts, outbox, refused_messages

LATELY = timedelta(days=7)
MOST = 5


class Refusal(Value):
    """Messages of one account that were refused for one reason. Instants are the database's clock."""

    because: str
    count: int
    first_at: datetime
    last_at: datetime


class Fault(Value):
    """What the provider would not take, by its own code; `message` holds its words and what can be done."""

    code: str
    message: str
    count: int


class Diagnoses(Part):
    """Why it does not work."""

    async def note_refusal(self, account: str, because: str, count: int = 1) -> None:
        """Count messages that were refused for this reason."""
        row = insert(refused_messages).values(account=account, because=because, count=count)
        counted = row.on_conflict_do_update(
            index_elements=["account", "because"],
            set_={"count": refused_messages.c.count + count, "last_at": func.clock_timestamp()},
        )
        async with self._begin() as connection:
            await connection.execute(counted)

    async def refusals(self, account: str) -> list[Refusal]:
        """What was refused lately, the latest reason first."""
        wanted = and_(
            refused_messages.c.account == account, refused_messages.c.last_at > func.clock_timestamp() - LATELY
        )
        query = select(refused_messages).where(wanted).order_by(refused_messages.c.last_at.desc())
        async with self._begin() as connection:
            rows = (await connection.execute(query)).mappings()
            return [Refusal.model_validate({name: row[name] for name in Refusal.model_fields}) for row in rows]

    async def last_sent_at(self, account: str) -> datetime | None:
        """When the provider was last asked for a payment (machine clock); a page that waits for its payer is none."""
        asked = and_(attempts.c.account == account, attempts.c.method != ON_PAGE)
        query = select(func.max(attempts.c.sent_at)).where(asked)
        async with self._begin() as connection:
            found: datetime | None = (await connection.execute(query)).scalar_one()
        return found

    async def merchant_faults(self, account: str) -> list[Fault]:
        """Charges that the provider refused lately because something is set up wrongly, by code."""
        wanted = and_(
            attempts.c.account == account,
            attempts.c.decline_class == DeclineClass.MERCHANT.value,
            attempts.c.recorded_at > func.clock_timestamp() - LATELY,
        )
        said = func.coalesce(func.max(attempts.c.outcome["message"].astext), "")
        code = func.coalesce(attempts.c.raw_code, "no code")
        query = select(code, said, func.count()).where(wanted).group_by(code).order_by(func.count().desc()).limit(MOST)
        async with self._begin() as connection:
            return [Fault(code=row[0], message=row[1], count=row[2]) for row in await connection.execute(query)]

    async def refused_mandates(self, account: str) -> list[Fault]:
        """Authorisations that the provider would not make lately, by what was told of them."""
        what = outbox.c.data["what"].astext
        wanted = and_(
            outbox.c.account == account,
            outbox.c.type == EventType.ATTENTION.value,
            outbox.c.recorded_at > func.clock_timestamp() - LATELY,
            what.startswith("the mandate could not be created: ", autoescape=True),
        )
        query = select(what, func.count()).where(wanted).group_by(what).order_by(func.count().desc()).limit(MOST)
        async with self._begin() as connection:
            rows = await connection.execute(query)
            return [Fault(code="mandate", message=row[0], count=row[1]) for row in rows]
