"""What a verified message says, as it is put into the inbox: before it is acknowledged, in one piece. SPEC 13, 15."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from dunning.contract import ProviderFact
from dunning.domain.declines import DeclineTable
from dunning.gateway.writing import InboxWriter
from dunning.ledger import Ledger
from dunning.ledger.models import NewMessage, ToSettle
from dunning.providers.base import MessageKind, Payment, PaymentStatus, ProviderMessage
from dunning.providers.following import PlanMessage, standing_of
from dunning.providers.outcomes import outcome_of


class Received(StrEnum):
    """What became of a message."""

    STORED = "stored"
    REPEATED = "repeated"


class Reception:
    """Takes messages into the ledger. Providers repeat themselves: a message that is known changes nothing."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._writer = InboxWriter(ledger)

    @property
    def ledger(self) -> Ledger:
        """Where messages go."""
        return self._ledger

    async def store(self, account: str, message: ProviderMessage, declines: DeclineTable, now: datetime) -> Received:
        """Store one message as it came; returns when it is committed. `Settler` does what it says, later.

        A crash before that leaves the message unacknowledged, so the provider sends it again.

        Args:
            now: the machine clock.
        """
        is_new = await self._writer.write(_new_message(account, message, declines, now))
        return Received.STORED if is_new else Received.REPEATED

    async def aclose(self) -> None:
        """Returns when every message that was handed in is stored, or has failed."""
        await self._writer.aclose()


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
    outcome = outcome_of(payment, declines, now) if payment is not None and _is_decided(payment) else None
    return ToSettle(at=now, subscription=message.subscription, outcome=outcome)


def _is_decided(payment: Payment) -> bool:
    """Whether it settles an attempt.

    A decline on the mandate's page does not, for the customer may try again there: only a look-up does, which sees
    every payment of the page.
    """
    is_declined_on_page = payment.is_first_price and payment.status is PaymentStatus.FAILED
    return payment.status is not PaymentStatus.PENDING and not is_declined_on_page


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
