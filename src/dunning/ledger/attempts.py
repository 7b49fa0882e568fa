"""Charging once: admission, the moment before the first byte, and settlement. SPEC 13, 14.

Lock order, everywhere: account gate, customer gate, attempt row, the subscription's counter of events. All leases are
by the database's clock.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, and_, bindparam, case, null, select, update
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import func

from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.base import Value
from dunning.domain.declines import DeclineClass
from dunning.domain.page import ON_PAGE
from dunning.errors import Conflict, NotFound
from dunning.ledger.base import Part
from dunning.ledger.followed import write_followed
from dunning.ledger.limits import Limits, Standing, account_gate, customer_gate, free_slot, holders
from dunning.ledger.models import Admission, ChargeInput, Claim, LookUpInput, StoredAttempt
from dunning.ledger.record import record_calls
from dunning.ledger.schema import attempts, method_verdicts
from dunning.ledger.settling import attend, condemn, payment_calls, settle_late, settled, unsettled
from dunning.ledger.trips import Call, Statement, trip

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
            row, standing, refused = await _looked(connection, request, limits)
            known = _known(row, request, standing.now, resending or Resending()) if row is not None else None
            done = known or refused
            claiming: list[Call] = []
            if done is None:
                admission, claiming = _claimed(request, row, limits, standing, owner)
            else:
                admission = Admission(outcome=done)
            if request.carry is not None and request.carry.followed:
                await write_followed(connection, request.carry)
            carried = record_calls(request.carry) if request.carry is not None else []
            await self._finish(connection, *carried, *claiming)
            return admission

    async def mark_sent(self, claim: Claim) -> None:
        """The first byte may leave after this has committed.

        Raises:
            ClaimLost: owner, epoch or lease no longer hold.
        """
        [marked] = await self._at_once(_SENT(mine=claim.key, my_name=claim.owner, my_epoch=claim.epoch))
        if not marked:
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
            if outcome.klass is DeclineClass.HARD and charged != ON_PAGE:
                await condemn(connection, row, outcome, charged)
            await self._finish(
                connection, settled(key, outcome, latency_ms, charged), *payment_calls(row, outcome, is_late=False)
            )
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
        [rows] = await self._at_once(_BY_KEY(wanted=key))
        return stored_attempt(rows[0]) if rows else None

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


async def _looked(
    connection: AsyncConnection, request: ChargeInput, limits: Limits
) -> tuple[Row[Any] | None, Standing, Outcome | None]:
    """Take the locks in their order and read what admission depends on: the row, the limits, a refused method."""
    gate, customer, rows, verdicts, others = await trip(
        connection,
        account_gate(request.account, limits),
        customer_gate(request.account, request.customer),
        _LOCKED(wanted=request.attempt.key),
        _CONDEMNED(account=request.account, customer=request.customer, token=request.attempt.method),
        holders(request),
    )
    standing = Standing._make((*gate[0], *customer[0], *others[0]))
    return rows[0] if rows else None, standing, _refused_method(request, verdicts[0]) if verdicts else None


async def _locked(connection: AsyncConnection, key: str) -> Row[Any] | None:
    [rows] = await trip(connection, _LOCKED(wanted=key))
    return rows[0] if rows else None


_ROW = select(attempts).where(attempts.c.key == bindparam("wanted"))
_BY_KEY = Statement(_ROW)
_LOCKED = Statement(_ROW.with_for_update())
_SENT = Statement(
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
    .returning(attempts.c.key)
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


def _refused_method(request: ChargeInput, verdict: Row[Any]) -> Outcome:
    return Outcome(
        kind=OutcomeKind.METHOD_REFUSED,
        at=request.business_at,
        raw_code=verdict.raw_code,
        klass=DeclineClass.HARD,
        because="the method was declined for good for this customer before",
    )


_CONDEMNED = Statement(
    select(method_verdicts.c.raw_code).where(
        method_verdicts.c.account == bindparam("account"),
        method_verdicts.c.customer_id == bindparam("customer"),
        method_verdicts.c.token == bindparam("token"),
    )
)


def _claimed(
    request: ChargeInput, row: Row[Any] | None, limits: Limits, standing: Standing, owner: str
) -> tuple[Admission, list[Call]]:
    """The claim with the statements that make it, where there is room; else until when it is put off."""
    slot = free_slot(request, limits, standing)
    if not isinstance(slot, Call):
        at, because = slot
        return Admission(outcome=_deferred(request, at - standing.now, because)), []
    epoch = 1 if row is None else row.epoch + 1
    claim = Claim(key=request.attempt.key, owner=owner, epoch=epoch, lease_seconds=LEASE.total_seconds())
    return Admission(claim=claim), [slot, _claim_call(request, claim, standing.now + LEASE)]


def _claim_call(request: ChargeInput, claim: Claim, lease_until: datetime) -> Call:
    attempt = request.attempt
    return _CLAIM(
        new_key=claim.key,
        new_account=request.account,
        new_subscription=request.subscription,
        new_generation=request.generation,
        new_obligation=request.obligation,
        new_number=attempt.number,
        new_customer_id=request.customer,
        new_amount=request.amount,
        new_currency=request.currency,
        new_method=attempt.method,
        new_trigger=attempt.trigger.value,
        new_retry_of=attempt.retry_of,
        new_planned_at=attempt.planned_at,
        new_business_at=request.business_at,
        new_owner=claim.owner,
        new_epoch=claim.epoch,
        new_lease_until=lease_until,
    )


def _claiming() -> Insert:
    given = (
        "account", "subscription", "generation", "obligation", "number", "customer_id", "amount", "currency", "method",
        "trigger", "retry_of", "planned_at", "business_at", "owner", "epoch", "lease_until",
    )  # fmt: skip
    new = insert(attempts).values({"status": "started", **{name: bindparam(f"new_{name}") for name in ("key", *given)}})
    again = {name: new.excluded[name] for name in ("status", *given)}
    return new.on_conflict_do_update(index_elements=["key"], set_=again)


_CLAIM = Statement(_claiming())


def stored_attempt(row: Row[Any]) -> StoredAttempt:
    """A row of the table as a value."""
    names = StoredAttempt.model_fields
    values = {name: getattr(row, name) for name in names if name != "outcome"}
    raw = row.late_outcome or row.outcome
    return StoredAttempt(outcome=Outcome.model_validate(raw) if raw is not None else None, **values)
