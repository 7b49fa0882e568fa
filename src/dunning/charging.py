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
from dunning.errors import Conflict
from dunning.ledger import ClaimLost, Ledger, Limits, Resending
from dunning.ledger.models import ChargeInput, Claim, LookUpInput, StoredAttempt
from dunning.providers import sending
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
"""How far back (machine clock) a payment that the provider made by itself is searched for at least."""

HARD_DEADLINE = 45.0
"""Seconds that a charge may take once it is claimed, waiting for the ledger included; the lease is longer."""


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
        if request.is_on_page:
            return await self._take_from_page(request)
        asked_at = sending.now()
        try:
            admission = await self._ledger.admit(request, owner=owner, limits=self._limits, resending=self._resending())
        except Conflict as conflict:
            await self._ledger.attend_attempt(request, str(conflict))
            raise
        except LEDGER_DOWN as failure:
            # Nothing was claimed and nothing sent, so this is certain; the workflow asks again later.
            return _outage(request.business_at, f"the ledger cannot be reached: {type(failure).__name__}")
        if admission.claim is None:
            return admission.outcome or _outage(request.business_at, "the ledger gave no answer")
        with sending.sending_until(asked_at + admission.claim.lease_seconds):
            return await self._send(request, admission.claim)

    async def _take_from_page(self, request: ChargeInput) -> Outcome:
        """What the customer paid on the mandate's page: the row or the provider tells; nothing is sent. SPEC 12."""
        try:
            await self._ledger.take_first_price(request)
            return await self.look_up(_look_up_of(request))
        except LEDGER_DOWN as failure:
            return _unknown(request.business_at, f"the ledger cannot be reached: {type(failure).__name__}")

    def _resending(self) -> Resending:
        known = self._provider.capabilities
        ttl = known.resend_ttl_seconds
        return Resending(
            is_allowed=known.resend is not Resend.NEVER,
            ttl=timedelta(seconds=ttl) if ttl is not None else None,
        )

    async def _send(self, request: ChargeInput, claim: Claim) -> Outcome:
        """Mark it sent, ask, write the answer down: the first two within the hard deadline, waits included."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(HARD_DEADLINE):
                held_back = await self._mark_sent(request, claim)
                if held_back is not None:
                    return held_back
                outcome = await self._ask(request)
        except TimeoutError:
            outcome = _unknown(request.business_at, "the call took longer than its deadline")
        except LEDGER_DOWN as failure:
            outcome = _unknown(request.business_at, f"the ledger failed meanwhile: {type(failure).__name__}")
        return await self._write(claim, outcome, int((time.monotonic() - started) * 1000))

    async def _mark_sent(self, request: ChargeInput, claim: Claim) -> Outcome | None:
        """None when the first byte may leave."""
        try:
            await self._ledger.mark_sent(claim)
        except ClaimLost as lost:
            until = request.business_at + timedelta(seconds=5)
            return Outcome(kind=OutcomeKind.DEFERRED, at=request.business_at, until=until, because=str(lost))
        except LEDGER_DOWN as failure:
            # The commit may or may not have happened; the row tells, so nothing is sent and nothing is assumed.
            because = f"the ledger failed before sending: {type(failure).__name__}"
            return _unknown(request.business_at, because)
        return None

    async def _write(self, claim: Claim, outcome: Outcome, latency_ms: int) -> Outcome:
        """What is not written down is not known: the workflow looks it up."""
        try:
            if outcome.kind is not OutcomeKind.OUTAGE:
                return await self._ledger.settle(claim.key, outcome, claim=claim, latency_ms=latency_ms)
            if await self._ledger.release(claim):
                return outcome
        except LEDGER_DOWN as failure:
            return _unknown(outcome.at, f"the answer could not be written down: {type(failure).__name__}")
        return _unknown(outcome.at, "this send charged nothing, and an earlier one is still unclear")

    async def _ask(self, request: ChargeInput) -> Outcome:
        adopted = await self._prepare(request)
        if adopted is not None:
            return adopted
        answer = await self._provider.charge(_charge_request(request))
        if answer.kind is AnswerKind.PAYMENT and answer.payment is not None:
            return await self._follow(request, answer.payment)
        return self._without_payment(request, answer)

    async def _prepare(self, request: ChargeInput) -> Outcome | None:
        """Never charge on top of what the provider collected by itself, and make the method current there. SPEC 12.

        A change of method, also one that the customer made at the provider and that no webhook told us of, may
        make it collect what is owed; that payment is this attempt's then.
        """
        if not self._provider.capabilities.method_update_may_charge:
            return None
        is_current = request.is_method_attached and request.attempt.trigger is not Trigger.PAYMENT_METHOD_UPDATED
        if is_current and request.attempt.number == 1:
            return None
        adopted = await self._own_collection(request)
        if adopted is not None or is_current:
            return adopted
        try:
            mandate = await self._provider.read_mandate(request.reference)
        except ProviderUnavailable as failure:
            return _outage(request.business_at, str(failure), failure.retry_after_seconds)
        except ProviderRefused as refused:
            return declined("api_code", refused.code, self._provider.declines, request.business_at)
        if mandate.method_token in (None, request.attempt.method):
            return None
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
        """What the provider collected by itself since the obligation was first put to it, if anything."""
        try:
            first = await self._ledger.first_sent_of(request)
            known = (*request.known_payments, *await self._ledger.payments_of_others(request))
        except LEDGER_DOWN as failure:
            return _outage(request.business_at, f"the ledger cannot be reached: {type(failure).__name__}")
        at_least = datetime.now(UTC) - OWN_COLLECTION_MEMORY
        since = min(first, at_least) if first is not None else at_least
        query = _query_of(request, None, since).but(accept_keyless=True, known_payments=known)
        found = await self._provider.find_payment(query)
        if not found.is_certain:
            return _outage(request.business_at, f"the provider could not be asked first: {found.because}")
        payment = found.payment
        is_ours = payment is not None and payment.key == request.attempt.key
        if payment is None or (payment.status is PaymentStatus.FAILED and not is_ours):
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
            found = await self._provider.find_payment(_query_of(request, payment.payment_id, payment.created_at))
            payment = found.payment or payment
            if payment.status is not PaymentStatus.PENDING:
                break
            settled = await self._ledger.attempt(request.attempt.key)
            if settled is not None and settled.settled_at is not None and settled.outcome is not None:
                return settled.outcome
        return outcome_of(payment, self._provider.declines, request.business_at)

    # --- look up ------------------------------------------------------------------------------------

    async def look_up(self, request: LookUpInput) -> Outcome:
        """What became of an attempt whose outcome is not known. It never sends.

        Raises:
            Conflict: the row stands for another amount or currency.
        """
        row = await self._ledger.attempt(request.attempt.key)
        if row is None or (row.sent_at is None and row.settled_at is None):
            return await self._never_sent(request, row)
        await self._must_cost_the_same(request, row)
        if row.settled_at is not None and row.outcome is not None:
            return row.outcome
        if await self._ledger.has_live_lease(row.key):
            return _unknown(request.business_at, "another worker has this attempt in hand")
        if not self._provider.capabilities.has_look_up:
            return _unknown(request.business_at, "this provider cannot be asked: a message or an operator settles it")
        known = (*request.known_payments, *await self._ledger.payments_of_others(request))
        found = await self._provider.find_payment(_query_of_row(request, row).but(known_payments=known))
        if found.payment is not None:
            outcome = outcome_of(found.payment, self._provider.declines, request.business_at)
            return await self._ledger.settle(row.key, outcome, method=found.payment.method_token)
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
        because = found.because or "absent so far"
        return _unknown(request.business_at, because).but(is_absent=found.is_certain)

    async def _must_cost_the_same(self, request: LookUpInput, row: StoredAttempt) -> None:
        """A row of another price tells nothing about this attempt."""
        asked, stored = (request.amount, request.currency), (row.amount, row.currency)
        if asked != stored:
            because = f"attempt {row.key}: {asked} differs from {stored}, which this key stands for"
            await self._ledger.attend_attempt(request, because)
            raise Conflict(because)

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
        recurs_every_days=request.recurs_every_days,
        fees_inclusive=request.fees_inclusive,
        metadata=request.metadata,
    )


def _look_up_of(request: ChargeInput) -> LookUpInput:
    return LookUpInput(
        account=request.account,
        subscription=request.subscription,
        generation=request.generation,
        customer=request.customer,
        obligation=request.obligation,
        attempt=request.attempt,
        amount=request.amount,
        currency=request.currency,
        reference=request.reference,
        business_at=request.business_at,
        known_payments=request.known_payments,
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
        since=row.first_sent_at or row.sent_at or row.planned_at,
        payment_id=row.provider_payment_id,
        accept_keyless=row.number > 1 or row.trigger == Trigger.PAYMENT_METHOD_UPDATED.value,
        business_at=request.business_at,
    )
