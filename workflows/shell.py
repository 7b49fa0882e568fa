"""The shell around the decisions: messages, timers, records, activities and what operators see.

`SubscriptionWorkflow` inherits it; nothing here knows a rule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import SearchAttributeKey, SearchAttributePair, SearchAttributeUpdate, TypedSearchAttributes

from activities.names import BEGIN_COMMAND, LOAD, RECORD, Loaded, LoadInput
from dunning import contract
from dunning.contract import ProviderFact, SubscriptionInput
from dunning.domain import facts
from dunning.domain.apply import apply
from dunning.domain.beginning import new_state, reopened
from dunning.domain.commands import Command, CommandResult
from dunning.domain.decide import Decision, Do
from dunning.domain.messages import EventDraft, NoticeStatus, PlannedNotice
from dunning.domain.showing import details, shown, summary
from dunning.domain.state import State
from dunning.domain.step import Applied
from dunning.ledger.models import FollowedAttempt, Record
from dunning.notices.models import NoticeOutcome
from workflows import options
from workflows.commands import CommandHandlers

T = TypeVar("T")

LEDGER_WORDS = {
    LOAD: "read the subscription from the ledger",
    RECORD: "write down what became true",
    BEGIN_COMMAND: "write down the command",
}
"""What operators read of the ledger's local activities."""

UNSENT = (NoticeStatus.PLANNED, NoticeStatus.DROPPED)


class Shell(CommandHandlers):
    """What a run holds besides the state, and how it waits, writes and shows."""

    def __init__(self, start: SubscriptionInput) -> None:
        self._start = start
        self._state: State | None = start.take_state()
        self._commands: list[Command] = []
        self._heard: list[ProviderFact] = []
        self._events: list[EventDraft] = []
        self._notices: dict[str, PlannedNotice] = {}
        self._results: list[CommandResult] = []
        self._followed: dict[str, FollowedAttempt] = {}
        self._timer: asyncio.Task[None] | None = None
        self._timer_at: datetime | None = None
        self._sending: dict[str, workflow.ActivityHandle[NoticeOutcome]] = {}
        self._is_busy = False
        self._has_closed_cycle = False
        self._is_cancel_requested = False
        self._must_record = False

    # --- where the run stands ---------------------------------------------------------------------

    @property
    def _s(self) -> State:
        if self._state is None:
            raise RuntimeError("the state is loaded before anything is decided")
        return self._state

    def _now(self) -> datetime:
        """Business now: the later of the workflow's clock and the latest instant in the state. SPEC 3."""
        return max(workflow.now(), self._s.latest) if self._state is not None else workflow.now()

    def _has_messages(self) -> bool:
        is_sent = any(handle.done() for handle in self._sending.values())
        return bool(self._commands or self._heard or is_sent or self._is_cancel_requested)

    def _is_open_cycle(self, obligation_id: str) -> bool:
        if not self._s.has(obligation_id):
            return False
        obligation = self._s.obligation(obligation_id)
        return obligation.is_cycle and obligation.is_open

    # --- state in, records out ----------------------------------------------------------------------

    def _apply(self, fact: facts.Fact) -> None:
        before = self._s
        applied: Applied = apply(before, fact, self._now())
        was = before.open_cycle
        self._state = applied.state
        self._has_closed_cycle |= was is not None and not self._is_open_cycle(was.id)
        self._events.extend(applied.events)
        if before.plan is not None:
            self._followed.update(_new_tries(before, applied.state))
        # Once a notice is on its way its rows are the sender's: what became of it costs no record of its own.
        self._notices.update({n.key: n for n in applied.notices if n.status in UNSENT})
        self._results.extend(applied.results)

    def _take_record(self) -> Record | None:
        """What has to be written before the workflow goes on, if anything; it counts as written from here."""
        if not (self._events or self._notices or self._results or self._must_record):
            return None
        record = Record(
            account=self._s.account,
            subscription=self._s.id,
            generation=self._s.generation,
            revision=self._s.revision,
            events=tuple(self._events),
            notices=tuple(self._notices.values()),
            command_results=tuple(self._results),
            followed=tuple(self._followed.values()),
            status=self._s.status.value,
            is_open=not self._s.is_ended,
            reference=self._s.reference,
            snapshot=plain(self._s),
        )
        self._events, self._notices, self._results = [], {}, []
        self._followed = {}
        self._must_record = False
        return record

    async def _record(self) -> None:
        record = self._take_record()
        if record is not None:
            await self._local(RECORD, record, None)

    async def _load(self) -> None:
        if self._state is not None:
            return
        request = LoadInput(
            account=self._start.account,
            subscription=self._start.subscription,
            generation=self._start.generation,
        )
        loaded: Loaded = await self._local(LOAD, request, Loaded)
        if loaded.snapshot is not None:
            self._state = reopened(State.model_validate(loaded.snapshot))
            return
        applied = new_state(
            account=self._start.account,
            subscription=self._start.subscription,
            generation=loaded.generation,
            terms=loaded.terms,
            created_at=loaded.created_at,
            reference=loaded.reference,
        )
        self._state = applied.state
        self._events.extend(applied.events)

    async def _activity(self, name: str, request: object, result: type[T], how: options.Options, label: str) -> T:
        self._is_busy = True
        try:
            handle: workflow.ActivityHandle[T] = workflow.start_activity(
                name, request, result_type=result, summary=label, **how
            )
            return await self._shielded(handle)
        finally:
            self._is_busy = False

    async def _local(self, name: str, request: object, result: type[Any] | None) -> Any:
        self._is_busy = True
        try:
            handle: workflow.ActivityHandle[Any] = workflow.start_local_activity(
                name,
                request,
                result_type=result,
                start_to_close_timeout=options.LEDGER_TIMEOUT,
                retry_policy=options.LEDGER_RETRY,
                summary=LEDGER_WORDS[name],
            )
            return await self._shielded(handle)
        finally:
            self._is_busy = False

    async def _shielded(self, work: Awaitable[T]) -> T:
        """A cancel request from the UI never abandons a charge, a look-up or a record: it becomes a command."""
        task = asyncio.ensure_future(work)
        while True:
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                if task.done():
                    raise
                self._is_cancel_requested = True

    async def _wait_until(self, decision: Decision | None) -> None:
        """One timer, armed anew only when the next instant changes, raced with messages."""
        self._arm(decision)
        try:
            await workflow.wait_condition(lambda: self._has_messages() or self._is_timer_over())
        except asyncio.CancelledError:
            self._is_cancel_requested = True

    def _is_timer_over(self) -> bool:
        return self._timer is not None and self._timer.done()

    def _timer_instant(self, decision: Decision | None) -> datetime | None:
        """When the timer goes off: the decision's instant, or the renewal of an idle run; None at the end."""
        if decision is None:
            # A notice on its way wakes the run by itself, and soon.
            return None if self._sending else self._renewal_at()
        if decision.do is Do.FINISH:
            return None
        renewal = self._renewal_at()
        # A notice on its way puts a renewal off that is due: a timer in the past would wake the run without an end.
        is_put_off = bool(self._sending) and renewal <= workflow.now()
        return decision.at if is_put_off else min(decision.at, renewal)

    def _renewal_at(self) -> datetime:
        """When the run has lived long enough; one that collects is left in peace for longer."""
        longest = options.COLLECTING_RUN if self._s.open_obligations else options.IDLE_RUN
        return workflow.info().start_time + longest

    def _arm(self, decision: Decision | None) -> None:
        at = self._timer_instant(decision)
        if at is None:
            self._disarm()
            return
        if self._timer is not None and not self._timer.done() and self._timer_at == at:
            return
        self._disarm()
        is_renewal = decision is None or at < decision.at
        label = "renew an idle run" if decision is None or is_renewal else summary(self._s, decision)
        self._timer_at = at
        self._timer = asyncio.create_task(self._sleep_until(at, label))

    async def _sleep_until(self, at: datetime, label: str) -> None:
        left = at - workflow.now()
        if left.total_seconds() > 0:
            await workflow.sleep(left, summary=label)

    def _disarm(self) -> None:
        if self._timer is not None and not self._timer.done():
            self._timer.cancel()
        self._timer = None
        self._timer_at = None

    async def _has_settled(self) -> bool:
        """Before a run ends: everything written, no timer, no handler running. False: a message came meanwhile."""
        self._disarm()
        await self._record()
        await workflow.wait_condition(lambda: workflow.all_handlers_finished() or self._has_messages())
        await self._record()
        return not self._has_messages()

    def _show(self, decision: Decision | None) -> None:
        """What operators see. Attributes are sent only when they changed: each upsert is an event. SPEC 15."""
        known = workflow.info().typed_search_attributes
        changes: list[SearchAttributeUpdate[Any]] = []
        for key, value in self._attributes(decision):
            if known.get(key) != value:
                changes.append(key.value_unset() if value is None else key.value_set(value))
        if changes:
            workflow.upsert_search_attributes(changes)
        workflow.set_current_details(details(self._s, decision, self._now()))

    def _shown_by_the_next_run(self, decision: Decision | None) -> TypedSearchAttributes:
        """What the next run shows from its start: sent with the renewal it is no event and no action of its own."""
        mine = dict(self._attributes(decision))
        kept = [pair for pair in workflow.info().typed_search_attributes if pair.key not in mine]
        told = [SearchAttributePair(key, value) for key, value in mine.items() if value is not None]
        return TypedSearchAttributes([*kept, *told])

    def _attributes(self, decision: Decision | None) -> tuple[tuple[SearchAttributeKey[Any], Any], ...]:
        values = shown(self._s, decision)
        return (
            (contract.STATUS, values.status),
            (contract.PROVIDER, values.provider),
            (contract.MERCHANT_ACCOUNT, values.merchant_account),
            (contract.CUSTOMER, values.customer),
            (contract.DECLINE_CLASS, values.decline_class),
            (contract.NEXT_ACTION_AT, values.next_action_at),
            (contract.PAST_DUE_SINCE, values.past_due_since),
            (contract.ATTEMPT, values.attempt),
            (contract.AMOUNT_DUE, values.amount_due),
            (contract.ATTENTION, values.attention),
        )


def plain(state: State) -> dict[str, Any]:
    """A state for a payload or the ledger. What is None is left out: a third of the bytes and of the time."""
    return state.model_dump(mode="json", exclude_none=True)


def _new_tries(before: State, after: State) -> dict[str, FollowedAttempt]:
    """What the provider tried by its own calendar, as far as it is news, by the attempt's key."""
    known = {a.key: a.outcome for o in before.obligations for a in o.attempts}
    return {
        a.key: FollowedAttempt(
            obligation=o.id, customer=after.terms.customer.id, attempt=a, amount=o.amount, currency=o.currency
        )
        for o in after.obligations
        for a in o.attempts
        if a.is_followed and known.get(a.key) != a.outcome
    }
