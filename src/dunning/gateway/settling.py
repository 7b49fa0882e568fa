"""Does what stored messages say: many by few statements, and one by one where that is not enough. SPEC 13, 15."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import structlog
from pydantic import ValidationError

from dunning.gateway.sorting import Batch, Known, Said, business_now, known_of, read
from dunning.ledger import Ledger
from dunning.ledger.models import StoredAttempt, StoredRefund, UnsettledMessage
from dunning.providers.base import Refund, RefundStatus
from dunning.refunding import business_now as refund_now
from dunning.refunding import outcome_of as refund_outcome

log = structlog.get_logger("gateway")

BATCH = 50
"""Messages of one transaction, at most."""

AGAIN_SECONDS = 5.0
"""After so long a message that could not be settled is tried again, by whichever process."""


class Round(NamedTuple):
    """What one call of `Settler.settle` did.

    Attributes:
        done: messages that took effect.
        left: messages that could not be settled now.
        is_over: no other message waits.
    """

    done: int
    left: int
    is_over: bool


class Settler:
    """The mark that a message took effect is in the same transaction as its effect: both, or none.

    A crash before the commit leaves messages as they were, and they are done again. Several processes may work: they
    take turns, so that messages are settled in the order in which they came, whoever settles them.
    """

    def __init__(self, ledger: Ledger, *, again_seconds: float = AGAIN_SECONDS) -> None:
        self._ledger = ledger
        self._again_seconds = again_seconds

    async def settle(self) -> Round:
        """Settle the oldest messages that wait: many together, and then the one that has to be settled alone."""
        rows: list[UnsettledMessage] = []
        try:
            async with self._ledger.unsettled(BATCH) as rows:
                done = await self._together(rows)
            alone = rows[done : done + 1]
        except Exception as failure:
            if not rows:
                raise  # the ledger is away
            # One of them is the reason: alone, it fails alone.
            log.warning("inbox.one_by_one", because=type(failure).__name__, count=len(rows))
            done, alone = 0, rows
        left = 0
        for row in alone:
            if await self._is_settled(row.id):
                done += 1
            else:
                left += 1
        return Round(done, left, is_over=len(rows) < BATCH and done + left == len(rows))

    async def _together(self, rows: Sequence[UnsettledMessage]) -> int:
        """Settle as many of the oldest ones as can be settled together; how many those are."""
        said: list[Said] = []
        for row in rows:
            try:
                said.append(read(row))
            except ValidationError:
                break
        if not said:
            return 0
        batch = Batch(await self._look_up(said))
        batch.fill(said, await self._ledger.hold(batch.may_settle(said)))
        await self._ledger.settle_held(list(batch.outcomes.values()))
        if batch.settled:
            await self._ledger.mark_settled(batch.settled)
        return len(batch.settled)

    async def _look_up(self, messages: Sequence[Said]) -> Known:
        """Everything that the messages name, by few questions."""
        known = Known()
        payments = [(one.account, one.fact.payment) for one in messages if one.fact.payment is not None]
        keys = {payment.key for _, payment in payments if payment.key is not None}
        keyless = {(account, payment.payment_id) for account, payment in payments if payment.key is None}
        known.add(await self._ledger.attempts_named(keys, keyless))
        homeless = [one for one in messages if known.attempt_of(one) is None]
        ids = {(one.account, one.to_settle.subscription) for one in homeless if one.to_settle.subscription}
        references = {(one.account, one.reference) for one in homeless if one.reference}
        known.subscriptions, known.references = await self._ledger.subscriptions_named(ids, references)
        return known

    async def _is_settled(self, row: int) -> bool:
        """Settle one message; one that cannot be settled now is put off, and holds up nobody."""
        try:
            async with self._ledger.unsettled_one(row) as found:
                if found is not None:
                    await self._alone(read(found))
        except Exception as failure:
            log.warning("inbox.not_settled", row=row, because=type(failure).__name__)
            await self._ledger.put_off(row, self._again_seconds)
            return False
        return True

    async def _alone(self, one: Said) -> None:
        known = await self._look_up([one])
        attempt = known.attempt_of(one)
        if one.fact.refund is not None:
            subscription, more = await self._refunded(one, one.fact.refund)
        else:
            subscription, more = known.subscription_of(one, attempt), await self._paid(one, attempt)
        await self._ledger.mark_settled([one.settled(subscription, attempt, more)])

    async def _paid(self, one: Said, attempt: StoredAttempt | None) -> dict[str, Any]:
        """An attempt's payment settles it, unless the provider has not decided."""
        if attempt is None or one.payment is None:
            return {}
        outcome = one.outcome_for(attempt)
        if outcome is None:
            return known_of(attempt, None)
        return known_of(attempt, await self._ledger.settle(attempt.key, outcome, method=one.payment.method_token))

    async def _refunded(self, one: Said, refund: Refund) -> tuple[str | None, dict[str, Any]]:
        """A refund of ours is settled by its key, or by the provider's id of it; another one is written down."""
        account, now = one.account, one.to_settle.at
        row = await self._refund_of(account, refund)
        if row is not None and row.owner_is_us:
            outcome = await self._ledger.settle_refund(row.key, refund_outcome(refund, refund_now(row, now)))
            return row.subscription, {"refund_key": row.key, "refund_outcome": outcome.model_dump(mode="json")}
        if row is not None:
            return row.subscription, {}
        if refund.payment_id is None:
            return None, {}
        attempt = await self._ledger.attempt_by_payment(account, refund.payment_id)
        if attempt is None:
            return None, {}
        if refund.status is RefundStatus.SUCCEEDED:
            at = business_now(attempt, now)
            await self._ledger.note_refund(
                attempt, refund_id=refund.refund_id, amount=refund.amount, currency=refund.currency, at=at
            )
        return attempt.subscription, {}

    async def _refund_of(self, account: str, refund: Refund) -> StoredRefund | None:
        row = await self._ledger.refund_row(refund.key) if refund.key is not None else None
        if row is not None and row.account == account:
            return row
        return await self._ledger.refund_by_provider_id(account, refund.refund_id)
