"""What a verified message means for the ledger: settled, stored, and to whom it is to be told. SPEC 13, 15."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from dunning.contract import ProviderFact
from dunning.domain.attempts import Outcome
from dunning.domain.declines import DeclineTable
from dunning.domain.page import ON_PAGE
from dunning.ledger import Ledger
from dunning.ledger.models import StoredAttempt, StoredRefund
from dunning.providers.base import MessageKind, Payment, PaymentStatus, ProviderMessage, Refund, RefundStatus
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


class Reception:
    """Takes messages into the ledger. Everything it does may be done again: providers repeat themselves."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    @property
    def ledger(self) -> Ledger:
        """Where messages go."""
        return self._ledger

    async def take(self, account: str, message: ProviderMessage, declines: DeclineTable, now: datetime) -> Received:
        """Settle and store one message, in one transaction; returns when it is committed.

        A crash before that leaves the message unacknowledged, so the provider sends it again.

        Args:
            now: the machine clock.
        """
        async with self._ledger.together():
            if message.kind is MessageKind.REFUND and message.refund is not None:
                return await self._take_refund(account, message, message.refund, now)
            return await self._take(account, message, declines, now)

    async def _take(self, account: str, message: ProviderMessage, declines: DeclineTable, now: datetime) -> Received:
        attempt = await self._attempt_of(account, message)
        outcome = None
        if attempt is not None and message.payment is not None and message.kind is MessageKind.PAYMENT:
            outcome = await self._settle(attempt, message.payment, declines, now)
        subscription = await self._subscription_of(account, message, attempt)
        is_told = subscription is not None and _tells(message, attempt)
        is_new = await self._ledger.receive(
            account,
            message_id=message.message_id,
            kind=message.kind.value,
            raw_type=message.raw_type,
            reference=message.reference,
            subscription=subscription if is_told else None,
            fact=_fact(message, attempt, outcome, declines).model_dump(mode="json"),
        )
        if not is_new:
            return Received.REPEATED
        return Received.STORED if subscription is not None else Received.UNKNOWN

    async def _take_refund(self, account: str, message: ProviderMessage, refund: Refund, now: datetime) -> Received:
        """A refund of ours is settled by its key, or by the provider's id of it; another one is written down."""
        row = await self._refund_of(account, refund)
        attempt = None
        if row is None and refund.payment_id is not None:
            attempt = await self._ledger.attempt_by_payment(account, refund.payment_id)
        outcome = None
        if row is not None and row.owner_is_us:
            outcome = await self._ledger.settle_refund(row.key, refund_outcome(refund, refund_now(row, now)))
        elif attempt is not None and refund.status is RefundStatus.SUCCEEDED:
            at = business_now(attempt, now)
            await self._ledger.note_refund(
                attempt, refund_id=refund.refund_id, amount=refund.amount, currency=refund.currency, at=at
            )
        subscription = row.subscription if row is not None else attempt.subscription if attempt is not None else None
        fact = ProviderFact(
            message_id=message.message_id,
            kind=message.kind,
            occurred_at=message.occurred_at,
            refund=refund,
            refund_key=row.key if row is not None and row.owner_is_us else None,
            refund_outcome=outcome,
        )
        is_new = await self._ledger.receive(
            account,
            message_id=message.message_id,
            kind=message.kind.value,
            raw_type=message.raw_type,
            reference=message.reference,
            subscription=subscription,
            fact=fact.model_dump(mode="json"),
        )
        if not is_new:
            return Received.REPEATED
        return Received.STORED if subscription is not None else Received.UNKNOWN

    async def _refund_of(self, account: str, refund: Refund) -> StoredRefund | None:
        row = await self._ledger.refund_row(refund.key) if refund.key is not None else None
        if row is not None and row.account == account:
            return row
        return await self._ledger.refund_by_provider_id(account, refund.refund_id)

    async def _attempt_of(self, account: str, message: ProviderMessage) -> StoredAttempt | None:
        payment = message.payment
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

    async def _settle(
        self, attempt: StoredAttempt, payment: Payment, declines: DeclineTable, now: datetime
    ) -> Outcome | None:
        """What the attempt came to, settled; None while the provider has not decided.

        A decline on the mandate's page decides nothing, for the customer may try again there: only a look-up does,
        which sees every payment of the page.
        """
        is_declined_on_page = payment.is_first_price and payment.status is PaymentStatus.FAILED
        if payment.status is PaymentStatus.PENDING or is_declined_on_page:
            return None
        if (payment.amount, payment.currency) != (attempt.amount, attempt.currency):
            log.warning("webhook.other_price", key=attempt.key, amount=payment.amount, currency=payment.currency)
        outcome = outcome_of(payment, declines, business_now(attempt, now))
        return await self._ledger.settle(attempt.key, outcome, method=payment.method_token)

    async def _subscription_of(
        self, account: str, message: ProviderMessage, attempt: StoredAttempt | None
    ) -> str | None:
        """Our id of the subscription that a message is about, if the ledger knows it."""
        if attempt is not None:
            return attempt.subscription
        if message.payment is not None and message.payment.key is not None:
            return None  # another system's attempt at the same provider account
        if message.subscription and await self._ledger.has_subscription(account, message.subscription):
            return message.subscription
        if message.reference:
            return await self._ledger.find_subscription(account, message.reference)
        return None


def business_now(attempt: StoredAttempt, now: datetime) -> datetime:
    """The business instant of a message about an attempt: as long after the attempt as the machine clock says.

    On a live clock this is simply now; on a test clock it stays near the attempt instead of jumping back.
    """
    if attempt.sent_at is None:
        return attempt.business_at
    return attempt.business_at + max(now - attempt.sent_at, timedelta(0))


def _tells(message: ProviderMessage, attempt: StoredAttempt | None) -> bool:
    """Whether a workflow has something to do with it; the rest is only recorded."""
    if message.kind is MessageKind.PAYMENT and message.payment is not None:
        is_paid = message.payment.status is PaymentStatus.SUCCEEDED
        # A set-up payment of nothing pays nothing, and a decline without our key is no attempt of ours.
        return message.payment.status is not PaymentStatus.PENDING and (
            attempt is not None or (is_paid and message.payment.amount > 0)
        )
    return message.kind is not MessageKind.OTHER


def _fact(
    message: ProviderMessage, attempt: StoredAttempt | None, outcome: Outcome | None, declines: DeclineTable
) -> ProviderFact:
    plan = message.plan if isinstance(message, PlanMessage) else None
    is_ours = attempt is not None and message.kind is MessageKind.PAYMENT
    token = message.mandate.method_token if message.mandate is not None else None
    return ProviderFact(
        message_id=message.message_id,
        kind=message.kind,
        occurred_at=message.occurred_at,
        attempt_key=attempt.key if is_ours and attempt is not None else None,
        outcome=outcome,
        payment=message.payment,
        mandate=message.mandate,
        method_token=token,
        dispute_is_open=message.dispute_is_open,
        is_page=is_ours and attempt is not None and attempt.method == ON_PAGE,
        plan=standing_of(plan, declines) if plan is not None else None,
    )
