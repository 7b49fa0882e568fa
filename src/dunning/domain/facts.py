"""What can happen, as values that `apply` takes in. SPEC 3.

Every fact carries the business instant at which it is taken in through `apply(state, fact, now)`; instants
inside a fact are when the thing itself happened.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from dunning.domain.attempts import Outcome
from dunning.domain.base import Known, Value
from dunning.domain.commands import Command
from dunning.domain.plans import PlanStanding
from dunning.domain.refunds import RefundOutcome


class MandateCreated(Value):
    """The provider made an authorisation; the customer completes it at `link`."""

    fact: Literal["mandate_created"] = "mandate_created"
    reference: str | None
    link: str | None
    expires_at: datetime | None = None


class MandateNotCreated(Value):
    """The provider could not be asked (`retry_at`), or refused for good (`retry_at` None)."""

    fact: Literal["mandate_not_created"] = "mandate_not_created"
    because: str
    retry_at: datetime | None = None


class MandateRead(Value):
    """The provider was asked where the authorisation stands, and nothing has changed."""

    fact: Literal["mandate_read"] = "mandate_read"


class MandateAuthorized(Value):
    """The customer authorised charging."""

    fact: Literal["mandate_authorized"] = "mandate_authorized"
    at: datetime
    reference: str | None = None
    method_token: str | None = None


class MandateFailed(Value):
    """The authorisation failed for good."""

    fact: Literal["mandate_failed"] = "mandate_failed"
    at: datetime


class MandateEnded(Value):
    """The mandate or plan ended at the provider."""

    fact: Literal["mandate_ended"] = "mandate_ended"
    at: datetime


class PagePaid(Value):
    """A first price was paid on the mandate's page, before the attempt was taken up here."""

    fact: Literal["page_paid"] = "page_paid"
    key: str


class PageClosed(Known):
    """What became of a first price after the subscription had ended; what is unclear is asked for again."""

    fact: Literal["page_closed"] = "page_closed"
    outcome: Outcome


class TimeCame(Known):
    """An instant that `decide` named has come: `what` is its name."""

    fact: Literal["time_came"] = "time_came"
    what: str
    obligation: str | None = None
    notice: str | None = None


class AttemptStarted(Known):
    """The planned attempt of an obligation is handed to the provider now."""

    fact: Literal["attempt_started"] = "attempt_started"
    obligation: str


class AttemptConcluded(Known):
    """What an attempt came to, told by the call itself, a look-up or the provider's message."""

    fact: Literal["attempt_concluded"] = "attempt_concluded"
    obligation: str
    number: int
    outcome: Outcome
    is_look_up: bool = False


class PaymentObserved(Value):
    """A payment without our key: a payment link, or the provider's own charge after a method update."""

    fact: Literal["payment_observed"] = "payment_observed"
    payment_id: str
    amount: int
    currency: str
    at: datetime
    by_provider: bool = False


class MethodUpdated(Value):
    """The customer gave another payment method at the provider."""

    fact: Literal["method_updated"] = "method_updated"
    at: datetime
    token: str


class MethodLost(Value):
    """A payment method can no longer be used, as the provider says."""

    fact: Literal["method_lost"] = "method_lost"
    at: datetime
    token: str


class DisputeOpened(Value):
    """A payment is disputed: attempts stop, a person looks."""

    fact: Literal["dispute_opened"] = "dispute_opened"
    at: datetime
    payment_id: str


class DisputeClosed(Value):
    """A dispute is over, whoever won it."""

    fact: Literal["dispute_closed"] = "dispute_closed"
    at: datetime
    payment_id: str


class RefundConcluded(Value):
    """What a refund of ours came to, told by the call itself, a look-up or the provider's message."""

    fact: Literal["refund_concluded"] = "refund_concluded"
    key: str
    outcome: RefundOutcome
    is_look_up: bool = False


class RefundObserved(Value):
    """A refund that was made at the provider without us; amounts in minor units."""

    fact: Literal["refund_observed"] = "refund_observed"
    refund_id: str
    payment_id: str
    amount: int
    currency: str
    at: datetime


class Commanded(Value):
    """A command was taken from the queue."""

    fact: Literal["commanded"] = "commanded"
    command: Command


class Queued(Value):
    """A command arrived and waits its turn."""

    fact: Literal["queued"] = "queued"
    command: Command


class NoticeStarted(Value):
    """A notice is handed to its channels."""

    fact: Literal["notice_started"] = "notice_started"
    key: str


class NoticeConcluded(Value):
    """What became of a notice.

    Attributes:
        is_sent: on at least one channel, now or before.
        retry_at: a channel is down; try again then, or when quiet hours are over.
        attention: what a person has to put right.
    """

    fact: Literal["notice_concluded"] = "notice_concluded"
    key: str
    is_sent: bool
    detail: str = ""
    retry_at: datetime | None = None
    attention: str | None = None


class NoticeUndelivered(Value):
    """A channel took a notice and did not deliver it.

    Attributes:
        at: when the next step may be taken (business time).
        is_told: another channel has it: only `attention` is left.
    """

    fact: Literal["notice_undelivered"] = "notice_undelivered"
    key: str
    at: datetime
    because: str
    attention: str | None = None
    is_told: bool = False


class Heard(Value):
    """A provider's message was taken in; a repeat of it is ignored from now on."""

    fact: Literal["heard"] = "heard"
    message_id: str


class MandateGivenBack(Value):
    """The provider confirmed that the mandate is ended; or, `is_done` False, that it could not be."""

    fact: Literal["mandate_given_back"] = "mandate_given_back"
    is_done: bool = True
    because: str = ""


class PlanRead(Known):
    """What the provider says now of the calendar that it runs: made, read, or told by a message. SPEC 12.

    The one door for everything about its cycles. Idempotent: repeats, older standings and any order are harmless.

    Attributes:
        is_asked: we asked; the next look backs off when it told nothing new.
        is_made: the plan was created (or found again) by us just now.
        was_unclear: a creation before it was never answered, so a second plan may appear yet.
    """

    fact: Literal["plan_read"] = "plan_read"
    standing: PlanStanding
    is_asked: bool = False
    is_made: bool = False
    was_unclear: bool = False


class PlanHinted(Value):
    """A message says that something about the plan changed, without saying what: it is to be read."""

    fact: Literal["plan_hinted"] = "plan_hinted"


class PlanNotMade(Value):
    """The plan could not be created: asked again at `retry_at`, or (None) refused for good.

    `is_unclear`: the request was sent and never answered; the plan may exist.
    """

    fact: Literal["plan_not_made"] = "plan_not_made"
    because: str
    retry_at: datetime | None = None
    is_unclear: bool = False


class PlanNotRead(Value):
    """The provider could not be asked about the plan."""

    fact: Literal["plan_not_read"] = "plan_not_read"
    because: str


class PlanEnded(Value):
    """The plan is over at the provider, read back; or, `is_done` False, it could not be ended yet.

    Attributes:
        standing: what was read back, with everything it had collected by then.
        retry_at: when to try again; None with `is_done` False: the provider refuses, a person has to look.
    """

    fact: Literal["plan_ended"] = "plan_ended"
    plan_id: str
    is_done: bool = True
    standing: PlanStanding | None = None
    because: str = ""
    retry_at: datetime | None = None


class PlanChanged(Value):
    """The provider took the change that was on its way; or, `is_done` False, it did not (yet).

    `retry_at` None with `is_done` False: refused for good; the command that asked is refused with `because`.
    """

    fact: Literal["plan_changed"] = "plan_changed"
    is_done: bool = True
    standing: PlanStanding | None = None
    because: str = ""
    retry_at: datetime | None = None


Fact = Annotated[
    MandateCreated
    | MandateNotCreated
    | MandateRead
    | MandateAuthorized
    | MandateFailed
    | MandateEnded
    | PagePaid
    | PageClosed
    | TimeCame
    | AttemptStarted
    | AttemptConcluded
    | PaymentObserved
    | MethodUpdated
    | MethodLost
    | DisputeOpened
    | DisputeClosed
    | RefundConcluded
    | RefundObserved
    | Commanded
    | Queued
    | NoticeStarted
    | NoticeConcluded
    | NoticeUndelivered
    | MandateGivenBack
    | PlanRead
    | PlanHinted
    | PlanNotMade
    | PlanNotRead
    | PlanEnded
    | PlanChanged
    | Heard,
    Field(discriminator="fact"),
]
