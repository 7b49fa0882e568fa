"""What a verified message means for the ledger: settled, stored, and to whom it is to be told. SPEC 13, 15."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from dunning.contract import ProviderFact
from dunning.domain.declines import DeclineTable
from dunning.gateway.writing import InboxWriter
from dunning.ledger import Ledger
from dunning.ledger.models import NewMessage, StoredAttempt, StoredRefund, ToSettle
from dunning.providers.base import MessageKind, PaymentStatus, ProviderMessage, Refund, RefundStatus
from dunning.providers.following import PlanMessage, standing_of
from dunning.providers.outcomes import outcome_of
from dunning.refunding import business_now as refund_now
from dunning.refunding import outcome_of as refund_outcome

log = structlog.get_logger("gateway")


class Received(StrEnum):
    """What became of a message."""

    STORED = "stored"
    REPEATED = "repeated"
    UNKNOWN = "unknown"


class NotSettled(Exception):
    """One message could not be settled; it waits in its row, and those behind it can be."""

    def __init__(self, row: int, message_id: str) -> None:
        super().__init__(message_id)
        self.row = row
        self.message_id = message_id


class Reception:
    """Takes messages into the ledger. Everything it does may be done again: providers repeat themselves."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._writer = InboxWriter(ledger)

    async def store(self, account: str, message: ProviderMessage, declines: DeclineTable, now: datetime) -> Received:
        """Store one message as it came; returns when it is committed. `settle` does what it says, later.

        A crash before that leaves the message unacknowledged, so the provider sends it again.

        Args:
            now: the machine clock.
        """
        is_new = await self._writer.write(_new_message(account, message, declines, now))
        return Received.STORED if is_new else Received.REPEATED

    async def take(self, account: str, message: ProviderMessage, declines: DeclineTable, now: datetime) -> Received:
        """Store and settle one message at once, in one transaction; returns when it is committed."""
        async with self._ledger.together():
            if not await self._ledger.receive_many([_new_message(account, message, declines, now)]):
                return Received.REPEATED
            fact = _fact(message, declines)
            return await self._act_on(account, message.reference, fact, _to_settle(message, declines, now))

    async def settle(self, after: int = 0) -> int | None:
        """Do what the oldest message behind row `after` says, in one transaction with the mark that it was done.

        A crash before the commit leaves the message as it was, so it is done again.

        Returns:
            The message's row; None when there is none left.

        Raises:
            NotSettled: this message could not be settled now; the next one may.
        """
        row = None
        try:
            async with self._ledger.unsettled(after) as row:
                if row is None:
                    return None
                await self._act_on(row.account, row.reference, ProviderFact.model_validate(row.fact), row.to_settle)
        except Exception as failure:
            if row is None:
                raise
            raise NotSettled(row.id, row.message_id) from failure
        return row.id

    async def aclose(self) -> None:
        """Returns when every message that was handed in is stored, or has failed."""
        await self._writer.aclose()

    async def _act_on(self, account: str, reference: str | None, fact: ProviderFact, said: ToSettle) -> Received:
        if fact.refund is not None:
            subscription, known = await self._act_on_refund(account, fact, fact.refund, said.at)
            is_told = subscription is not None
        else:
            attempt = await self._attempt_of(account, fact)
            known = await self._act_on_payment(fact, attempt, said)
            subscription = await self._subscription_of(account, reference, fact, attempt, said)
            is_told = subscription is not None and _tells(fact, attempt)
        await self._ledger.mark_settled(
            account,
            fact.message_id,
            subscription=subscription if is_told else None,
            fact=known.model_dump(mode="json"),
        )
        if subscription is None:
            log.info("webhook.unknown", account=account, id=fact.message_id, reference=reference)
            return Received.UNKNOWN
        return Received.STORED

    async def _act_on_payment(self, fact: ProviderFact, attempt: StoredAttempt | None, said: ToSettle) -> ProviderFact:
        """An attempt's payment settles it, unless the provider has not decided."""
        if attempt is None or fact.kind is not MessageKind.PAYMENT or fact.payment is None:
            return fact
        known = fact.but(attempt_key=attempt.key)
        if said.outcome is None:
            return known
        payment = fact.payment
        if (payment.amount, payment.currency) != (attempt.amount, attempt.currency):
            log.warning("webhook.other_price", key=attempt.key, amount=payment.amount, currency=payment.currency)
        outcome = said.outcome.but(at=business_now(attempt, said.at))
        return known.but(outcome=await self._ledger.settle(attempt.key, outcome))

    async def _act_on_refund(
        self, account: str, fact: ProviderFact, refund: Refund, now: datetime
    ) -> tuple[str | None, ProviderFact]:
        """A refund of ours is settled by its key, or by the provider's id of it; another one is written down."""
        row = await self._refund_of(account, refund)
        if row is not None and row.owner_is_us:
            outcome = await self._ledger.settle_refund(row.key, refund_outcome(refund, refund_now(row, now)))
            return row.subscription, fact.but(refund_key=row.key, refund_outcome=outcome)
        if row is not None:
            return row.subscription, fact
        if refund.payment_id is None:
            return None, fact
        attempt = await self._ledger.attempt_by_payment(account, refund.payment_id)
        if attempt is None:
            return None, fact
        if refund.status is RefundStatus.SUCCEEDED:
            at = business_now(attempt, now)
            await self._ledger.note_refund(
                attempt, refund_id=refund.refund_id, amount=refund.amount, currency=refund.currency, at=at
            )
        return attempt.subscription, fact

    async def _refund_of(self, account: str, refund: Refund) -> StoredRefund | None:
        row = await self._ledger.refund_row(refund.key) if refund.key is not None else None
        if row is not None and row.account == account:
            return row
        return await self._ledger.refund_by_provider_id(account, refund.refund_id)

    async def _attempt_of(self, account: str, fact: ProviderFact) -> StoredAttempt | None:
        payment = fact.payment
        if payment is None:
            return None
        if payment.key is None:
            # Perhaps one that the provider collected by itself and that an attempt of ours adopted.
            return await self._ledger.attempt_by_payment(account, payment.payment_id)
        found = await self._ledger.attempt(payment.key)
        if found is None or found.account != account:
            log.warning("webhook.unknown_key", account=account, payment_id=payment.payment_id)
            return None
        return found

    async def _subscription_of(
        self, account: str, reference: str | None, fact: ProviderFact, attempt: StoredAttempt | None, said: ToSettle
    ) -> str | None:
        """Our id of the subscription that a message is about, if the ledger knows it."""
        if attempt is not None:
            return attempt.subscription
        if fact.payment is not None and fact.payment.key is not None:
            return None  # another system's attempt at the same provider account
        if said.subscription and await self._ledger.has_subscription(account, said.subscription):
            return said.subscription
        if reference:
            return await self._ledger.find_subscription(account, reference)
        return None


def business_now(attempt: StoredAttempt, now: datetime) -> datetime:
    """The business instant of a message about an attempt: as long after the attempt as the machine clock says.

    On a live clock this is simply now; on a test clock it stays near the attempt instead of jumping back.
    """
    if attempt.sent_at is None:
        return attempt.business_at
    return attempt.business_at + max(now - attempt.sent_at, timedelta(0))


def _tells(fact: ProviderFact, attempt: StoredAttempt | None) -> bool:
    """Whether a workflow has something to do with it; the rest is only recorded."""
    if fact.kind is MessageKind.PAYMENT and fact.payment is not None:
        is_paid = fact.payment.status is PaymentStatus.SUCCEEDED
        # A set-up payment of nothing pays nothing, and a decline without our key is no attempt of ours.
        return fact.payment.status is not PaymentStatus.PENDING and (
            attempt is not None or (is_paid and fact.payment.amount > 0)
        )
    return fact.kind is not MessageKind.OTHER


def _new_message(account: str, message: ProviderMessage, declines: DeclineTable, now: datetime) -> NewMessage:
    return NewMessage(
        account=account,
        message_id=message.message_id,
        kind=message.kind.value,
        raw_type=message.raw_type,
        reference=message.reference,
        fact=_fact(message, declines).model_dump_json(),
        to_settle=_to_settle(message, declines, now).model_dump_json(),
    )


def _to_settle(message: ProviderMessage, declines: DeclineTable, now: datetime) -> ToSettle:
    """What is held against the ledger later. The account's rules are read now: they classify, and need no ledger."""
    payment = message.payment if message.kind is MessageKind.PAYMENT else None
    is_decided = payment is not None and payment.status is not PaymentStatus.PENDING
    outcome = outcome_of(payment, declines, now) if payment is not None and is_decided else None
    return ToSettle(at=now, subscription=message.subscription, outcome=outcome)


def _fact(message: ProviderMessage, declines: DeclineTable) -> ProviderFact:
    """The message as far as it speaks for itself."""
    if message.kind is MessageKind.REFUND and message.refund is not None:
        return ProviderFact(
            message_id=message.message_id, kind=message.kind, occurred_at=message.occurred_at, refund=message.refund
        )
    plan = message.plan if isinstance(message, PlanMessage) else None
    token = message.mandate.method_token if message.mandate is not None else None
    return ProviderFact(
        message_id=message.message_id,
        kind=message.kind,
        occurred_at=message.occurred_at,
        payment=message.payment,
        mandate=message.mandate,
        method_token=token,
        dispute_is_open=message.dispute_is_open,
        plan=standing_of(plan, declines) if plan is not None else None,
    )
