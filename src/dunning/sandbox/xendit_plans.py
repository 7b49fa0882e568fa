"""How Xendit runs its plans: cycles, tries, retries, ends; by the plan's own clock. Source: the sheet, A3, A4.

A plan has no clock but the instants that it is told (a test clock's, in a request or by the control API); one that is
never told any follows the machine's. What is due by then happens in its order, each at its own instant.

Declines do not matter to Xendit: a stolen card is retried like an empty account (sheet A4, 4). Nothing here bars a
second charge: two forced attempts, or two plans of one reference, collect twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from dunning.domain.outcomes import ScriptedDecline, ScriptedOutcome
from dunning.sandbox.book import Payment, machine_now
from dunning.sandbox.xendit_errors import XenditError
from dunning.sandbox.xendit_plan_book import CLOSED, LEGACY, Action, Calendar, Cycle, CycleStatus, Notice, Plan, Trying
from dunning.sandbox.xendit_plan_book import TryKind as Kind
from dunning.sandbox.xendit_plan_views import cycle_view, plan_view

if TYPE_CHECKING:
    from dunning.sandbox.xendit_desk import XenditDesk

MAX_FORCED = 5
_UNREACHABLE = ScriptedDecline(code="CHANNEL_UNAVAILABLE")
"""An outage of a customer's script, where it is Xendit that charges: the channel could not be reached."""
_OCCASION = {"recurring.cycle.created": "created", "recurring.cycle.succeeded": "succeeded"}


class Plans:
    """Every plan of one sandbox, and the legacy contract's schedules."""

    def __init__(self, desk: XenditDesk) -> None:
        self._desk = desk
        self.plans: dict[str, Plan] = {}
        self.schedules: dict[str, Calendar] = {}
        self.keys: set[str] = set()
        self._tried: dict[str, tuple[Plan, Cycle, Action]] = {}

    def clear(self) -> None:
        """Forget everything."""
        for part in (self.plans, self.schedules, self._tried):
            part.clear()
        self.keys.clear()

    def named(self, name: str | None) -> list[Plan]:
        """Plans by their id, their reference, or our own subscription id; None: all."""
        found = self.plans.values()
        return [one for one in found if name in (None, one.plan_id, one.reference, one.agreement.reference)]

    def now(self, plan: Plan) -> datetime:
        """The plan's clock."""
        return plan.moment or plan.told or machine_now()

    # --- time ----------------------------------------------------------------------------------------

    def advance(self, plan: Plan, until: datetime | None = None) -> None:
        """Run what is due by then (default: by the plan's clock), each step at its own instant."""
        if until is not None:
            plan.told = max(until, plan.told or until)
        limit = self.now(plan)
        while (step := self._next_step(plan)) is not None and step[0] <= limit:
            plan.moment, run = step
            try:
                run()
            finally:
                plan.moment = None

    def next_at(self, plan: Plan) -> datetime | None:
        """When it does something by itself next; None: never."""
        step = self._next_step(plan)
        return None if step is None else step[0]

    def _next_step(self, plan: Plan) -> tuple[datetime, Callable[[], None]] | None:
        delay = timedelta(seconds=self._desk.settings().xendit_plan_delay_seconds)
        open_ones = [one for one in plan.cycles if plan.status == "ACTIVE" and one.status in ("SCHEDULED", "RETRYING")]
        steps = [(one.scheduled_at + delay, partial(self._due, plan, one)) for one in open_ones]
        for cycle in plan.cycles:
            waiting = [one.payment for one in cycle.actions]
            steps += [(one.settles_at, partial(self._settle, one)) for one in waiting if one.settles_at is not None]
        return min(steps, key=lambda step: step[0], default=None)

    def _settle(self, payment: Payment) -> None:
        self._desk.bank.settle(payment, payment.settles_as)

    def _due(self, plan: Plan, cycle: Cycle) -> None:
        self.attempt(plan, cycle, "INITIAL" if cycle.status == "SCHEDULED" else "RETRY")

    # --- beginning and end -----------------------------------------------------------------------------

    def activate(self, plan: Plan) -> None:
        """A method is there: collect what is due at once, and let the calendar run."""
        if plan.status not in ("PENDING", "REQUIRES_ACTION"):
            return
        plan.status = "PENDING"
        if not plan.is_immediate:
            self._begin(plan)
            return
        now = self.now(plan)
        cycle = self._cycle(plan, "IMMEDIATE", now)
        self.attempt(plan, cycle, "INITIAL")

    def _begin(self, plan: Plan) -> None:
        plan.status, plan.updated_at = "ACTIVE", self.now(plan)
        self._tell_plan(plan, "activated")
        self.schedule_next(plan)

    def inactivate(self, plan: Plan, failure_code: str | None = None) -> None:
        """The plan is over for good. What is scheduled is canceled, what is being retried is given up."""
        plan.status, plan.failure_code, plan.updated_at = "INACTIVE", failure_code, self.now(plan)
        for cycle in plan.cycles:
            if cycle.status == "SCHEDULED":
                self._move(plan, cycle, "CANCELLED")
            elif cycle.status == "RETRYING":
                self._give_up(plan, cycle)
        self._tell_plan(plan, "inactivated")

    def schedule_next(self, plan: Plan) -> None:
        """See that one cycle lies ahead; where no more is to come, the plan ends with its last one."""
        if plan.status != "ACTIVE" or any(one.status == "SCHEDULED" for one in plan.cycles):
            return
        if plan.calendar.total is not None and len(plan.cycles) >= plan.calendar.total:
            if all(one.status in CLOSED for one in plan.cycles):
                self.inactivate(plan)
            return
        now = self.now(plan)
        last = max(
            (one.created_at if one.kind == "IMMEDIATE" else self._due_of(one) for one in plan.cycles), default=None
        )
        after = now if last is None else max(now, last)
        at = plan.calendar.first_from(after, is_after=last is not None)
        cycle = self._cycle(plan, "SCHEDULED", at)
        self._tell(plan, cycle, "created")

    def _due_of(self, cycle: Cycle) -> datetime:
        """When a cycle was first due: its scheduled instant moves with each retry."""
        first = next((one.created_at for one in cycle.actions if one.kind == "INITIAL"), None)
        return cycle.scheduled_at if first is None else min(first, cycle.scheduled_at)

    def _cycle(self, plan: Plan, kind: str, at: datetime) -> Cycle:
        now = self.now(plan)
        cycle = Cycle(
            cycle_id=f"recy_{uuid4()}",
            kind="IMMEDIATE" if kind == "IMMEDIATE" else "SCHEDULED",
            number=len(plan.cycles) + 1,
            scheduled_at=at,
            amount=plan.amount,
            currency=plan.currency,
            created_at=now,
            updated_at=now,
            metadata=dict(plan.metadata),
        )
        plan.cycles.append(cycle)
        return cycle

    # --- tries -----------------------------------------------------------------------------------------

    def force(self, plan: Plan, cycle: Cycle) -> bool:
        """`force_attempt`: try now; the planned instants stay. Whether the caller must never get the answer.

        Raises:
            XenditError: not in this state, or five times already.
        """
        if cycle.status not in ("SCHEDULED", "RETRYING") or plan.status != "ACTIVE":
            raise XenditError("INELIGIBLE_CYCLE_REQUEST", f"The cycle is {cycle.status}.")
        if cycle.forced >= MAX_FORCED:
            raise XenditError("MAXIMUM_LIMIT_REACHED", f"A cycle can be forced {MAX_FORCED} times.")
        return self.attempt(plan, cycle, "FORCED")

    def attempt(self, plan: Plan, cycle: Cycle, kind: Kind, decline: str | None = None) -> bool:
        """Try a cycle, the tokens by rank, until one pays. `decline`: how a simulated amount ends, "" for paid."""
        trying = Trying(kind, cycle.attempts + cycle.forced + 1, list(plan.tokens), cycle.status, decline=decline)
        if kind == "FORCED":
            cycle.forced += 1
        else:
            cycle.attempts += 1
        cycle.trying = trying
        self._move(plan, cycle, "PENDING")
        if kind == "INITIAL" and cycle.kind == "SCHEDULED":
            self._tell(plan, cycle, "created")
            self.schedule_next(plan)
        return self._next_token(plan, cycle, trying)

    def _next_token(self, plan: Plan, cycle: Cycle, trying: Trying) -> bool:
        token_id = trying.tokens.pop(0)
        now = self.now(plan)
        script = self._desk.bank.script_of(plan.agreement)
        outcome: ScriptedOutcome | None = None
        if trying.decline:
            outcome = ScriptedDecline(code=trying.decline)
        elif self._desk.token_is_dead(token_id):
            outcome = ScriptedDecline(code="INVALID_PAYMENT_METHOD")
        elif trying.decline is None:
            outcome = _UNREACHABLE if script.refuses(now) else script.next_outcome(None)
        payment = self._desk.bank.open_for(plan, cycle, token_id, now)
        action = Action(trying.number, self._count(cycle, trying), trying.kind, now, payment)
        cycle.actions.append(action)
        self._tried[payment.payment_id] = (plan, cycle, action)
        return self._desk.bank.run(payment, outcome)

    def _count(self, cycle: Cycle, trying: Trying) -> int:
        return sum(1 for one in cycle.actions if one.attempt_number == trying.number) + 1

    def settled(self, payment: Payment) -> None:
        """A payment of a cycle has its outcome."""
        found = self._tried.get(payment.payment_id)
        if found is None:
            return
        plan, cycle, action = found
        if payment.status == "succeeded":
            action.next_retry_at = None
            self._paid(plan, cycle)
        elif cycle.trying is not None and cycle.trying.tokens:
            self._next_token(plan, cycle, cycle.trying)
        elif cycle.trying is not None:
            self._all_failed(plan, cycle, cycle.trying)

    def _paid(self, plan: Plan, cycle: Cycle) -> None:
        if cycle.status == "SUCCEEDED":
            return
        cycle.trying = None
        self._move(plan, cycle, "SUCCEEDED")
        self._tell(plan, cycle, "succeeded")
        if plan.status == "PENDING":
            self._begin(plan)
        else:
            self.schedule_next(plan)

    def _all_failed(self, plan: Plan, cycle: Cycle, trying: Trying) -> None:
        cycle.trying = None
        if trying.kind == "FORCED" and plan.status == "ACTIVE":
            self._move(plan, cycle, trying.before)
            self._tell(plan, cycle, "force_attempt_failed")
        elif cycle.kind == "IMMEDIATE":
            self._give_up(plan, cycle)
            self.inactivate(plan)
        elif plan.status == "ACTIVE" and plan.calendar.gap_days is not None and cycle.retries < plan.calendar.retries:
            self._retry_later(plan, cycle, plan.calendar.gap_days)
        else:
            self._give_up(plan, cycle)
            if plan.status == "ACTIVE" and plan.on_failure == "STOP":
                self.inactivate(plan)
            else:
                self.schedule_next(plan)

    def _retry_later(self, plan: Plan, cycle: Cycle, gap_days: int) -> None:
        cycle.retries += 1
        cycle.scheduled_at += timedelta(days=gap_days)
        last = cycle.actions[-1]
        last.next_retry_at = cycle.scheduled_at
        if plan.has_payment_links:
            last.link, last.link_url = self._desk.cycle_link(plan, cycle)
        self._move(plan, cycle, "RETRYING")
        self._tell(plan, cycle, "retrying")

    def _give_up(self, plan: Plan, cycle: Cycle) -> None:
        if cycle.actions:
            cycle.actions[-1].next_retry_at = None
        self._move(plan, cycle, "FAILED")
        self._tell(plan, cycle, "failed")

    def pay_by_link(self, plan: Plan, cycle: Cycle) -> Payment | None:
        """The customer pays a failed cycle on a page of Xendit's: its retries stop. None: nothing is owed."""
        if cycle.status != "RETRYING":
            return None
        now = self.now(plan)
        payment = self._desk.bank.open_for(plan, cycle, None, now)
        payment.kind = "pay_link"
        action = Action(cycle.attempts + cycle.forced + 1, 1, "PAYMENT_LINK", now, payment)
        cycle.actions.append(action)
        self._tried[payment.payment_id] = (plan, cycle, action)
        self._desk.bank.run(payment, None)
        return payment

    # --- changes ---------------------------------------------------------------------------------------

    def cancel(self, plan: Plan, cycle: Cycle) -> None:
        """Do not collect a scheduled cycle. Raises `INELIGIBLE_CYCLE_REQUEST`."""
        self.require_scheduled(cycle)
        self._move(plan, cycle, "CANCELLED")
        self.schedule_next(plan)

    def require_scheduled(self, cycle: Cycle) -> None:
        """Raises `INELIGIBLE_CYCLE_REQUEST` for a cycle that has begun or is over."""
        if cycle.status != "SCHEDULED":
            raise XenditError("INELIGIBLE_CYCLE_REQUEST", f"The cycle is {cycle.status}, not SCHEDULED.")

    def follow_changes(self, plan: Plan) -> None:
        """The scheduled cycle takes over what changed of its plan (header `update-scheduled-cycle`)."""
        for cycle in plan.cycles:
            if cycle.status == "SCHEDULED":
                cycle.amount, cycle.currency = plan.amount, plan.currency
                cycle.scheduled_at = plan.calendar.first_from(self.now(plan), is_after=True)
                cycle.updated_at = self.now(plan)

    def rescheduled(self, plan: Plan, calendar: Calendar) -> None:
        """Another calendar, from the cycle after the scheduled one on."""
        plan.calendar = replace(calendar, schedule_id=plan.calendar.schedule_id, reference=plan.calendar.reference)

    # --- telling ---------------------------------------------------------------------------------------

    def _move(self, plan: Plan, cycle: Cycle, status: CycleStatus) -> None:
        cycle.status, cycle.updated_at = status, self.now(plan)

    def _tell(self, plan: Plan, cycle: Cycle, word: str) -> None:
        data = cycle_view(plan, cycle, plan.contract)
        version = None if plan.contract == LEGACY else plan.contract
        name = f"recurring.cycle.{word}"
        self._desk.tell(name, data, plan.plan_id, version=version, has_id=False)
        occasion = _OCCASION.get(name) or ("failed" if word in ("retrying", "failed") else None)
        if occasion == "created" and cycle.status != "SCHEDULED":
            return
        is_told = occasion != "failed" or cycle.attempts in plan.calendar.notified
        if occasion is not None and is_told:
            attempt = cycle.attempts if occasion == "failed" else None
            for channel in plan.channels.get(occasion, ()):
                plan.notices.append(Notice(occasion, channel, attempt))  # type: ignore[arg-type]

    def _tell_plan(self, plan: Plan, word: str) -> None:
        version = None if plan.contract == LEGACY else plan.contract
        data = plan_view(plan, plan.contract)
        self._desk.tell(f"recurring.plan.{word}", data, plan.plan_id, version=version, has_id=False)
