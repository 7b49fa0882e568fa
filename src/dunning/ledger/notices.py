"""Notices by channel: claimed before sending, settled after, and what the channel said later. SPEC 11.

A status only rises: planned, sending, unclear, sent, delivered, read. `failed` ends it, unless the message turns out
to have arrived on another device of the customer. Words of a channel may come twice and in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from dunning.domain.base import Value
from dunning.domain.contact import free_from
from dunning.ledger.base import Part, machine_now
from dunning.ledger.limits import lock_customer
from dunning.ledger.models import StoredNotice
from dunning.ledger.schema import attempts, notices

NOTICE_LEASE = timedelta(seconds=120)
REACHED = ("sent", "delivered", "read")
_RANK = {"planned": 0, "sending": 0, "unclear": 0, "failed": 1, "sent": 1, "delivered": 2, "read": 3}
_CAPS_WINDOW = timedelta(days=8)


class NoticeToClaim(Value):
    """One notice on one channel, to be sent now.

    Attributes:
        business_at: business now.
        time_zone: the customer's, whose days the caps count.
        is_exempt: a charge waits for it; caps do not hold it back.
    """

    account: str
    subscription: str
    key: str
    channel: str
    customer: str
    occasion: str
    planned_at: datetime
    because: str
    business_at: datetime
    time_zone: str = "UTC"
    is_exempt: bool = False


class NoticeClaim(Value):
    """The right to send one notice on one channel.

    Attributes:
        is_repeat: it may have been sent before.
        tries: how often it was claimed, this time included.
        wait_until: business time; not before then. `status` `full`: because of the caps.
    """

    is_ours: bool
    is_repeat: bool = False
    status: str = ""
    outcome: str | None = None
    tries: int = 0
    wait_until: datetime | None = None


class Undelivered(Value):
    """What a channel's refusal after acceptance leads to.

    Attributes:
        at: business time of the next step for this notice.
        is_final: this channel is given up; else it is tried again then.
    """

    subscription: str
    key: str
    at: datetime
    is_final: bool


class Notices(Part):
    """What customers were told, and by whom it was heard."""

    async def claim_notice(self, asked: NoticeToClaim) -> NoticeClaim:
        """Claim one; what is settled, is being sent elsewhere, has to wait or is too much is not ours.

        The customer's gate is locked first: two subscriptions cannot both take the last free place of a day.
        """
        async with self._begin() as connection:
            await lock_customer(connection, asked.account, asked.customer)
            row = await _row_for(connection, asked)
            now = await machine_now(connection)
            is_live = row.lease_until is not None and row.lease_until > now
            waits = row.wait_until is not None and row.wait_until > asked.business_at
            if row.status not in ("planned", "sending") or is_live or waits:
                return NoticeClaim(
                    is_ours=False, status=row.status, outcome=row.outcome, tries=row.tries, wait_until=row.wait_until
                )
            free = None if asked.is_exempt else await _free_from(connection, asked)
            if free is not None:
                return NoticeClaim(is_ours=False, status="full", wait_until=free)
            values = {
                "status": "sending",
                "lease_until": now + NOTICE_LEASE,
                "tries": row.tries + 1,
                "customer_id": asked.customer,
                "business_at": asked.business_at,
                "is_exempt": asked.is_exempt,
                "wait_until": None,
            }
            this = _notice(asked.account, asked.subscription, asked.key, asked.channel)
            await connection.execute(update(notices).where(this).values(**values))
            is_repeat = row.status == "sending"
            return NoticeClaim(is_ours=True, is_repeat=is_repeat, status="sending", tries=row.tries + 1)

    async def settle_notice(
        self,
        account: str,
        subscription: str,
        key: str,
        channel: str,
        *,
        status: str,
        outcome: str,
        provider_id: str | None = None,
        wait_until: datetime | None = None,
    ) -> str:
        """What became of it; `planned` puts it back for another try. Returns the status that it has then.

        The channel may have said more in the meantime: that stands.
        """
        values: dict[str, Any] = {
            "status": status, "outcome": outcome, "lease_until": None, "wait_until": wait_until,
        }  # fmt: skip
        if provider_id is not None:
            values["provider_id"] = provider_id
        if status == "sent":
            values["sent_at"] = func.clock_timestamp()
        this = _notice(account, subscription, key, channel)
        async with self._begin() as connection:
            ours = and_(this, notices.c.status.in_(("planned", "sending")))
            await connection.execute(update(notices).where(ours).values(**values))
            found = await connection.execute(select(notices.c.status).where(this))
            return str(found.scalar_one())

    async def has_paid(self, account: str, subscription: str, generation: int, obligation: str) -> bool:
        """Whether an attempt at this obligation is settled as paid: what tells of its failure is untrue then."""
        query = select(attempts.c.key).where(
            attempts.c.account == account,
            attempts.c.subscription == subscription,
            attempts.c.generation == generation,
            attempts.c.obligation == obligation,
            attempts.c.outcome["kind"].astext == "succeeded",
        )
        async with self._begin() as connection:
            return (await connection.execute(query.limit(1))).first() is not None

    async def note_arrival(
        self, account: str, *, message_id: str, place: tuple[str, str] | None, channel: str, status: str, at: datetime
    ) -> bool:
        """The channel says `sent`, `delivered` or `read`; false when no notice is meant. `at` is its clock.

        Args:
            place: subscription and notice key, where the message carried them: the row may not have the channel's
                id yet, or never get it.
        """
        async with self._begin() as connection:
            row = await _meant(connection, account, message_id, place, channel)
            if row is None:
                return False
            if row.status not in _RANK or _RANK[status] <= _RANK[row.status]:
                return True
            if status == "sent" and row.status == "planned":
                return True  # late word of a message that failed since
            values: dict[str, Any] = {
                "status": status, "provider_id": message_id, "lease_until": None, "wait_until": None,
                "sent_at": func.coalesce(notices.c.sent_at, func.clock_timestamp()),
                "outcome": f"{status}, as the channel says",
            }  # fmt: skip
            if status != "sent":
                values[f"{status}_at"] = at
            this = _notice(account, row.subscription, row.key, row.channel)
            await connection.execute(update(notices).where(this).values(**values))
            return True

    async def note_failure(
        self,
        account: str,
        *,
        message_id: str,
        place: tuple[str, str] | None,
        channel: str,
        because: str,
        at: datetime,
        waits: Sequence[timedelta] = (),
    ) -> Undelivered | None:
        """The channel says that an accepted message did not arrive; None when nothing follows.

        Args:
            waits: before the second, third, ... try on the same channel; none left ends it there.
            at: the channel's clock.
        """
        async with self._begin() as connection:
            row = await _meant(connection, account, message_id, place, channel)
            if row is None or row.status not in ("sending", "sent", "unclear", "failed", "planned"):
                return None
            if row.provider_id not in (None, message_id):
                return None  # an earlier message of a notice that was sent again
            now = _business_now(row, await machine_now(connection))
            this = _notice(account, row.subscription, row.key, row.channel)
            if row.status in ("failed", "planned"):
                # A repeat: the same follows, should the first have been lost on its way.
                if row.failed_at is None:
                    return None
                is_final = row.status == "failed"
                return Undelivered(
                    subscription=row.subscription, key=row.key, at=row.wait_until or now, is_final=is_final
                )
            wait = waits[row.tries - 1] if row.tries <= len(waits) else None
            values: dict[str, Any] = {
                "status": "failed" if wait is None else "planned",
                "outcome": because,
                "provider_id": message_id,
                "failed_at": at,
                "lease_until": None,
                "wait_until": None if wait is None else now + wait,
            }
            await connection.execute(update(notices).where(this).values(**values))
            return Undelivered(
                subscription=row.subscription, key=row.key, at=now + (wait or timedelta()), is_final=wait is None
            )

    async def find_notice(
        self, account: str, *, message_id: str, place: tuple[str, str] | None, channel: str
    ) -> tuple[str, str] | None:
        """Subscription and key of the notice that a channel's message was for."""
        async with self._begin() as connection:
            row = await _meant(connection, account, message_id, place, channel)
        return (row.subscription, row.key) if row is not None else None

    async def other_channels(self, account: str, subscription: str, key: str, channel: str) -> dict[str, str]:
        """The status of a notice on its other channels."""
        rows = await self.notices_of(account, subscription)
        return {row.channel: row.status for row in rows if row.key == key and row.channel != channel}

    async def notices_of(self, account: str, subscription: str) -> list[StoredNotice]:
        """Every notice of a subscription, by planned instant."""
        query = (
            select(notices)
            .where(notices.c.account == account, notices.c.subscription == subscription)
            .order_by(notices.c.planned_at, notices.c.key, notices.c.channel)
        )
        names = StoredNotice.model_fields
        async with self._begin() as connection:
            rows = (await connection.execute(query)).all()
        return [StoredNotice(**{name: getattr(row, name) for name in names}) for row in rows]

    async def customer_of(self, account: str, subscription: str, key: str, channel: str) -> str | None:
        """Whom a notice was sent to."""
        query = select(notices.c.customer_id).where(_notice(account, subscription, key, channel))
        async with self._begin() as connection:
            return (await connection.execute(query)).scalar_one_or_none()


async def _row_for(connection: AsyncConnection, asked: NoticeToClaim) -> Row[Any]:
    new = insert(notices).values(
        account=asked.account, subscription=asked.subscription, key=asked.key, channel=asked.channel,
        occasion=asked.occasion, planned_at=asked.planned_at, status="planned", because=asked.because,
    )  # fmt: skip
    await connection.execute(new.on_conflict_do_nothing())
    this = _notice(asked.account, asked.subscription, asked.key, asked.channel)
    return (await connection.execute(select(notices).where(this).with_for_update())).one()


async def _free_from(connection: AsyncConnection, asked: NoticeToClaim) -> datetime | None:
    """What the customer got on this channel of all subscriptions decides. SPEC 11."""
    this = _notice(asked.account, asked.subscription, asked.key, asked.channel)
    query = select(notices.c.business_at).where(
        notices.c.account == asked.account,
        notices.c.customer_id == asked.customer,
        notices.c.channel == asked.channel,
        notices.c.business_at.between(asked.business_at - _CAPS_WINDOW, asked.business_at + _CAPS_WINDOW),
        notices.c.status.in_(("sending", "unclear", *REACHED)),
        notices.c.is_exempt.is_(False),
        ~this,
    )
    told = [row.business_at for row in await connection.execute(query)]
    return free_from(told, asked.business_at, asked.time_zone)


async def _meant(
    connection: AsyncConnection, account: str, message_id: str, place: tuple[str, str] | None, channel: str
) -> Row[Any] | None:
    """The row that a message of the channel is about: by the channel's id, or by what we gave it to carry."""
    by_id = notices.c.provider_id == message_id
    meant = by_id if place is None else or_(by_id, and_(notices.c.subscription == place[0], notices.c.key == place[1]))
    query = select(notices).where(notices.c.account == account, notices.c.channel == channel, meant)
    return (await connection.execute(query.limit(1).with_for_update())).first()


def _business_now(row: Row[Any], now: datetime) -> datetime:
    """Business time of a word about a message: as long after its sending as the machine clock says."""
    business_at: datetime = row.business_at or row.planned_at
    return business_at if row.sent_at is None else business_at + max(now - row.sent_at, timedelta())


def _notice(account: str, subscription: str, key: str, channel: str) -> Any:
    return and_(
        notices.c.account == account,
        notices.c.subscription == subscription,
        notices.c.key == key,
        notices.c.channel == channel,
    )
