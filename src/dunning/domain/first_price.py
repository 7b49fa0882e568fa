"""A first price that the customer pays on the mandate's own page: attempt 1 of cycle 1. SPEC 12, 13.

Its row and key are in the ledger before the page exists. The engine never sends it: once the mandate stands, the
attempt takes what the provider's payment under that key came to. A page that nobody completes closes it as absent.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from dunning.domain import planning
from dunning.domain.attempts import SETTLED_KINDS, Attempt, OutcomeKind, Trigger, attempt_key
from dunning.domain.base import Value
from dunning.domain.page import FIRST_CYCLE, ON_PAGE, PagePayment
from dunning.domain.tables import SubscriptionStatus

if TYPE_CHECKING:
    from dunning.domain import facts
    from dunning.domain.state import State
    from dunning.domain.step import Step

PAID_AFTER_THE_END = (
    "the first price was paid on the mandate's page, and there is no service: refund it, or start again"
)
PAID_TOO_LATE = "a first price was paid on a page whose attempt was closed: refund it, or start again"


class FirstPrice(Value):
    """What the page asks for. `amount` in minor units; `key` is the attempt's."""

    key: str
    amount: int
    currency: str
    description: str
    planned_at: datetime
    obligation: str = FIRST_CYCLE
    retry_attempt: int = 0


def asked_of(state: State) -> FirstPrice | None:
    """The first price that the mandate's page has to ask for; None where the mandate charges nothing."""
    terms = state.terms
    if not terms.is_first_paid_on_page:
        return None
    return FirstPrice(
        key=_key(state),
        amount=terms.amount,
        currency=terms.currency,
        description=terms.description,
        planned_at=state.created_at,
    )


def attempt_of(state: State) -> Attempt:
    """The attempt as far as it is known before the mandate stands."""
    return Attempt(
        number=1,
        trigger=Trigger.DUE,
        method=ON_PAGE,
        planned_at=state.created_at,
        because="the customer pays it on the mandate's page",
        key=_key(state),
    )


def _key(state: State) -> str:
    return attempt_key(state.account, state.id, state.generation, FIRST_CYCLE, 1)


def opened(step: Step) -> None:
    """The page was asked for, and may exist: from here the attempt has to be settled."""
    if step.s.page is None and step.s.terms.is_first_paid_on_page:
        step.set(page=PagePayment(key=_key(step.s)))


def paid(step: Step, fact: facts.PagePaid) -> None:
    """The provider told of the payment before the state knew of a mandate: that is asked for at once."""
    page = step.s.page
    if page is None or page.key != fact.key:
        step.attend(PAID_TOO_LATE)
    elif page.paid_at is None and step.s.status is SubscriptionStatus.REQUIRES_ACTION:
        step.set(page=page.but(paid_at=step.now, looks=0))


def counted(step: Step) -> None:
    """The mandate was asked for."""
    page = step.s.page
    if page is not None and page.paid_at is not None:
        step.set(page=page.but(looks=page.looks + 1))


def closed(step: Step, fact: facts.PageClosed) -> None:
    """What the attempt came to after the subscription ended; what is still unclear is asked for again."""
    page = step.s.page
    if page is None:
        return
    if fact.outcome.kind not in SETTLED_KINDS:
        step.set(page=page.but(paid_at=None, looks=1 if page.paid_at is not None else page.looks + 1))
        return
    step.set(page=None)
    if fact.outcome.kind is OutcomeKind.SUCCEEDED:
        step.attend(PAID_AFTER_THE_END)


def mandate_look_at(page: PagePayment) -> datetime | None:
    """When the mandate of a page that was paid is asked for; None: nobody has told of a payment."""
    return page.paid_at + _age(page.looks) if page.paid_at is not None else None


def close_at(state: State, page: PagePayment) -> datetime:
    """When an ended subscription asks what became of its page."""
    return (state.stopped_at or state.latest) + _age(0 if page.paid_at is not None else page.looks)


def _age(looks: int) -> timedelta:
    """At once, then as any unclear outcome is looked up."""
    return planning.age_of_look(planning.LOOK_UPS, planning.LOOK_UP_CAP, looks - 1) if looks else timedelta()
