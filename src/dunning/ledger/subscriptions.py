"""Subscriptions, their contacts and their snapshots. SPEC 4, 8."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import func

from dunning.domain.tables import SubscriptionStatus
from dunning.domain.terms import Contacts, Subscription, Terms, terms_fingerprint
from dunning.errors import Conflict, NotFound
from dunning.ledger.base import Part
from dunning.ledger.models import Created, Stored
from dunning.ledger.schema import contacts, inbox, snapshots, subscriptions

_RESTARTABLE = (SubscriptionStatus.FAILED.value, SubscriptionStatus.INACTIVE.value)


class Subscriptions(Part):
    """Who owes what, and how to reach them."""

    async def create_subscription(self, subscription: Subscription, *, now: datetime, restart: bool = False) -> Created:
        """Write a subscription and its contacts, before its workflow starts.

        Args:
            now: business time; `created_at` of the document wins.
            restart: begin a failed or inactive one anew, under a higher generation.

        Raises:
            Conflict: the id exists with other terms, or cannot be restarted.
        """
        account, fingerprint = subscription.merchant_account, terms_fingerprint(subscription)
        values = {
            "generation": 1,
            "terms": subscription.terms().model_dump(mode="json"),
            "fingerprint": fingerprint,
            "customer_id": subscription.customer.id,
            "reference": subscription.adopted_reference,
            "status": SubscriptionStatus.REQUIRES_ACTION.value,
            "is_open": True,
            "created_at": subscription.created_at or now,
        }
        async with self._begin() as connection:
            new = insert(subscriptions).values(account=account, id=subscription.id, **values)
            written = await connection.execute(new.on_conflict_do_nothing().returning(subscriptions.c.id))
            if written.first() is not None:
                await _write_contacts(connection, account, subscription.contacts())
                return Created(generation=1, is_new=True)
            row = await _locked(connection, account, subscription.id)
            if not restart:
                if row.fingerprint != fingerprint:
                    raise Conflict(f"id: {subscription.id!r} exists in {account!r} with other terms")
                return Created(generation=row.generation, is_new=False)
            if row.status not in _RESTARTABLE:
                raise Conflict(f"restart: only a failed or inactive subscription begins anew, this is {row.status}")
            values["generation"] = row.generation + 1
            await connection.execute(update(subscriptions).where(_is(account, subscription.id)).values(**values))
            await _write_contacts(connection, account, subscription.contacts())
            return Created(generation=row.generation + 1, is_new=True)

    async def read_subscription(self, account: str, subscription: str) -> Stored:
        """One subscription with its latest snapshot; raises `NotFound`."""
        joined = subscriptions.outerjoin(
            snapshots,
            and_(
                snapshots.c.account == subscriptions.c.account,
                snapshots.c.subscription == subscriptions.c.id,
                snapshots.c.generation == subscriptions.c.generation,
            ),
        )
        query = select(subscriptions, snapshots.c.state).select_from(joined).where(_is(account, subscription))
        async with self._begin() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFound(f"no subscription {subscription!r} in account {account!r}")
        return stored_subscription(row, row.state)

    async def list_subscriptions(
        self, account: str, *, status: str | None = None, after: str | None = None, limit: int = 100
    ) -> list[Stored]:
        """Subscriptions of an account by id, without their snapshots."""
        query = select(subscriptions).where(subscriptions.c.account == account)
        if status is not None:
            query = query.where(subscriptions.c.status == status)
        if after is not None:
            query = query.where(subscriptions.c.id > after)
        async with self._begin() as connection:
            rows = await connection.execute(query.order_by(subscriptions.c.id).limit(limit))
            return [stored_subscription(row, None) for row in rows]

    async def open_subscriptions(self, account: str) -> list[tuple[str, int]]:
        """(id, generation) of everything that the ledger says is open: each must have a run. SPEC 8."""
        query = select(subscriptions.c.id, subscriptions.c.generation).where(
            subscriptions.c.account == account, subscriptions.c.is_open
        )
        async with self._begin() as connection:
            return [(row.id, row.generation) for row in await connection.execute(query)]

    async def set_reference(self, account: str, subscription: str, reference: str) -> None:
        """Remember the provider's id."""
        async with self._begin() as connection:
            await connection.execute(
                update(subscriptions).where(_is(account, subscription)).values(reference=reference)
            )

    async def find_subscription(self, account: str, reference: str) -> str | None:
        """Our id for a provider's id."""
        query = select(subscriptions.c.id).where(
            subscriptions.c.account == account, subscriptions.c.reference == reference
        )
        async with self._begin() as connection:
            row = (await connection.execute(query)).first()
        return row.id if row is not None else None

    async def has_subscription(self, account: str, subscription: str) -> bool:
        """Whether the ledger knows it."""
        async with self._begin() as connection:
            found = await connection.execute(select(subscriptions.c.id).where(_is(account, subscription)))
            return found.first() is not None

    async def contacts(self, account: str, customer: str) -> Contacts:
        """How to reach a customer; raises `NotFound`."""
        query = select(contacts.c.contacts).where(contacts.c.account == account, contacts.c.customer_id == customer)
        async with self._begin() as connection:
            row = (await connection.execute(query)).first()
        if row is None:
            raise NotFound(f"no customer {customer!r} in account {account!r}")
        return Contacts.model_validate(row.contacts)

    async def has_undrained_inbox(self, account: str, subscription: str) -> bool:
        """Whether a message for the subscription has not been signalled yet, or one that may turn out to be for it."""
        is_for_it = or_(inbox.c.subscription == subscription, inbox.c.to_settle.is_not(None))
        query = select(inbox.c.id).where(inbox.c.account == account, is_for_it, inbox.c.signalled_at.is_(None))
        async with self._begin() as connection:
            return (await connection.execute(query.limit(1))).first() is not None


def _is(account: str, subscription: str) -> Any:
    return and_(subscriptions.c.account == account, subscriptions.c.id == subscription)


async def _locked(connection: AsyncConnection, account: str, subscription: str) -> Row[Any]:
    query = select(subscriptions).where(_is(account, subscription)).with_for_update()
    return (await connection.execute(query)).one()


async def _write_contacts(connection: AsyncConnection, account: str, given: Contacts) -> None:
    values = {"contacts": given.model_dump(mode="json"), "updated_at": func.clock_timestamp()}
    upsert = insert(contacts).values(account=account, customer_id=given.id, **values)
    await connection.execute(upsert.on_conflict_do_update(index_elements=["account", "customer_id"], set_=values))


def stored_subscription(row: Row[Any], state: dict[str, Any] | None) -> Stored:
    """A row of the table, and the state of its snapshot, as a value."""
    return Stored(
        account=row.account,
        id=row.id,
        generation=row.generation,
        terms=Terms.model_validate(row.terms),
        customer_id=row.customer_id,
        reference=row.reference,
        status=row.status,
        is_open=row.is_open,
        created_at=row.created_at,
        snapshot=state,
    )
