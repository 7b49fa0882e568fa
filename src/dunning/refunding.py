"""Refunding once: admit -> send -> settle, over a provider and the ledger, as `dunning.charging` charges. SPEC 9, 13.

An unclear refund is looked up by its key and never sent again: no provider here promises to make one refund of two
requests. A row without `sent_at` whose lease ended proves that nothing was sent.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from dunning.charging import HARD_DEADLINE, LEDGER_DOWN
from dunning.domain.refunds import RefundKind, RefundOutcome
from dunning.ledger import ClaimLost, Ledger
from dunning.ledger.models import Claim, RefundInput, RefundLookUpInput, StoredRefund
from dunning.providers import sending
from dunning.providers.base import (
    AnswerKind,
    PaymentProvider,
    ProviderRefused,
    ProviderUnavailable,
    Refund,
    RefundAnswer,
    RefundRequest,
    RefundStatus,
)

_KINDS = {
    RefundStatus.SUCCEEDED: RefundKind.SUCCEEDED,
    RefundStatus.PENDING: RefundKind.PENDING,
    RefundStatus.FAILED: RefundKind.REFUSED,
}


class Refunding:
    """The protocol of one merchant account."""

    def __init__(self, ledger: Ledger, provider: PaymentProvider) -> None:
        self._ledger = ledger
        self._provider = provider

    async def refund(self, request: RefundInput, *, owner: str) -> RefundOutcome:
        """Send one refund at most once, and say what is known of it.

        Args:
            owner: names this try of this process; no two are equal.

        Raises:
            Conflict: the same key was used for another order.
        """
        asked_at = sending.now()
        try:
            admission = await self._ledger.admit_refund(request, owner=owner)
        except LEDGER_DOWN as failure:
            because = f"the ledger cannot be reached: {type(failure).__name__}"
            return _said(RefundKind.OUTAGE, request.business_at, because)
        if admission.claim is None or admission.row is None:
            because = "the ledger gave no answer"
            return admission.outcome or _said(RefundKind.OUTAGE, request.business_at, because)
        with sending.sending_until(asked_at + admission.claim.lease_seconds):
            return await self._send(request, admission.claim, admission.row)

    async def _send(self, request: RefundInput, claim: Claim, row: StoredRefund) -> RefundOutcome:
        """Mark it sent, ask, write the answer down: the first two within the hard deadline, waits included."""
        at = request.business_at
        try:
            async with asyncio.timeout(HARD_DEADLINE):
                try:
                    await self._ledger.mark_refund_sent(claim)
                except ClaimLost as lost:
                    return _said(RefundKind.DEFERRED, at, str(lost))
                answer = await self._provider.refund(_request_of(request, row))
            outcome = self._outcome(answer, at)
        except TimeoutError:
            outcome = _said(RefundKind.UNKNOWN, at, "the call took longer than its deadline")
        except LEDGER_DOWN as failure:
            outcome = _said(RefundKind.UNKNOWN, at, f"the ledger failed meanwhile: {type(failure).__name__}")
        return await self._write(claim, outcome)

    async def _write(self, claim: Claim, outcome: RefundOutcome) -> RefundOutcome:
        """What is not written down is not known: the workflow looks it up."""
        try:
            if outcome.kind is not RefundKind.OUTAGE:
                return await self._ledger.settle_refund(claim.key, outcome, claim=claim)
            if await self._ledger.release_refund(claim):
                return outcome
        except LEDGER_DOWN as failure:
            because = f"the answer could not be written down: {type(failure).__name__}"
            return _said(RefundKind.UNKNOWN, outcome.at, because)
        return _said(RefundKind.UNKNOWN, outcome.at, "another owner has taken this refund over")

    def _outcome(self, answer: RefundAnswer, at: datetime) -> RefundOutcome:
        if answer.kind is AnswerKind.PAYMENT and answer.refund is not None:
            return outcome_of(answer.refund, at)
        if answer.kind is AnswerKind.OUTAGE:
            said = _said(RefundKind.OUTAGE, at, answer.because)
            return said.but(retry_after_seconds=answer.retry_after_seconds)
        if answer.kind is AnswerKind.REFUSED:
            because = ": ".join(text for text in (answer.code, answer.because) if text)
            return _said(RefundKind.REFUSED, at, because or "the provider refused it").but(code=answer.code)
        return _said(RefundKind.UNKNOWN, at, answer.because or "the answer was not clear")

    async def look_up(self, request: RefundLookUpInput) -> RefundOutcome:
        """What became of a refund that is unclear or pending. It never sends."""
        at = request.business_at
        row = await self._ledger.refund_row(request.key)
        if row is not None and row.settled_at is not None and row.outcome is not None:
            return row.outcome
        if row is not None and await self._ledger.has_live_refund_lease(row.key):
            return _said(RefundKind.UNKNOWN, at, "another worker has this refund in hand")
        if row is None or row.sent_at is None:
            return _said(RefundKind.OUTAGE, at, "nothing was sent: the worker ended before the first byte")
        return await self._ask(request, row)

    async def _ask(self, request: RefundLookUpInput, row: StoredRefund) -> RefundOutcome:
        at = request.business_at
        try:
            found = await self._provider.find_refund(row.payment_id, row.key)
        except (ProviderUnavailable, ProviderRefused) as failure:
            return await self._still(row, at, str(failure))
        if found is not None:
            return await self._ledger.settle_refund(row.key, outcome_of(found, at))
        is_proof = self._provider.capabilities.refund_look_up_proves_absence
        if is_proof and request.may_close_absent and row.status != "pending":
            because = "the provider has no refund with this key, and had none for a day: give it a new command"
            return await self._ledger.settle_refund(row.key, _said(RefundKind.ABSENT, at, because))
        return await self._still(row, at, "absent so far")

    async def _still(self, row: StoredRefund, at: datetime, because: str) -> RefundOutcome:
        kind = RefundKind.PENDING if row.status == "pending" else RefundKind.UNKNOWN
        return await self._ledger.settle_refund(row.key, _said(kind, at, because))


def outcome_of(refund: Refund, at: datetime) -> RefundOutcome:
    """What the provider's refund amounts to. `at`: business time."""
    kind = _KINDS[refund.status]
    because = f"the provider could not make it ({refund.code or 'no reason given'})"
    return RefundOutcome(
        kind=kind,
        at=at,
        amount=refund.amount,
        currency=refund.currency,
        payment_id=refund.payment_id,
        refund_id=refund.refund_id,
        code=refund.code,
        because=because if kind is RefundKind.REFUSED else "",
    )


def _request_of(request: RefundInput, row: StoredRefund) -> RefundRequest:
    return RefundRequest(
        payment_id=row.payment_id,
        key=row.key,
        amount=row.amount,
        currency=row.currency,
        metadata={**request.metadata, "subscription": row.subscription},
    )


def _said(kind: RefundKind, at: datetime, because: str) -> RefundOutcome:
    return RefundOutcome(kind=kind, at=at, because=because)


def business_now(row: StoredRefund, now: datetime) -> datetime:
    """The business instant of a message about a refund: as long after the refund as the machine clock says."""
    if row.sent_at is None:
        return row.business_at
    return row.business_at + max(now.astimezone(UTC) - row.sent_at, row.sent_at - row.sent_at)
