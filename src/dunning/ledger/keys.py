"""Keys of merchant accounts for the HTTP API. Only hashes are kept. SPEC 18.

A key reads `dnk_{id}_{secret}`: the id finds its row, the secret is compared by its hash in constant time. The secret
has 192 random bits, so a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, insert, or_, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.sql import func

from dunning.domain.base import Value
from dunning.errors import Conflict, NotFound
from dunning.ledger.base import Part, machine_now
from dunning.ledger.schema import api_keys

_FORM = re.compile(r"^dnk_(?P<id>[0-9a-f]{12})_(?P<secret>[0-9a-f]{48})$")
_USE_IS_NOTED_EVERY = timedelta(minutes=1)


class ApiKey(Value):
    """One key, without its secret. Instants are the database's clock."""

    id: str
    account: str
    name: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        """Whether it opens anything at `now` (machine clock)."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class NewKey(Value):
    """A key just made. `text` is shown once: it can never be read again."""

    key: ApiKey
    text: str


class ApiKeys(Part):
    """Who may use the HTTP API, and for which merchant account."""

    async def create_key(self, account: str, *, name: str, expires_after: timedelta | None = None) -> NewKey:
        """Make a key for a merchant account."""
        async with self._begin() as connection:
            now = await machine_now(connection)
            return await _insert(connection, account, name, now + expires_after if expires_after else None)

    async def adopt_key(self, account: str, text: str, *, name: str) -> None:
        """Let a key in whose text is known already; for development stacks. Again changes nothing.

        Raises:
            Conflict: the text is no key.
        """
        form = _FORM.match(text)
        if form is None:
            raise Conflict("this is not the text of a key")
        new = postgresql_insert(api_keys).values(id=form["id"], account=account, name=name, hash=_hash(form["secret"]))
        async with self._begin() as connection:
            await connection.execute(new.on_conflict_do_nothing())

    async def rotate_key(self, key_id: str, *, overlap: timedelta) -> NewKey:
        """Make its successor; the old one works for `overlap` more, and never longer than it would have.

        Raises:
            NotFound: there is no such key.
            Conflict: it works no more, so it has no successor.
        """
        async with self._begin() as connection:
            now = await machine_now(connection)
            query = select(api_keys).where(api_keys.c.id == key_id).with_for_update()
            row = (await connection.execute(query)).first()
            if row is None:
                raise NotFound(f"no key {key_id!r}")
            old = _key(row)
            if not old.is_valid(now):
                raise Conflict(f"key {key_id!r} was revoked or has expired: create a new one")
            lifetime = old.expires_at - old.created_at if old.expires_at is not None else None
            ends = now + overlap
            ends = min(ends, old.expires_at) if old.expires_at is not None else ends
            await connection.execute(update(api_keys).where(api_keys.c.id == key_id).values(expires_at=ends))
            return await _insert(connection, old.account, old.name, now + lifetime if lifetime else None)

    async def revoke_key(self, key_id: str) -> ApiKey:
        """End a key at once; again changes nothing. Raises `NotFound`."""
        at = func.coalesce(api_keys.c.revoked_at, func.clock_timestamp())
        ended = update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=at).returning(api_keys)
        async with self._begin() as connection:
            row = (await connection.execute(ended)).first()
        if row is None:
            raise NotFound(f"no key {key_id!r}")
        return _key(row)

    async def keys_of(self, account: str | None = None) -> list[ApiKey]:
        """Every key ever made, of one account or of all, oldest first."""
        query = select(api_keys).order_by(api_keys.c.created_at, api_keys.c.id)
        if account is not None:
            query = query.where(api_keys.c.account == account)
        async with self._begin() as connection:
            return [_key(row) for row in await connection.execute(query)]

    async def open_with(self, text: str) -> ApiKey | None:
        """The key that a caller shows, if it is one and still works; its use is noted once a minute."""
        form = _FORM.match(text)
        if form is None:
            return None
        async with self._begin() as connection:
            found = select(api_keys, func.clock_timestamp().label("now")).where(api_keys.c.id == form["id"])
            row = (await connection.execute(found)).first()
            expected = row.hash if row is not None else _hash("")
            is_right = hmac.compare_digest(expected, _hash(form["secret"]))
            if row is None or not is_right or not _key(row).is_valid(row.now):
                return None
            is_due = row.last_used_at is None or row.now - row.last_used_at >= _USE_IS_NOTED_EVERY
            if is_due:
                stale = or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at < row.now - _USE_IS_NOTED_EVERY)
                used = update(api_keys).where(and_(api_keys.c.id == row.id, stale))
                await connection.execute(used.values(last_used_at=row.now))
        return _key(row)


async def _insert(connection: Any, account: str, name: str, expires_at: datetime | None) -> NewKey:
    key_id, secret = secrets.token_hex(6), secrets.token_hex(24)
    new = insert(api_keys).values(id=key_id, account=account, name=name, hash=_hash(secret), expires_at=expires_at)
    row = (await connection.execute(new.returning(api_keys))).one()
    return NewKey(key=_key(row), text=f"dnk_{key_id}_{secret}")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(**{name: getattr(row, name) for name in ApiKey.model_fields})
