"""What many messages say, held against the ledger by few statements. SPEC 13, 15.

One process settles at a time, under an advisory lock. Other locks are taken in the order of `dunning.ledger.attempts`:
rows of attempts, verdicts, counters of events, each of them sorted. Attempts that somebody else holds are passed over,
so whoever waits here holds nothing that the other one waits for.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from dunning.domain.attempts import Outcome
from dunning.domain.declines import DeclineClass
from dunning.ledger.attempts import stored_attempt
from dunning.ledger.base import NewEvent, Part
from dunning.ledger.models import SettledMessage, StoredAttempt, UnsettledMessage
from dunning.ledger.settling import columns, payment_event

Pair = tuple[str, str]
"""An account, and an id in it."""


class Settlements(Part):
    """Messages of the inbox that are to be settled. All of it is asked inside the block of `unsettled`."""

    @asynccontextmanager
    async def unsettled(self, limit: int) -> AsyncIterator[list[UnsettledMessage]]:
        """The oldest messages that are to be settled now.

        All that is asked of the ledger inside the block is one transaction; other processes wait for its end.
        """
        async with self._claimed(_UNSETTLED, {"limit": limit}) as rows:
            yield rows

    @asynccontextmanager
    async def unsettled_one(self, row: int) -> AsyncIterator[UnsettledMessage | None]:
        """The same with one row; None when somebody else has settled it."""
        async with self._claimed(_UNSETTLED_ONE, {"row": row}) as rows:
            yield rows[0] if rows else None

    async def attempts_named(self, keys: Collection[str], payments: Collection[Pair]) -> list[StoredAttempt]:
        """Attempts by their keys, and by the provider's ids of their payments."""
        found = await self._rows(_BY_KEYS, [{"key": key} for key in keys]) if keys else []
        if payments:
            wanted = [{"account": account, "payment": payment} for account, payment in payments]
            found.extend(await self._rows(_BY_PAYMENTS, wanted))
        return [stored_attempt(row) for row in found]

    async def subscriptions_named(
        self, ids: Collection[Pair], references: Collection[Pair]
    ) -> tuple[set[Pair], dict[Pair, str]]:
        """Those of the ids that are known, and our ids for the provider's ones."""
        known: set[Pair] = set()
        of: dict[Pair, str] = {}
        if ids:
            wanted = [{"account": account, "id": name} for account, name in ids]
            known = {(row.account, row.id) for row in await self._rows(_BY_IDS, wanted)}
        if references:
            wanted = [{"account": account, "reference": name} for account, name in references]
            of = {(row.account, row.reference): row.id for row in await self._rows(_BY_REFERENCES, wanted)}
        return known, of

    async def hold(self, keys: Iterable[str]) -> set[str]:
        """Lock attempts that are not settled; those that were meanwhile, or that somebody holds, are left out."""
        rows = [{"key": key} for key in keys]
        return {row.key for row in await self._rows(_HOLD, rows)} if rows else set()

    async def settle_held(self, outcomes: Sequence[tuple[StoredAttempt, Outcome]]) -> None:
        """Write final outcomes of attempts that `hold` locked, with their verdicts and `payment.*` events."""
        if not outcomes:
            return
        async with self._begin() as connection:
            await _send(connection, _SETTLE, [{"key": row.key, **columns(outcome)} for row, outcome in outcomes])
            hard = [(row, outcome) for row, outcome in outcomes if outcome.klass is DeclineClass.HARD]
            if hard:
                await _send(connection, _CONDEMN, [_verdict(row, outcome) for row, outcome in hard])
            told = [(row, payment_event(row, outcome, is_late=False)) for row, outcome in outcomes]
            await _append(connection, [(row, event) for row, event in told if event is not None])

    async def mark_settled(self, messages: Sequence[SettledMessage]) -> None:
        """The messages took effect; those with a subscription are to be signalled."""
        rows = [{"id": one.id, "subscription": one.subscription, "known": one.known} for one in messages]
        async with self._begin() as connection:
            await _send(connection, _MARK, rows)

    async def put_off(self, row: int, seconds: float) -> None:
        """A message could not be settled: it is left in peace for so long, and those behind it are not."""
        async with self._begin() as connection:
            await connection.execute(_PUT_OFF, {"row": row, "seconds": seconds})

    @asynccontextmanager
    async def _claimed(self, query: TextClause, given: Mapping[str, Any]) -> AsyncIterator[list[UnsettledMessage]]:
        async with self.together(), self._begin() as connection:
            await connection.execute(_TURN)
            yield [UnsettledMessage(*row) for row in await connection.execute(query, given)]

    async def _rows(self, query: TextClause, wanted: Sequence[Mapping[str, Any]]) -> list[Any]:
        async with self._begin() as connection:
            return list(await connection.execute(query, {"rows": json.dumps(wanted)}))


async def _send(connection: AsyncConnection, statement: TextClause, rows: Sequence[Mapping[str, Any]]) -> None:
    await connection.execute(statement, {"rows": json.dumps(rows)})


def _verdict(row: StoredAttempt, outcome: Outcome) -> dict[str, Any]:
    return {
        "account": row.account,
        "customer_id": row.customer_id,
        "token": row.method,
        "raw_code": outcome.raw_code,
        "attempt_key": row.key,
    }


async def _append(connection: AsyncConnection, told: Sequence[tuple[StoredAttempt, NewEvent]]) -> None:
    """Events with the next numbers of their subscriptions. They are new: an attempt is settled once."""
    counts: dict[Pair, int] = {}
    for row, _ in told:
        whose = (row.account, row.subscription)
        counts[whose] = counts.get(whose, 0) + 1
    wanted = [{"account": account, "subscription": name, "count": n} for (account, name), n in counts.items()]
    counted = await connection.execute(_COUNT_ON, {"rows": json.dumps(wanted)})
    last = {(row.account, row.subscription): row.last for row in counted}
    rows: list[dict[str, Any]] = []
    for row, event in told:
        whose = (row.account, row.subscription)
        counts[whose] -= 1
        rows.append(
            {
                "id": event.id,
                "account": row.account,
                "subscription": row.subscription,
                "sequence": last[whose] - counts[whose],
                "type": event.type,
                "data": event.data,
                "created_at": event.at.isoformat(),
            }
        )
    await _send(connection, _APPEND, rows)


def _over(statement: str) -> TextClause:
    """A statement over the parameter `rows`: `given(...)` in it is that JSON list of objects, as a table."""
    return text(statement.replace(" given(", " jsonb_to_recordset(cast(:rows as jsonb)) as given ("))


# Text, not expressions: what a recordset is made of is said in a few words, and nothing is built anew for a batch.

_TURN = text("select pg_advisory_xact_lock(hashtext('dunning inbox'))")
_UNSETTLED = text(
    "select id, account, message_id, reference, cast(fact as text), cast(to_settle as text) from inbox"
    " where signalled_at is null and to_settle is not null"
    " and (settle_after is null or settle_after <= clock_timestamp())"
    " order by id limit :limit"
)
_UNSETTLED_ONE = text(
    "select id, account, message_id, reference, cast(fact as text), cast(to_settle as text) from inbox"
    " where signalled_at is null and to_settle is not null and id = :row"
)
_BY_KEYS = _over("select attempts.* from attempts join given(key text) using (key)")
_BY_PAYMENTS = _over(
    "select attempts.* from attempts join given(account text, payment text)"
    " on attempts.account = given.account and attempts.provider_payment_id = given.payment"
)
_BY_IDS = _over("select account, id from subscriptions join given(account text, id text) using (account, id)")
_BY_REFERENCES = _over(
    "select account, reference, id from subscriptions"
    " join given(account text, reference text) using (account, reference)"
)
_HOLD = _over(
    "select key from attempts where settled_at is null and key in (select key from given(key text))"
    " order by key for update skip locked"
)
_SETTLE = _over(
    "update attempts set outcome = given.outcome, raw_code = given.raw_code, decline_class = given.decline_class,"
    " rule = given.rule, provider_payment_id = coalesce(given.provider_payment_id, attempts.provider_payment_id),"
    " status = 'settled', settled_at = clock_timestamp(), lease_until = clock_timestamp()"
    " from given(key text, outcome jsonb, raw_code text, decline_class text, rule text, provider_payment_id text)"
    " where attempts.key = given.key"
)
_CONDEMN = _over(
    "insert into method_verdicts (account, customer_id, token, raw_code, attempt_key)"
    " select account, customer_id, token, raw_code, attempt_key"
    " from given(account text, customer_id text, token text, raw_code text, attempt_key text)"
    " order by account, customer_id, token on conflict do nothing"
)
_COUNT_ON = _over(
    "insert into sequences (account, subscription, last)"
    " select account, subscription, count from given(account text, subscription text, count integer)"
    " order by account, subscription"
    " on conflict (account, subscription) do update set last = sequences.last + excluded.last"
    " returning account, subscription, last"
)
_APPEND = _over(
    "insert into outbox (id, account, subscription, sequence, type, data, created_at)"
    " select id, account, subscription, sequence, type, data, created_at"
    " from given(id text, account text, subscription text, sequence integer, type text, data jsonb,"
    " created_at timestamptz)"
)
_MARK = _over(
    "update inbox set to_settle = null, subscription = given.subscription, fact = inbox.fact || given.known,"
    " signalled_at = case when given.subscription is null then clock_timestamp() end"
    " from given(id bigint, subscription text, known jsonb) where inbox.id = given.id"
)
_PUT_OFF = text("update inbox set settle_after = clock_timestamp() + make_interval(secs => :seconds) where id = :row")
