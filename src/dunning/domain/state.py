"""The state of one subscription: everything that a decision needs, as one frozen value. SPEC 3, 8, 15.

It holds no contacts. Every instant is business time in UTC. Closed obligations leave it at continue-as-new
(`prune`); what has to be remembered for ever stands in the ledger.
"""

from __future__ import annotations

from dataclasses import field
from datetime import datetime, timedelta

from dunning.domain.attempts import Attempt, Trigger
from dunning.domain.base import Known, Value
from dunning.domain.calendar import Calendar
from dunning.domain.commands import Command, CommandResult
from dunning.domain.declines import DeclineClass
from dunning.domain.messages import NoticeStatus, PlannedNotice
from dunning.domain.page import PagePayment
from dunning.domain.plans import PlanState
from dunning.domain.refunds import Refund
from dunning.domain.tables import (
    ENDED,
    OPEN_CYCLE,
    UNSETTLED_CYCLE,
    CycleStatus,
    SubscriptionStatus,
)
from dunning.domain.terms import Item, Terms

SCHEMA_VERSION = 1
RULES_VERSION = 1
MAX_SEEN = 128
"""Message and command ids remembered in the state; older ones are refused by the ledger's inbox."""


_DEAD = frozenset({DeclineClass.HARD, DeclineClass.ACTION})
"""Verdicts after which a method is not charged by itself."""


class MethodState(Known):
    """A payment method and its own latest verdict. `expires` is `YYYY-MM`; cards live to the month's end."""

    token: str
    expires: str | None = None
    network: str | None = None
    fingerprint: str | None = None
    verdict: DeclineClass | None = None
    verdict_code: str | None = None

    def is_expired(self, at: datetime) -> bool:
        """Whether the card's last month is over at `at`."""
        return self.expires is not None and f"{at:%Y-%m}" > self.expires

    def is_usable(self, at: datetime) -> bool:
        """Whether an automatic attempt may be planned on it. SPEC 7."""
        return self.verdict not in _DEAD and (self.expires is None or not self.is_expired(at))


class PlannedAttempt(Known):
    """The next attempt of an obligation: when, with what, and why then.

    `planned_at` is the instant the rule gives; the attempt never starts before `not_before` (an advised wait)
    or `wait_until` (an outage's back-off, a slot that is taken; `held_up_by` says which).
    """

    trigger: Trigger
    planned_at: datetime
    not_before: datetime | None = None
    wait_until: datetime | None = None
    rung: int | None = None
    rung_days: int = 0
    retry_of: int | None = None
    number: int
    tries: int = 0
    method: str
    because: str
    held_up_by: str | None = None

    @property
    def at(self) -> datetime:
        """When it may start."""
        at = self.planned_at
        for wait in (self.not_before, self.wait_until):
            if wait is not None and wait > at:
                at = wait
        return at


class DroppedRung(Known):
    """A rung that will not run, and why."""

    rung: int
    days: int
    at: datetime
    because: str


class ItemsWanted(Value):
    """What a charge for added items leads to once it is paid: `added` now, and `items` from the next period on."""

    command_id: str
    added: tuple[Item, ...]
    items: tuple[Item, ...]


class Obligation(Known):
    """Something owed and collected on its own: a cycle, or an on-demand charge. SPEC 2.

    Attributes:
        number: the cycle's number; None for an on-demand charge.
        anchor: its UTC time of day is the ladder's; fixed at the first attempt. SPEC 6.
        gone: rungs used or dropped.
        window_end: when it is given up at the latest; None until a decline.
        limit: the next due instant; the window never passes it (except on hold).
        is_given_up: it failed under `RESUME`; a person may still collect it.
        paid_by: the provider's id of a payment without our key that paid it.
        refunded: what of it was given back, minor units.
        provider_cycle: the provider's id of this cycle, where it runs the calendar.
        is_followed: the provider collects it; its retries are the provider's own. SPEC 12.
        wants: it pays for items that are added: declined once, they are not added. SPEC 9.
    """

    id: str
    number: int | None = None
    status: CycleStatus = CycleStatus.SCHEDULED
    amount: int
    currency: str
    description: str = ""
    metadata: dict[str, str | int | bool] = field(default_factory=dict)
    due_at: datetime
    opened_at: datetime
    period_end: datetime | None = None
    anchor: datetime | None = None
    attempts: tuple[Attempt, ...] = ()
    next: PlannedAttempt | None = None
    gone: tuple[int, ...] = ()
    dropped: tuple[DroppedRung, ...] = ()
    first_at: datetime | None = None
    limit: datetime | None = None
    window_end: datetime | None = None
    grace_ends_at: datetime | None = None
    past_due_since: datetime | None = None
    kept_method: str | None = None
    flagged: tuple[str, ...] = ()
    is_told: bool = False
    is_given_up: bool = False
    provider_cycle: str = ""
    is_followed: bool = False
    closed_at: datetime | None = None
    closed_because: str | None = None
    paid_by: str | None = None
    refunded: int = 0
    wants: ItemsWanted | None = None

    @property
    def is_cycle(self) -> bool:
        """Whether it is a billing period (else an on-demand charge)."""
        return self.number is not None

    @property
    def is_open(self) -> bool:
        """Whether it is still being collected."""
        return self.status in OPEN_CYCLE

    @property
    def last(self) -> Attempt | None:
        """The latest attempt."""
        return self.attempts[-1] if self.attempts else None

    def attempt(self, number: int) -> Attempt | None:
        """The attempt with this number; they are numbered from 1 without a gap."""
        return self.attempts[number - 1] if 0 < number <= len(self.attempts) else None

    @property
    def in_flight(self) -> Attempt | None:
        """The attempt that the provider has been asked for and that has no outcome at all yet."""
        attempts = self.attempts
        return attempts[-1] if attempts and attempts[-1].outcome is None else None


class Attention(Value):
    """Something that a person should look at."""

    at: datetime
    what: str


class State(Value):
    """One subscription, whole.

    Attributes:
        current: the method that automatic attempts are planned on.
        attached: the method that the provider has as its current one, as far as we know.
        disputed: the provider's ids of payments that a customer disputes.
        plan: the calendar that the provider runs (`collection: provider`); None where the engine does.
        page: attempt 1 while the customer may pay it on the mandate's page; None where nothing is asked there.
        deferred_days: by how many days in all the next cycle was put off (`defer`); its calendar holds them already.
    """

    schema_version: int = SCHEMA_VERSION
    rules_version: int = RULES_VERSION
    revision: int = 0
    account: str
    id: str
    generation: int = 1
    terms: Terms
    next_terms: Terms | None = None
    created_at: datetime
    latest: datetime
    status: SubscriptionStatus
    reference: str | None = None
    mandate_link: str | None = None
    mandate_tries: int = 0
    mandate_looks: int = 0
    mandate_wait_until: datetime | None = None
    mandate_expires_at: datetime | None = None
    is_mandate_ended: bool = False
    authorized_at: datetime | None = None
    methods: tuple[MethodState, ...] = ()
    current: str | None = None
    attached: str | None = None
    calendar: Calendar | None = None
    plan: PlanState | None = None
    next_number: int = 1
    deferred_days: int = 0
    page: PagePayment | None = None
    skips: tuple[int, ...] = ()
    obligations: tuple[Obligation, ...] = ()
    notices: tuple[PlannedNotice, ...] = ()
    queue: tuple[Command, ...] = ()
    results: tuple[CommandResult, ...] = ()
    refunds: tuple[Refund, ...] = ()
    disputed: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    paid_until: datetime | None = None
    last_success_at: datetime | None = None
    last_first_at: datetime | None = None
    past_due_since: datetime | None = None
    pause_until: datetime | None = None
    cancel_type: str | None = None
    canceled_by_calendar: bool = False
    stopped_at: datetime | None = None
    attention: tuple[Attention, ...] = ()
    last_decline: DeclineClass | None = None

    @property
    def is_ended(self) -> bool:
        """Whether nothing is collected any more."""
        return self.status in ENDED

    def obligation(self, obligation_id: str) -> Obligation:
        """The obligation with this id; `KeyError` when the state does not hold it."""
        found = self.find(obligation_id)
        if found is None:
            raise KeyError(obligation_id)
        return found

    def find(self, obligation_id: str) -> Obligation | None:
        """The obligation with this id, if the state holds it."""
        for obligation in reversed(self.obligations):  # the one asked for is the latest, nearly always
            if obligation.id == obligation_id:
                return obligation
        return None

    def has(self, obligation_id: str) -> bool:
        """Whether the state holds this obligation."""
        return self.find(obligation_id) is not None

    def method(self, token: str | None) -> MethodState | None:
        """The method with this token."""
        for method in self.methods:
            if method.token == token:
                return method
        return None

    @property
    def open_cycle(self) -> Obligation | None:
        """The cycle that is being collected; at most one."""
        for obligation in self.obligations:
            if obligation.status in OPEN_CYCLE and obligation.number is not None:
                return obligation
        return None

    @property
    def open_obligations(self) -> tuple[Obligation, ...]:
        """Everything that is being collected, oldest first."""
        return tuple(o for o in self.obligations if o.is_open)

    @property
    def is_settled(self) -> bool:
        """Whether no charge is on its way: in flight, pending or unknown."""
        for obligation in self.obligations:
            if obligation.status in UNSETTLED_CYCLE or obligation.in_flight is not None:
                return False
        return True

    def refund(self, key: str) -> Refund | None:
        """The refund with this key."""
        return next((one for one in self.refunds if one.key == key), None)

    @property
    def open_refunds(self) -> tuple[Refund, ...]:
        """Refunds that are still to be made, or to be heard of."""
        return tuple([one for one in self.refunds if one.is_open])

    @property
    def live_notices(self) -> tuple[PlannedNotice, ...]:
        """Notices still to be sent or being sent."""
        return tuple(n for n in self.notices if n.status in (NoticeStatus.PLANNED, NoticeStatus.SENDING))


def prune(state: State) -> State:
    """The state without what is over: called where a run ends, so that it stays small for ever.

    Kept: open obligations, failed ones under `RESUME` (still collectable by a person) up to the last 12, the last
    cycle that was paid (its period may be revoked), and the latest of the others, so that operators see what came
    before.
    """
    failed = [o for o in state.obligations if o.status is CycleStatus.FAILED and not state.is_ended][-12:]
    latest = [o for o in state.obligations if not o.is_open][-1:]
    paid = [o for o in state.obligations if o.is_cycle and o.status is CycleStatus.SUCCEEDED][-1:]
    kept = tuple(o for o in state.obligations if o.is_open or o in failed or o in latest or o in paid)
    if state.is_ended:
        kept = state.obligations[-12:]
    return state.but(
        obligations=kept,
        notices=tuple(n for n in state.notices if _is_remembered(n, state.latest)),
        results=state.results[-16:],
        refunds=tuple(one for one in state.refunds if one.is_open or one in state.refunds[-8:]),
        seen=state.seen[-MAX_SEEN:],
        attention=state.attention[-16:],
    )


CAPS_LOOK_BACK = timedelta(days=7)
"""What was sent so recently counts in the caps of SPEC 11."""


def _is_remembered(notice: PlannedNotice, now: datetime) -> bool:
    """Still to be sent; or counted by the caps; or about an instant that is still to come, so not to be told again."""
    if notice.status in (NoticeStatus.PLANNED, NoticeStatus.SENDING):
        return True
    ahead = str(notice.facts.get("next_due_at") or notice.facts.get("next_attempt_at") or "")
    is_recent = notice.status is NoticeStatus.SENT and notice.at > now - CAPS_LOOK_BACK
    return is_recent or (bool(ahead) and datetime.fromisoformat(ahead) > now)
