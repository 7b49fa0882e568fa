"""Refunding once: the rows of refunds, claimed, sent and settled as attempts are. SPEC 9, 13.

Lock order: the customer's gate, then the refund's row. Under the gate no two refunds of one customer look at the same
payment at a time, so what is left of it is never given back twice. All leases are by the database's clock.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, and_, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import func

from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.refunds import Given, RefundKind, RefundOutcome, TooMuch, give
from dunning.errors import Conflict, NotFound
from dunning.ledger.attempts import LEASE, ClaimLost
from dunning.ledger.base import Part, machine_now
from dunning.ledger.limits import lock_customer
from dunning.ledger.models import Claim, RefundAdmission, RefundInput, StoredAttempt, StoredRefund
from dunning.ledger.schema import attempts, refunds

_HOLDING = ("started", "sent")
_FINAL = frozenset({RefundKind.SUCCEEDED, RefundKind.REFUSED, RefundKind.ABSENT})


class Refunds(Part):
    """The rows of refunds."""

    async def admit_refund(self, request: RefundInput, *, owner: str) -> RefundAdmission:
        """Claim the refund, or say what to return instead. One transaction.

        Raises:
            Conflict: the same key stands for another order.
        """
        async with self._begin() as connection:
            await lock_customer(connection, request.account, request.customer)
            now = await machine_now(connection)
            row = await _locked(connection, request.key)
            if row is not None:
                known = _known(row, request, now)
                if known is not None:
                    return RefundAdmission(outcome=known)
                values = {"owner": owner, "epoch": row.epoch + 1, "lease_until": now + LEASE, "status": "started"}
                again = update(refunds).where(refunds.c.key == request.key).values(**values)
                row = (await connection.execute(again.returning(refunds))).one()
                return RefundAdmission(claim=_claim_of(row), row=stored_refund(row))
            found = await _first(connection, request, owner, now)
        if isinstance(found, RefundOutcome):
            return RefundAdmission(outcome=found)
        return RefundAdmission(claim=_claim_of(found), row=stored_refund(found))

    async def mark_refund_sent(self, claim: Claim) -> None:
        """The first byte may leave after this has committed.

        Raises:
            ClaimLost: owner, epoch or lease no longer hold.
        """
        ours = and_(
            refunds.c.key == claim.key,
            refunds.c.owner == claim.owner,
            refunds.c.epoch == claim.epoch,
            refunds.c.status == "started",
            refunds.c.lease_until > func.clock_timestamp(),
        )
        async with self._begin() as connection:
            sent = update(refunds).where(ours).values(status="sent", sent_at=func.statement_timestamp())
            result = await connection.execute(sent)
            if result.rowcount != 1:
                raise ClaimLost(f"refund {claim.key}: another owner has taken over, or the lease ended")

    async def settle_refund(self, key: str, outcome: RefundOutcome, *, claim: Claim | None = None) -> RefundOutcome:
        """Write what the refund came to, and return what stands there then, with amount and payment.

        The provider's later word counts: a refund that was made may come back, one that was refused may have been
        made. With a `claim`, unsettled outcomes are written only while it is ours.

        Raises:
            NotFound: no such refund.
        """
        async with self._begin() as connection:
            row = await _locked(connection, key)
            if row is None:
                raise NotFound(f"refund {key} is not in the ledger")
            told = _with_row(row, outcome)
            if not _counts(row, told, claim):
                return told if row.outcome is None else _with_row(row, RefundOutcome.model_validate(row.outcome))
            is_final = told.kind in _FINAL
            values: dict[str, Any] = {
                "status": "settled" if is_final else told.kind.value,
                "is_given": told.kind not in (RefundKind.REFUSED, RefundKind.ABSENT),
                "outcome": told.model_dump(mode="json"),
                "lease_until": func.clock_timestamp(),
            }
            if told.refund_id is not None:
                values["provider_refund_id"] = told.refund_id
            if is_final:
                values["settled_at"] = func.clock_timestamp()
            await connection.execute(update(refunds).where(refunds.c.key == key).values(**values))
            return told

    async def release_refund(self, claim: Claim) -> bool:
        """This send gave nothing back, for certain: it may be sent again later under the same key."""
        ours = and_(refunds.c.key == claim.key, refunds.c.owner == claim.owner, refunds.c.epoch == claim.epoch)
        values = {
            "status": "started",
            "sent_at": None,
            "lease_until": func.clock_timestamp(),
            "epoch": refunds.c.epoch + 1,
        }
        released = update(refunds).where(ours, refunds.c.settled_at.is_(None)).values(**values)
        async with self._begin() as connection:
            return (await connection.execute(released.returning(refunds.c.key))).first() is not None

    async def note_refund(
        self, attempt: StoredAttempt, *, refund_id: str, amount: int, currency: str, at: datetime
    ) -> bool:
        """Write down a refund that was made at the provider without us; False when it is known.

        It counts in what is left of the payment from now on.
        """
        outcome = RefundOutcome(
            kind=RefundKind.SUCCEEDED,
            at=at,
            amount=amount,
            currency=currency,
            payment_id=attempt.provider_payment_id,
            refund_id=refund_id,
            obligation=attempt.obligation,
            because="made at the provider",
        )
        async with self._begin() as connection:
            await lock_customer(connection, attempt.account, attempt.customer_id)
            new = insert(refunds).values(
                key=f"seen_{attempt.account}_{refund_id}",
                account=attempt.account,
                subscription=attempt.subscription,
                customer_id=attempt.customer_id,
                command_id="",
                order_id=attempt.key,
                obligation=attempt.obligation,
                payment_id=attempt.provider_payment_id or "",
                paid=attempt.amount,
                amount=amount,
                currency=currency,
                parts={},
                business_at=at,
                status="settled",
                is_given=True,
                owner="provider",
                epoch=1,
                lease_until=func.clock_timestamp(),
                settled_at=func.clock_timestamp(),
                outcome=outcome.model_dump(mode="json"),
                provider_refund_id=refund_id,
            )
            written = await connection.execute(new.on_conflict_do_nothing().returning(refunds.c.key))
            return written.first() is not None

    async def refund_row(self, key: str) -> StoredRefund | None:
        """One refund, or None."""
        async with self._begin() as connection:
            row = (await connection.execute(select(refunds).where(refunds.c.key == key))).first()
        return stored_refund(row) if row is not None else None

    async def refund_by_provider_id(self, account: str, refund_id: str) -> StoredRefund | None:
        """The refund that the provider knows by this id."""
        found = and_(refunds.c.account == account, refunds.c.provider_refund_id == refund_id)
        async with self._begin() as connection:
            row = (await connection.execute(select(refunds).where(found))).first()
        return stored_refund(row) if row is not None else None

    async def refunds_of(self, account: str, subscription: str) -> list[StoredRefund]:
        """Every refund of a subscription, oldest first."""
        query = (
            select(refunds)
            .where(refunds.c.account == account, refunds.c.subscription == subscription)
            .order_by(refunds.c.business_at, refunds.c.recorded_at)
        )
        async with self._begin() as connection:
            return [stored_refund(row) for row in await connection.execute(query)]

    async def has_live_refund_lease(self, key: str) -> bool:
        """Whether an owner still has the refund in hand."""
        live = select(refunds.c.key).where(
            refunds.c.key == key,
            refunds.c.status.in_(_HOLDING),
            refunds.c.lease_until > func.clock_timestamp(),
        )
        async with self._begin() as connection:
            return (await connection.execute(live)).first() is not None


def stored_refund(row: Row[Any]) -> StoredRefund:
    """A row of the table as a value."""
    values = {name: getattr(row, name) for name in StoredRefund.model_fields if name != "outcome"}
    outcome = RefundOutcome.model_validate(row.outcome) if row.outcome is not None else None
    return StoredRefund(outcome=outcome, **values)


async def _locked(connection: AsyncConnection, key: str) -> Row[Any] | None:
    return (await connection.execute(select(refunds).where(refunds.c.key == key).with_for_update())).first()


def _claim_of(row: Row[Any]) -> Claim:
    return Claim(key=row.key, owner=row.owner, epoch=row.epoch, lease_seconds=LEASE.total_seconds())


def _known(row: Row[Any], request: RefundInput, now: datetime) -> RefundOutcome | None:
    """What to return for a row that exists; None when this owner may claim it."""
    if (row.account, row.subscription, row.order_id) != (request.account, request.subscription, request.order):
        raise Conflict(f"refund {row.key}: {request.order} differs from {row.order_id}, which this key stands for")
    if row.settled_at is not None or row.status == "pending":
        return _with_row(row, RefundOutcome.model_validate(row.outcome))
    if row.status in _HOLDING and row.lease_until > now:
        until = request.business_at + max(row.lease_until - now, _A_SECOND)
        because = "another worker has this refund in hand"
        return RefundOutcome(kind=RefundKind.DEFERRED, at=request.business_at, until=until, because=because)
    if row.sent_at is None:
        return None
    because = "it was sent, and the answer is not known: it is looked up, never sent again"
    return _with_row(row, RefundOutcome(kind=RefundKind.UNKNOWN, at=request.business_at, because=because))


_A_SECOND = LEASE / 90


def _with_row(row: Row[Any], outcome: RefundOutcome) -> RefundOutcome:
    """An outcome with what the row knows of the refund."""
    return outcome.but(
        amount=row.amount,
        currency=row.currency,
        payment_id=row.payment_id,
        obligation=row.obligation,
        parts=dict(row.parts),
        refund_id=outcome.refund_id or row.provider_refund_id,
    )


def _counts(row: Row[Any], told: RefundOutcome, claim: Claim | None) -> bool:
    """Whether an outcome changes what stands in the row."""
    if row.settled_at is None:
        if told.kind in _FINAL:
            return True
        is_ours = claim is None or (row.owner, row.epoch) == (claim.owner, claim.epoch)
        return is_ours and told.kind is not RefundKind.UNKNOWN if row.status == "pending" else is_ours
    was = RefundOutcome.model_validate(row.outcome).kind
    return told.kind in (RefundKind.SUCCEEDED, RefundKind.REFUSED) and told.kind is not was


async def _first(
    connection: AsyncConnection, request: RefundInput, owner: str, now: datetime
) -> RefundOutcome | Row[Any]:
    """The row of a refund that was never asked for, or why there is none."""
    found = await _paid(connection, request)
    if found is None:
        return _refused(request, f"order {request.order} is not a payment of this subscription")
    payment_id, obligation, paid, currency = found
    if payment_id in request.disputed:
        return _refused(request, "the payment is disputed: the customer's bank decides about the money")
    try:
        given = await _given(connection, request, payment_id, paid)
    except TooMuch as too_much:
        return _refused(request, str(too_much))
    values = {
        "account": request.account,
        "subscription": request.subscription,
        "customer_id": request.customer,
        "command_id": request.command_id,
        "order_id": request.order,
        "obligation": obligation,
        "payment_id": payment_id,
        "paid": paid,
        "amount": given.amount,
        "currency": currency,
        "parts": given.parts,
        "business_at": request.business_at,
        "status": "started",
        "is_given": True,
        "owner": owner,
        "epoch": 1,
        "lease_until": now + LEASE,
    }
    new = insert(refunds).values(key=request.key, **values)
    made: Row[Any] = (await connection.execute(new.returning(refunds))).one()
    return made


async def _paid(connection: AsyncConnection, request: RefundInput) -> tuple[str, str | None, int, str] | None:
    """Payment, obligation, amount and currency of an order: an attempt that was paid, or what the state knows."""
    named = [
        attempts.c.key == request.order,
        attempts.c.provider_payment_id == request.order,
        and_(attempts.c.obligation == request.order, attempts.c.generation == request.generation),
    ]
    if request.payment_id is not None:
        named.append(attempts.c.provider_payment_id == request.payment_id)
    query = (
        select(attempts)
        .where(attempts.c.account == request.account, attempts.c.subscription == request.subscription, or_(*named))
        .order_by(attempts.c.generation.desc(), attempts.c.number.desc())
    )
    for row in await connection.execute(query):
        raw = row.late_outcome or row.outcome
        is_paid = raw is not None and Outcome.model_validate(raw).kind is OutcomeKind.SUCCEEDED
        if is_paid and row.provider_payment_id is not None:
            return row.provider_payment_id, row.obligation, row.amount, row.currency
    if request.payment_id is None or request.paid is None:
        return None
    return request.payment_id, request.obligation, request.paid, request.currency


async def _given(connection: AsyncConnection, request: RefundInput, payment_id: str, paid: int) -> Given:
    """What the refund takes of the payment; what is on its way back already counts as gone. Raises `TooMuch`."""
    others = select(refunds.c.amount, refunds.c.parts).where(
        refunds.c.account == request.account, refunds.c.payment_id == payment_id, refunds.c.is_given
    )
    refunded, before = 0, dict[str, int]()
    for row in await connection.execute(others):
        refunded += row.amount
        for product, part in row.parts.items():
            before[product] = before.get(product, 0) + part
    return give(
        paid=paid,
        items=request.items,
        before=before,
        refunded=refunded,
        amount=request.amount,
        item=request.item,
        may_be_less=request.may_be_less,
    )


def _refused(request: RefundInput, because: str) -> RefundOutcome:
    return RefundOutcome(kind=RefundKind.REFUSED, at=request.business_at, because=because)
