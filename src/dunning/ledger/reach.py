"""How a customer may be reached: contacts, what was refused, and addresses that are known to be dead. SPEC 11."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from sqlalchemy import and_, delete, select
from sqlalchemy.dialects.postgresql import insert

from dunning.domain.base import Value
from dunning.domain.contact import NoticeKind
from dunning.domain.terms import Channel, Contacts
from dunning.errors import NotFound
from dunning.ledger.base import Part
from dunning.ledger.schema import contacts, dead_addresses, opt_outs


class Reach(Value):
    """What is known when a notice is sent.

    Attributes:
        refused: what the customer does not want, per channel.
        dead: channels whose present address reaches nobody, with the reason.
    """

    contacts: Contacts
    refused: frozenset[tuple[Channel, NoticeKind]] = frozenset()
    dead: Mapping[Channel, str] = {}

    def why_not(self, channel: Channel, kind: NoticeKind) -> str | None:
        """Why this kind of notice does not go on a channel; None when it may."""
        if self.contacts.reach(channel) is None:
            return "no address, or no consent, for this channel"
        if (channel, kind) in self.refused:
            return f"the customer opted out of {kind.value} notices on this channel"
        return self.dead.get(channel)


class Reaches(Part):
    """Opt-outs and dead addresses. Neither is touched when a backend writes a customer's contacts again."""

    async def reach(self, account: str, customer: str) -> Reach:
        """Everything about reaching a customer; raises `NotFound`."""
        async with self._begin() as connection:
            known = and_(contacts.c.account == account, contacts.c.customer_id == customer)
            row = (await connection.execute(select(contacts.c.contacts).where(known))).first()
            if row is None:
                raise NotFound(f"no customer {customer!r} in account {account!r}")
            found = Contacts.model_validate(row.contacts)
            theirs = and_(opt_outs.c.account == account, opt_outs.c.customer_id == customer)
            refused = (await connection.execute(select(opt_outs.c.channel, opt_outs.c.kind).where(theirs))).all()
            hashes = {_hash(at): channel for channel in Channel if (at := _address(found, channel)) is not None}
            query = select(dead_addresses).where(
                dead_addresses.c.account == account, dead_addresses.c.address_hash.in_(hashes)
            )
            dead = {Channel(row.channel): row.because for row in await connection.execute(query)}
        return Reach(contacts=found, refused=frozenset((Channel(c), NoticeKind(k)) for c, k in refused), dead=dead)

    async def opt_out(self, account: str, customer: str, channel: Channel, kind: NoticeKind, *, source: str) -> None:
        """The customer refuses a kind of notice on a channel; again changes nothing. `source` says who told us."""
        new = insert(opt_outs).values(
            account=account, customer_id=customer, channel=channel.value, kind=kind.value, source=source
        )
        async with self._begin() as connection:
            await connection.execute(new.on_conflict_do_nothing())

    async def opt_in(self, account: str, customer: str, channel: Channel, kind: NoticeKind) -> None:
        """Take an opt-out back."""
        theirs = and_(
            opt_outs.c.account == account,
            opt_outs.c.customer_id == customer,
            opt_outs.c.channel == channel.value,
            opt_outs.c.kind == kind.value,
        )
        async with self._begin() as connection:
            await connection.execute(delete(opt_outs).where(theirs))

    async def mark_dead(self, account: str, customer: str, channel: Channel, because: str) -> None:
        """The customer's present address on a channel reaches nobody; a new address is not meant."""
        address = _address(await self._contacts(account, customer), channel)
        if address is None:
            return
        new = insert(dead_addresses).values(
            account=account, channel=channel.value, address_hash=_hash(address), because=because
        )
        async with self._begin() as connection:
            await connection.execute(new.on_conflict_do_nothing())

    async def mark_alive(self, account: str, customer: str, channel: Channel) -> None:
        """The address works again."""
        address = _address(await self._contacts(account, customer), channel)
        this = and_(
            dead_addresses.c.account == account,
            dead_addresses.c.channel == channel.value,
            dead_addresses.c.address_hash == _hash(address or ""),
        )
        async with self._begin() as connection:
            await connection.execute(delete(dead_addresses).where(this))

    async def customers_with_phone(self, account: str, phone: str) -> list[str]:
        """Ids of the account's customers with this number, in E.164."""
        query = select(contacts.c.customer_id).where(
            contacts.c.account == account, contacts.c.contacts["phone"].astext == phone
        )
        async with self._begin() as connection:
            return [str(row.customer_id) for row in await connection.execute(query)]

    async def _contacts(self, account: str, customer: str) -> Contacts:
        return (await self.reach(account, customer)).contacts


def _address(known: Contacts, channel: Channel) -> str | None:
    return known.email if channel is Channel.EMAIL else known.phone


def _hash(address: str) -> str:
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()
