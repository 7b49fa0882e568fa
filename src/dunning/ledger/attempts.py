"""Charging once: admission, the moment before the first byte, and settlement. SPEC 13, 14.

Lock order, everywhere: account gate, customer gate, attempt row, the subscription's counter of events. All leases are
by the database's clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, bindparam, case, null, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import func

from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.base import Value
from dunning.domain.declines import DeclineClass
from dunning.domain.page import ON_PAGE
from dunning.errors import Conflict, NotFound
from dunning.ledger.base import Part
from dunning.ledger.limits import Limits, free_slot, lock_account, lock_customer
from dunning.ledger.models import Admission, ChargeInput, Claim, LookUpInput, StoredAttempt
from dunning.ledger.record import write_record
from dunning.ledger.schema import attempts, method_verdicts
from dunning.ledger.settling import attend, columns, condemn, settle_late, tell, unsettled

LEASE = timedelta(seconds=90)
"""Longer than the hard deadline of a whole charge call, pool wait included."""

_HOLDING = ("started", "sent")
_SETTLED = (OutcomeKind.SUCCEEDED, OutcomeKind.DECLINED, OutcomeKind.ABSENT)


class ClaimLost(Conflict):
    """The claim is no longer ours: the lease ended, or another owner took over. Nothing may be sent."""


class Resending(Value):
    """Whether an unclear attempt may be sent again under its key, and for how long after the first time."""

    is_allowed: bool = False
    ttl: timedelta | None = None


class Attempts(Part):
    """The rows of attempts."""

    async def admit(
        self, request: ChargeInput, *, owner: str, limits: Limits, resending: Resending | None = None
    ) -> Admission:
        """Claim the attempt, or say what to return instead. One transaction.

        Raises:
            Conflict: the same key was used for another amount, currency, method or trigger.
        """
        async with self._begin() as connection:
            bucket = await lock_account(connection, request.account, limits)
            now = await lock_customer(connection, request.account, request.customer)
            row = await _locked(connection, request.attempt.key)
            if request.carry is not None:
                await write_record(connection, request.carry)
            known = _known(row, request, now, resending or Resending()) if row is not None else None
            if known is not None:
                return Admission(outcome=known)
            refused = await _refused_method(connection, request)
            if refused is not None:
                return Admission(outcome=refused)
            free_at = await free_slot(connection, request, limits, bucket, now)
            if free_at is not None:
                at, because = free_at
                return Admission(outcome=_deferred(request, at - now, because))
            return Admission(claim=await _claim(connection, request, row, owner, now))

    async def mark_sent(self, claim: Claim) -> None:
        """The first byte may leave after this has committed.

        Raises:
            ClaimLost: owner, epoch or lease no longer hold.
        """
        ours = {"mine": claim.key, "my_name": claim.owner, "my_epoch": claim.epoch}
        async with self._once() as connection:
            result = await connection.execute(_SENT, ours)
            if result.rowcount != 1:
                raise ClaimLost(f"attempt {claim.key}: another owner has taken over, or the lease ended")

    async def settle(
        self,
        key: str,
        outcome: Outcome,
        *,
        claim: Claim | None = None,
        latency_ms: int | None = None,
        method: str | None = None,
    ) -> Outcome:
        """Write what the attempt came to; what was written first stays, and is returned.

        A success found after a decline or a proved absence is kept beside it, told to the backend, and
        returned: a payment always wins. With a `claim`, unsettled outcomes are written only while it is ours.
        `method`: what was charged, for an attempt whose method was not known yet.

        Raises:
            NotFound: no such attempt.
        """
        async with self._begin() as connection:
            row = await _locked(connection, key)
            if row is None:
                raise NotFound(f"attempt {key} is not in the ledger")
            if row.settled_at is not None:
                return await settle_late(connection, row, outcome)
            if outcome.kind not in _SETTLED:
                return await unsettled(connection, row, outcome, claim)
            charged = method or row.method if row.method == ON_PAGE else row.method
            values = {**columns(outcome), "method": charged}
            if latency_ms is not None:
                values["latency_ms"] = latency_ms
            values |= {
                "status": "settled",
                "settled_at": func.clock_timestamp(),
                "lease_until": func.clock_timestamp(),
            }
            await connection.execute(update(attempts).where(attempts.c.key == key).values(**values))
            if outcome.klass is DeclineClass.HARD and charged != ON_PAGE:
                await condemn(connection, row, outcome, charged)
            await tell(connection, row, outcome, is_late=False)
            return outcome

    async def release(self, claim: Claim) -> bool:
        """This send charged nothing, for certain: the same attempt may be sent again later, under the same key.

        False when that proves nothing for the attempt: an earlier send of the same key is still unclear, or the
        claim is not ours any more.
        """
        was_unclear = attempts.c.first_sent_at < attempts.c.sent_at
        earlier = case((was_unclear, attempts.c.first_sent_at), else_=null())
        values = {
            "status": case((was_unclear, "unknown"), else_="started"),
            "sent_at": earlier,
            "first_sent_at": earlier,
            "lease_until": func.clock_timestamp(),
            "epoch": attempts.c.epoch + 1,
        }
        ours = and_(attempts.c.key == claim.key, attempts.c.owner == claim.owner, attempts.c.epoch == claim.epoch)
        released = update(attempts).where(ours, attempts.c.settled_at.is_(None)).values(**values)
        async with self._begin() as connection:
            row = (await connection.execute(released.returning(attempts.c.sent_at))).first()
        return row is not None and row.sent_at is None

    async def attend_attempt(self, request: ChargeInput | LookUpInput, because: str) -> None:
        """Raise attention about an attempt, once for the same words."""
        async with self._begin() as connection:
            await attend(
                connection,
                account=request.account,
                subscription=request.subscription,
                key=request.attempt.key,
                at=request.business_at,
                because=because,
            )

    async def attempt(self, key: str) -> StoredAttempt | None:
        """One attempt, or None."""
        async with self._once() as connection:
            row = (await connection.execute(_BY_KEY, {"wanted": key})).first()
        return stored_attempt(row) if row is not None else None

    async def first_sent_of(self, request: ChargeInput) -> datetime | None:
        """When the obligation was first put to the provider (machine clock); None when it never was."""
        obligation = and_(
            attempts.c.account == request.account,
            attempts.c.subscription == request.subscription,
            attempts.c.generation == request.generation,
            attempts.c.obligation == request.obligation,
        )
        async with self._begin() as connection:
            found = await connection.execute(select(func.min(attempts.c.first_sent_at)).where(obligation))
            first: datetime | None = found.scalar_one()
        return first

    async def payments_of_others(self, request: ChargeInput | LookUpInput) -> tuple[str, ...]:
        """Provider's ids of payments that belong to other attempts of the subscription."""
        others = and_(
            attempts.c.account == request.account,
            attempts.c.subscription == request.subscription,
            attempts.c.key != request.attempt.key,
            attempts.c.provider_payment_id.is_not(None),
        )
        async with self._begin() as connection:
            rows = await connection.execute(select(attempts.c.provider_payment_id).where(others))
            return tuple(row.provider_payment_id for row in rows)

    async def attempt_by_payment(self, account: str, payment_id: str) -> StoredAttempt | None:
        """The attempt that a provider's payment belongs to."""
        found = and_(attempts.c.account == account, attempts.c.provider_payment_id == payment_id)
        async with self._begin() as connection:
            row = (await connection.execute(select(attempts).where(found))).first()
        return stored_attempt(row) if row is not None else None

    async def attempts_of(self, account: str, subscription: str) -> list[StoredAttempt]:
        """Every attempt of a subscription, oldest first."""
        query = (
            select(attempts)
            .where(attempts.c.account == account, attempts.c.subscription == subscription)
            .order_by(attempts.c.generation, attempts.c.planned_at, attempts.c.recorded_at)
        )
        async with self._begin() as connection:
            return [stored_attempt(row) for row in await connection.execute(query)]

    async def has_open_rows(self, account: str, subscription: str) -> bool:
        """Whether an attempt of the subscription is under a live lease."""
        live = select(attempts.c.key).where(
            attempts.c.account == account,
            attempts.c.subscription == subscription,
            attempts.c.settled_at.is_(None),
            attempts.c.status.in_(_HOLDING),
            attempts.c.lease_until > func.clock_timestamp(),
        )
        async with self._begin() as connection:
            return (await connection.execute(live.limit(1))).first() is not None

    async def has_live_lease(self, key: str) -> bool:
        """Whether an owner still has the attempt in hand."""
        live = select(attempts.c.key).where(
            attempts.c.key == key,
            attempts.c.status.in_(_HOLDING),
            attempts.c.lease_until > func.clock_timestamp(),
        )
        async with self._begin() as connection:
            return (await connection.execute(live)).first() is not None

    async def live_leases(self, account: str) -> int:
        """How many charges of an account are under way."""
        live = select(func.count()).where(
            attempts.c.account == account,
            attempts.c.status.in_(_HOLDING),
            attempts.c.lease_until > func.clock_timestamp(),
        )
        async with self._begin() as connection:
            return int((await connection.execute(live)).scalar_one())


async def _locked(connection: AsyncConnection, key: str) -> Row[Any] | None:
    return (await connection.execute(_LOCKED, {"wanted": key})).first()


_BY_KEY = select(attempts).where(attempts.c.key == bindparam("wanted"))
_LOCKED = _BY_KEY.with_for_update()
_SENT = (
    update(attempts)
    .where(
        attempts.c.key == bindparam("mine"),
        attempts.c.owner == bindparam("my_name"),
        attempts.c.epoch == bindparam("my_epoch"),
        attempts.c.status == "started",
        attempts.c.lease_until > func.clock_timestamp(),
    )
    .values(
        status="sent",
        # One instant for both: they differ only where the key was sent before.
        sent_at=func.statement_timestamp(),
        first_sent_at=func.coalesce(attempts.c.first_sent_at, func.statement_timestamp()),
    )
)


def _known(row: Row[Any], request: ChargeInput, now: datetime, resending: Resending) -> Outcome | None:
    """What to return for a row that exists; None when this owner may claim it."""
    _must_match(row, request)
    if row.settled_at is not None:
        late = row.late_outcome or row.outcome
        return Outcome.model_validate(late)
    if row.status == "pending":
        return Outcome(
            kind=OutcomeKind.PENDING,
            at=request.business_at,
            provider_payment_id=row.provider_payment_id,
            because="the provider has not settled it yet",
        )
    if row.status in _HOLDING and row.lease_until > now:
        return _deferred(request, row.lease_until - now, "another worker has this attempt in hand")
    if row.sent_at is None:
        return None
    if _may_resend(row, now, resending):
        return None
    return Outcome(
        kind=OutcomeKind.UNKNOWN,
        at=request.business_at,
        because="it was sent, and the answer is not known: it is looked up, never sent again",
    )


def _must_match(row: Row[Any], request: ChargeInput) -> None:
    """One key, one charge. An attempt that surely was not charged may be made on another method later."""
    asked: tuple[Any, ...] = (request.amount, request.currency)
    stored: tuple[Any, ...] = (row.amount, row.currency)
    if row.sent_at is not None or row.settled_at is not None:
        asked = (*asked, request.attempt.method, request.attempt.trigger.value)
        stored = (*stored, row.method, row.trigger)
    if asked != stored:
        raise Conflict(f"attempt {row.key}: {asked} differs from {stored}, which this key stands for")


def _may_resend(row: Row[Any], now: datetime, resending: Resending) -> bool:
    if not resending.is_allowed:
        return False
    return resending.ttl is None or now - row.first_sent_at < resending.ttl


def _deferred(request: ChargeInput, wait: timedelta, because: str) -> Outcome:
    """Put off by a machine-clock wait, told in business time."""
    until = request.business_at + max(wait, timedelta(seconds=1))
    return Outcome(kind=OutcomeKind.DEFERRED, at=request.business_at, until=until, because=because)


async def _refused_method(connection: AsyncConnection, request: ChargeInput) -> Outcome | None:
    asked = {"account": request.account, "customer": request.customer, "token": request.attempt.method}
    row = (await connection.execute(_CONDEMNED, asked)).first()
    if row is None:
        return None
    return Outcome(
        kind=OutcomeKind.METHOD_REFUSED,
        at=request.business_at,
        raw_code=row.raw_code,
        klass=DeclineClass.HARD,
        because="the method was declined for good for this customer before",
    )


_CONDEMNED = select(method_verdicts.c.raw_code).where(
    method_verdicts.c.account == bindparam("account"),
    method_verdicts.c.customer_id == bindparam("customer"),
    method_verdicts.c.token == bindparam("token"),
)


async def _claim(
    connection: AsyncConnection, request: ChargeInput, row: Row[Any] | None, owner: str, now: datetime
) -> Claim:
    attempt = request.attempt
    epoch = 1 if row is None else row.epoch + 1
    values = {
        "account": request.account,
        "subscription": request.subscription,
        "generation": request.generation,
        "obligation": request.obligation,
        "number": attempt.number,
        "customer_id": request.customer,
        "amount": request.amount,
        "currency": request.currency,
        "method": attempt.method,
        "trigger": attempt.trigger.value,
        "retry_of": attempt.retry_of,
        "planned_at": attempt.planned_at,
        "business_at": request.business_at,
        "status": "started",
        "owner": owner,
        "epoch": epoch,
        "lease_until": now + LEASE,
    }
    upsert = insert(attempts)
    claimed = upsert.on_conflict_do_update(
        index_elements=["key"], set_={name: upsert.excluded[name] for name in values}
    )
    await connection.execute(claimed, {"key": attempt.key, **values})
    return Claim(key=attempt.key, owner=owner, epoch=epoch, lease_seconds=LEASE.total_seconds())


def stored_attempt(row: Row[Any]) -> StoredAttempt:
    """A row of the table as a value."""
    names = StoredAttempt.model_fields
    values = {name: getattr(row, name) for name in names if name != "outcome"}
    raw = row.late_outcome or row.outcome
    return StoredAttempt(outcome=Outcome.model_validate(raw) if raw is not None else None, **values)
