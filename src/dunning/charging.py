"""Charging once: admit -> send -> settle, over a provider and the ledger. SPEC 13.

Nothing here waits for days or retries: the workflow plans, the ledger decides who may send, and an answer that
is not clear is said to be unclear. This module is callable without Temporal.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from dunning.domain.attempts import Outcome, OutcomeKind, Trigger
from dunning.ledger import ClaimLost, Ledger, Limits, Resending
from dunning.ledger.models import ChargeInput, Claim, LookUpInput, StoredAttempt
from dunning.providers.base import (
    AnswerKind,
    ChargeAnswer,
    ChargeRequest,
    Payment,
    PaymentProvider,
    PaymentQuery,
    PaymentStatus,
    ProviderRefused,
    ProviderUnavailable,
    Resend,
)
from dunning.providers.outcomes import declined, outcome_of

LEDGER_DOWN = (SQLAlchemyError, OSError, TimeoutError)
"""How a database that is away shows itself."""

WAIT_FOR_RESULT = 20.0
"""Seconds that an asynchronous provider is asked for the result before `pending` is returned. SPEC 13."""

POLLS = (0.1, 0.2, 0.4, 0.8, 1.5, 3.0)
"""Seconds between those questions; the last one repeats."""

OWN_COLLECTION_MEMORY = timedelta(days=3)
"""How far back (machine clock) a payment that the provider made by itself is searched for."""

HARD_DEADLINE = 45.0
"""Seconds that a whole charge may take; the lease is longer."""


class Charging:
    """The protocol of one merchant account."""

    def __init__(
        self,
        ledger: Ledger,
        provider: PaymentProvider,
        limits: Limits,
        *,
        wait_seconds: float = WAIT_FOR_RESULT,
    ) -> None:
        self._ledger = ledger
        self._provider = provider
        self._limits = limits
        self._wait_seconds = wait_seconds

    # --- charge -------------------------------------------------------------------------------------

    async def charge(self, request: ChargeInput, *, owner: str) -> Outcome:
        """Send one attempt at most once, and say what is known of it.

        Args:
            owner: names this try of this process; no two are equal.

        Raises:
            Conflict: the same key was used for another amount, currency, method or trigger.
        """
        try:
            admission = await self._ledger.admit(
                request, owner=owner, limits=self._limits, resending=self._resending()
            )
        except LEDGER_DOWN as failure:
            # Nothing was claimed and nothing sent, so this is certain; the workflow asks again later.
            return _outage(request.business_at, f"the ledger cannot be reached: {type(failure).__name__}")
        if admission.claim is None:
            return admission.outcome or _outage(request.business_at, "the ledger gave no answer")
        return await self._send(request, admission.claim)

    def _resending(self) -> Resending:
        known = self._provider.capabilities
        ttl = known.resend_ttl_seconds
        return Resending(
            is_allowed=known.resend is not Resend.NEVER,
            ttl=timedelta(seconds=ttl) if ttl is not None else None,
        )

    async def _send(self, request: ChargeInput, claim: Claim) -> Outcome:
        try:
            await self._ledger.mark_sent(claim)
        except ClaimLost as lost:
            until = request.business_at + timedelta(seconds=5)
            return Outcome(kind=OutcomeKind.DEFERRED, at=request.business_at, until=until, because=str(lost))
        except LEDGER_DOWN as failure:
            # The commit may or may not have happened; the row tells, so nothing is sent and nothing is assumed.
            return _unknown(
                request.business_at, f"the ledger failed before sending: {type(failure).__name__}"
            )
        started = time.monotonic()
        try:
            async with asyncio.timeout(HARD_DEADLINE):
                outcome = await self._ask(request)
        except TimeoutError:
            outcome = _unknown(request.business_at, "the call took longer than its deadline")
        latency = int((time.monotonic() - started) * 1000)
        if outcome.kind is OutcomeKind.OUTAGE:
            await self._ledger.release(claim)
            return outcome
        return await self._ledger.settle(claim.key, outcome, claim=claim, latency_ms=latency)

    async def _ask(self, request: ChargeInput) -> Outcome:
        adopted = await self._prepare(request)
        if adopted is not None:
            return adopted
        answer = await self._provider.charge(_charge_request(request))
        if answer.kind is AnswerKind.PAYMENT and answer.payment is not None:
            return await self._follow(request, answer.payment)
        return self._without_payment(request, answer)

    async def _prepare(self, request: ChargeInput) -> Outcome | None:
        """Make the method current where the provider charges what is attached, and never charge on top.

        A change of method may make the provider collect by itself; that payment is this attempt's then. SPEC 12.
        """
        if not self._provider.capabilities.method_update_may_charge:
            return None
        is_new = request.attempt.trigger is Trigger.PAYMENT_METHOD_UPDATED
        if request.is_method_attached and not is_new:
            return None
        try:
            mandate = await self._provider.read_mandate(request.reference)
        except ProviderUnavailable as failure:
            return _outage(request.business_at, str(failure), failure.retry_after_seconds)
        except ProviderRefused as refused:
            return declined("api_code", refused.code, self._provider.declines, request.business_at)
        if mandate.method_token in (None, request.attempt.method):
            return await self._own_collection(request)
        return await self._change_method(request)

    async def _change_method(self, request: ChargeInput) -> Outcome | None:
        try:
            change = await self._provider.change_method(request.reference, request.attempt.method)
        except ProviderUnavailable as failure:
            # The change may have arrived and collected: that is looked up, never charged on top.
            return _unknown(request.business_at, f"the change of method is unclear: {failure}")
        except ProviderRefused as refused:
            return declined("api_code", refused.code, self._provider.declines, request.business_at)
        return await self._follow(request, change.payment) if change.payment is not None else None

    async def _own_collection(self, request: ChargeInput) -> Outcome | None:
        """What the provider collected by itself when the customer changed the method there."""
        since = datetime.now(UTC) - OWN_COLLECTION_MEMORY
        query = _query_of(request, None, since).but(accept_keyless=True)
        found = await self._provider.find_payment(query)
        if not found.is_certain:
            return _outage(request.business_at, f"the provider could not be asked first: {found.because}")
        payment = found.payment
        if payment is None or payment.status is PaymentStatus.FAILED:
            return None
        known = await self._ledger.attempt_by_payment(request.account, payment.payment_id)
        if known is not None and known.key != request.attempt.key:
            return None
        return await self._follow(request, payment)

    def _without_payment(self, request: ChargeInput, answer: ChargeAnswer) -> Outcome:
        if answer.kind is AnswerKind.OUTAGE:
            return _outage(request.business_at, answer.because, answer.retry_after_seconds)
        if answer.kind is AnswerKind.REFUSED:
            return declined(
                answer.code_field,
                answer.code,
                self._provider.declines,
                request.business_at,
                message=answer.because,
            )
        return _unknown(request.business_at, answer.because or "the answer was not clear")

    async def _follow(self, request: ChargeInput, payment: Payment) -> Outcome:
        """Ask an asynchronous provider for the result for a while; the webhook may be quicker."""
        deadline = time.monotonic() + self._wait_seconds
        polls = iter(POLLS)
        wait = next(polls)
        while payment.status is PaymentStatus.PENDING and time.monotonic() + wait < deadline:
            await asyncio.sleep(wait)
            wait = next(polls, wait)
            settled = await self._ledger.attempt(request.attempt.key)
            if settled is not None and settled.settled_at is not None and settled.outcome is not None:
                return settled.outcome
            found = await self._provider.find_payment(
                _query_of(request, payment.payment_id, payment.created_at)
            )
            payment = found.payment or payment
        return outcome_of(payment, self._provider.declines, request.business_at)

    # --- look up ------------------------------------------------------------------------------------

    async def look_up(self, request: LookUpInput) -> Outcome:
        """What became of an attempt whose outcome is not known. It never sends."""
        row = await self._ledger.attempt(request.attempt.key)
        if row is None or (row.sent_at is None and row.settled_at is None and row.status == "started"):
            return await self._never_sent(request, row)
        if row.settled_at is not None and row.outcome is not None:
            return row.outcome
        if await self._ledger.has_live_lease(row.key):
            return _unknown(request.business_at, "another worker has this attempt in hand")
        if not self._provider.capabilities.has_look_up:
            return _unknown(
                request.business_at, "this provider cannot be asked: a message or an operator settles it"
            )
        found = await self._provider.find_payment(_query_of_row(request, row))
        if found.payment is not None:
            outcome = outcome_of(found.payment, self._provider.declines, request.business_at)
            return await self._ledger.settle(row.key, outcome)
        if row.status == "pending":
            return Outcome(
                kind=OutcomeKind.PENDING,
                at=request.business_at,
                provider_payment_id=row.provider_payment_id,
                because=found.because or "the provider could not be asked",
            )
        if found.is_certain and request.may_close_absent:
            absent = Outcome(
                kind=OutcomeKind.ABSENT,
                at=request.business_at,
                because="the provider has no payment with this key, and had none for a day",
            )
            return await self._ledger.settle(row.key, absent)
        return _unknown(request.business_at, found.because or "absent so far")

    async def _never_sent(self, request: LookUpInput, row: StoredAttempt | None) -> Outcome:
        """A row without `sent_at` whose lease ended proves that nothing was sent: the attempt goes on at once."""
        if row is not None and await self._ledger.has_live_lease(row.key):
            return _unknown(request.business_at, "another worker has this attempt in hand")
        return _outage(request.business_at, "nothing was sent: the worker ended before the first byte")


def _outage(at: datetime, because: str, retry_after: int | None = None) -> Outcome:
    return Outcome(kind=OutcomeKind.OUTAGE, at=at, because=because, retry_after_seconds=retry_after)


def _unknown(at: datetime, because: str) -> Outcome:
    return Outcome(kind=OutcomeKind.UNKNOWN, at=at, because=because)


def _charge_request(request: ChargeInput) -> ChargeRequest:
    return ChargeRequest(
        reference=request.reference,
        key=request.attempt.key,
        amount=request.amount,
        currency=request.currency,
        description=request.description,
        method_token=request.attempt.method,
        retry_attempt=request.attempt.number - 1,
        planned_at=request.attempt.planned_at,
        business_at=request.business_at,
        subscription=request.subscription,
        obligation=request.obligation,
        metadata=request.metadata,
    )


def _query_of(request: ChargeInput, payment_id: str | None, since: datetime) -> PaymentQuery:
    return PaymentQuery(
        reference=request.reference,
        key=request.attempt.key,
        amount=request.amount,
        currency=request.currency,
        since=since,
        payment_id=payment_id,
        business_at=request.business_at,
    )


def _query_of_row(request: LookUpInput, row: StoredAttempt) -> PaymentQuery:
    return PaymentQuery(
        reference=request.reference,
        key=row.key,
        amount=row.amount,
        currency=row.currency,
        since=row.sent_at or row.planned_at,
        payment_id=row.provider_payment_id,
        accept_keyless=row.number > 1,
        business_at=request.business_at,
    )
