"""What stored messages are about, and which of them can be settled together. Pure: the ledger's rows are given."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog

from dunning.contract import ProviderFact
from dunning.domain.attempts import SETTLED_KINDS, Outcome
from dunning.domain.page import ON_PAGE
from dunning.ledger.models import SettledMessage, StoredAttempt, ToSettle, UnsettledMessage
from dunning.ledger.settling import is_known
from dunning.providers.base import MessageKind, Payment, PaymentStatus

log = structlog.get_logger("gateway")

Pair = tuple[str, str]
"""A merchant account, and an id in it."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message as it was stored."""

    row: int
    account: str
    reference: str | None
    fact: ProviderFact
    to_settle: ToSettle

    @property
    def payment(self) -> Payment | None:
        """The payment that it is the word about. A dispute names one too, and says nothing of its outcome."""
        return self.fact.payment if self.fact.kind is MessageKind.PAYMENT else None

    def outcome_for(self, attempt: StoredAttempt) -> Outcome | None:
        """What the attempt came to, if the provider has decided."""
        payment, outcome = self.payment, self.to_settle.outcome
        if payment is None or outcome is None:
            return None
        if (payment.amount, payment.currency) != (attempt.amount, attempt.currency):
            log.warning("webhook.other_price", key=attempt.key, amount=payment.amount, currency=payment.currency)
        return outcome.but(at=business_now(attempt, self.to_settle.at))

    def settled(self, subscription: str | None, attempt: StoredAttempt | None, more: dict[str, Any]) -> SettledMessage:
        """The mark that it took effect."""
        if subscription is None:
            log.info("webhook.unknown", account=self.account, id=self.fact.message_id, reference=self.reference)
        is_told = subscription is not None and _tells(self.fact, attempt)
        return SettledMessage(self.row, subscription if is_told else None, more)


def read(row: UnsettledMessage) -> Said:
    """A row of the inbox as a message. Raises `ValidationError` for one that holds none."""
    fact, to_settle = ProviderFact.model_validate_json(row.fact), ToSettle.model_validate_json(row.to_settle)
    return Said(row.id, row.account, row.reference, fact, to_settle)


@dataclass(slots=True)
class Known:
    """What the ledger knows of what messages name."""

    by_key: dict[str, StoredAttempt] = field(default_factory=dict)
    by_payment: dict[Pair, StoredAttempt] = field(default_factory=dict)
    subscriptions: set[Pair] = field(default_factory=set)
    references: dict[Pair, str] = field(default_factory=dict)

    def add(self, attempts: Iterable[StoredAttempt]) -> None:
        """Remember attempts."""
        for attempt in attempts:
            self.by_key[attempt.key] = attempt
            if attempt.provider_payment_id is not None:
                self.by_payment[attempt.account, attempt.provider_payment_id] = attempt

    def attempt_of(self, said: Said) -> StoredAttempt | None:
        """The attempt that a message is about."""
        payment = said.fact.payment
        if payment is None:
            return None
        if payment.key is None:
            # Perhaps one that the provider collected by itself and that an attempt of ours adopted.
            return self.by_payment.get((said.account, payment.payment_id))
        found = self.by_key.get(payment.key)
        if found is None or found.account != said.account:
            log.warning("webhook.unknown_key", account=said.account, payment_id=payment.payment_id)
            return None
        return found

    def subscription_of(self, said: Said, attempt: StoredAttempt | None) -> str | None:
        """Our id of the subscription that a message is about, if the ledger knows it."""
        if attempt is not None:
            return attempt.subscription
        if said.fact.payment is not None and said.fact.payment.key is not None:
            return None  # another system's attempt at the same provider account
        named = said.to_settle.subscription
        if named and (said.account, named) in self.subscriptions:
            return named
        return self.references.get((said.account, said.reference)) if said.reference else None


class Batch:
    """Messages that are settled together: the oldest ones, as far as one look at the ledger is enough for each.

    Nobody is passed over: what one message makes known (a payment's id) the next one may need.
    """

    def __init__(self, known: Known) -> None:
        self._known = known
        self.outcomes: dict[str, tuple[StoredAttempt, Outcome]] = {}
        self.settled: list[SettledMessage] = []

    def may_settle(self, messages: Iterable[Said]) -> set[str]:
        """Keys of attempts that these messages may settle."""
        found = ((self._known.attempt_of(one), one) for one in messages)
        return {
            attempt.key
            for attempt, one in found
            if attempt is not None and attempt.settled_at is None and one.payment and one.to_settle.outcome is not None
        }

    def fill(self, messages: Iterable[Said], held: Collection[str]) -> None:
        """Take messages up to the first that has to be settled alone.

        Args:
            held: attempts that nobody else can settle meanwhile.
        """
        for one in messages:
            attempt = self._known.attempt_of(one)
            more = self._learn(one, attempt, held)
            if more is None:
                return
            self.settled.append(one.settled(self._known.subscription_of(one, attempt), attempt, more))

    def _learn(self, one: Said, attempt: StoredAttempt | None, held: Collection[str]) -> dict[str, Any] | None:
        """What the ledger adds to a message; None when that takes more than one look."""
        if one.fact.refund is not None:
            return None
        if attempt is None or one.payment is None:
            return {}
        outcome = one.outcome_for(attempt)
        if outcome is None:
            return known_of(attempt, None)
        if attempt.key in self.outcomes or attempt.settled_at is not None:
            recorded = self.outcomes[attempt.key][1] if attempt.key in self.outcomes else attempt.outcome
            is_repeat = recorded is not None and is_known(recorded, outcome)
            return known_of(attempt, recorded) if is_repeat else None
        if attempt.key not in held or outcome.kind not in SETTLED_KINDS or attempt.method == ON_PAGE:
            return None
        self.outcomes[attempt.key] = (attempt, outcome)
        if outcome.provider_payment_id is not None:
            self._known.by_payment[attempt.account, outcome.provider_payment_id] = attempt
        return known_of(attempt, outcome)


def known_of(attempt: StoredAttempt, outcome: Outcome | None) -> dict[str, Any]:
    """What the ledger adds to a message about an attempt of ours."""
    told = outcome.model_dump(mode="json") if outcome is not None else None
    return {"attempt_key": attempt.key, "outcome": told, "is_page": attempt.method == ON_PAGE}


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
