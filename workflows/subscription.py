"""`SubscriptionWorkflow`: one durable run of decisions per subscription. SPEC 3, 8, 15.

It has no rule of its own. `decide` names the next thing and its instant; the workflow waits for that instant
or a message, does it, and gives the result back through `apply`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import datetime
from typing import TypeVar

from dunning.notices.models import NoticeOutcome, SendNoticeInput
from temporalio import workflow
from temporalio.common import SearchAttributeUpdate
from temporalio.exceptions import ActivityError

from activities.names import (
    BEGIN_COMMAND,
    CHARGE,
    CREATE_MANDATE,
    END_MANDATE,
    LOAD,
    LOOK_UP,
    RECORD,
    SEND_NOTICE,
    BeginCommandInput,
    EndMandateInput,
    Loaded,
    LoadInput,
    MandateInput,
    MandateResult,
)
from dunning import contract
from dunning.contract import ProviderFact, StateReport, SubscriptionInput
from dunning.domain import facts
from dunning.domain.apply import apply
from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.beginning import new_state
from dunning.domain.commands import Cancel, Command, CommandResult
from dunning.domain.decide import TIME_FACTS, Decision, Do, decide
from dunning.domain.messages import EventDraft, PlannedNotice
from dunning.domain.planning import ABSENT_AFTER
from dunning.domain.showing import details, shown, summary
from dunning.domain.state import Obligation, State, prune
from dunning.domain.step import Applied
from dunning.hearing import facts_of
from dunning.ledger.models import ChargeInput, LookUpInput, Record
from workflows import options
from workflows.commands import CommandHandlers

T = TypeVar("T")


@workflow.defn(name=contract.WORKFLOW)
class SubscriptionWorkflow(CommandHandlers):
    """One subscription, from its mandate to its end; re-opened from the ledger when something comes after."""

    @workflow.init
    def __init__(self, start: SubscriptionInput) -> None:
        self._start = start
        self._state: State | None = State.model_validate(start.state) if start.state is not None else None
        self._commands: list[Command] = []
        self._heard: list[ProviderFact] = []
        self._events: list[EventDraft] = []
        self._notices: dict[str, PlannedNotice] = {}
        self._results: list[CommandResult] = []
        self._timer: asyncio.Task[None] | None = None
        self._timer_at: datetime | None = None
        self._sending: dict[str, workflow.ActivityHandle[NoticeOutcome]] = {}
        self._is_busy = False
        self._has_closed_cycle = False
        self._is_cancel_requested = False

    @workflow.run
    async def run(self, start: SubscriptionInput) -> None:
        """Do what is due, wait for what is next, until nothing is left to do."""
        await self._load()
        while not self._is_over():
            await self._take_in_messages()
            decision = self._decide()
            if decision is not None and decision.at <= self._now() and decision.do is not Do.FINISH:
                await self._carry_out(decision)
                continue
            await self._record()
            if self._is_time_for_a_new_run():
                break
            self._show(decision)
            await self._wait_until(decision)
        await self._settle_down()
        if not self._is_over():
            workflow.continue_as_new(self._carried_over())

    # --- where the run stands ---------------------------------------------------------------------

    @property
    def _s(self) -> State:
        if self._state is None:
            raise RuntimeError("the state is loaded before anything is decided")
        return self._state

    def _now(self) -> datetime:
        """Business now: the later of the workflow's clock and the latest instant in the state. SPEC 3."""
        return max(workflow.now(), self._s.latest) if self._state is not None else workflow.now()

    def _decide(self) -> Decision | None:
        return decide(self._s, self._now())

    def _is_over(self) -> bool:
        if self._has_messages() or self._sending:
            return False
        decision = self._decide()
        return decision is not None and decision.do is Do.FINISH

    def _has_messages(self) -> bool:
        is_sent = any(handle.done() for handle in self._sending.values())
        return bool(self._commands or self._heard or is_sent or self._is_cancel_requested)

    def _is_time_for_a_new_run(self) -> bool:
        """Between cycles, after 30 idle days, or when the server says so; never with an activity running."""
        if self._has_messages() or self._sending:
            return False
        info = workflow.info()
        is_old = workflow.now() - info.start_time >= options.IDLE_RUN
        return self._has_closed_cycle or is_old or info.is_continue_as_new_suggested()

    def _carried_over(self) -> SubscriptionInput:
        state = prune(self._s).model_dump(mode="json")
        return self._start.but(generation=self._s.generation, state=state)

    # --- messages -----------------------------------------------------------------------------------

    @workflow.signal(name=contract.SIGNAL_FACT)
    def provider_fact(self, heard: ProviderFact) -> None:
        """A message of the provider; the gateway stored it in the inbox before it was sent here."""
        self._heard.append(heard)

    @workflow.query(name=contract.QUERY_STATE)
    def state(self) -> StateReport:
        """The state, the next instant, and whether anything is going on."""
        decision = self._decide() if self._state is not None else None
        is_quiet = not (self._is_busy or self._sending or self._commands or self._heard)
        return StateReport(
            business_now=self._now(),
            state=self._state,
            next_at=decision.at if decision is not None and decision.do is not Do.FINISH else None,
            next_because=decision.because if decision is not None else "",
            is_quiet=is_quiet,
        )

    async def _take_in_messages(self) -> None:
        while self._heard:
            heard = self._heard.pop(0)
            for fact in facts_of(self._s, heard, self._now()):
                self._apply(fact)
        while self._commands:
            await self._enqueue(self._commands[0])
            self._commands.pop(0)
        for key in [k for k, handle in self._sending.items() if handle.done()]:
            outcome = await self._outcome_of(self._sending.pop(key))
            self._conclude_notice(key, outcome)
        if self._is_cancel_requested:
            self._is_cancel_requested = False
            self._apply(facts.Queued(command=Cancel(command_id=f"ui-{workflow.info().run_id}")))

    async def _enqueue(self, command: Command) -> None:
        """The ledger knows every command id for ever: a repeat gets its first result. SPEC 9."""
        request = BeginCommandInput(
            account=self._start.account, subscription=self._start.subscription, command=command
        )
        known = await self._local(BEGIN_COMMAND, request, CommandResult | None)
        if known is not None:
            results = tuple(r for r in self._s.results if r.command_id != known.command_id)
            self._state = self._s.but(results=(*results, known))
        else:
            self._apply(facts.Queued(command=command))

    # --- decisions ----------------------------------------------------------------------------------

    async def _carry_out(self, decision: Decision) -> None:
        if decision.do in TIME_FACTS:
            self._apply(facts.TimeCame(what=decision.do.value, obligation=decision.obligation))
        elif decision.do is Do.RUN_COMMAND:
            self._apply(facts.Commanded(command=self._s.queue[0]))
        elif decision.do is Do.CHARGE and decision.obligation is not None:
            await self._charge(decision, decision.obligation)
        elif decision.do is Do.LOOK_UP and decision.obligation is not None:
            await self._look_up(decision, decision.obligation)
        elif decision.do is Do.SEND_NOTICE and decision.notice is not None:
            await self._send_notice(decision, decision.notice)
        elif decision.do is Do.CREATE_MANDATE:
            await self._create_mandate(decision)
        elif decision.do is Do.END_MANDATE:
            await self._end_mandate(decision)

    async def _charge(self, decision: Decision, obligation_id: str) -> None:
        label = summary(self._s, decision)
        self._apply(facts.AttemptStarted(obligation=obligation_id))
        obligation = self._s.obligation(obligation_id)
        attempt = obligation.in_flight
        if attempt is None:
            return
        request = ChargeInput(
            account=self._s.account,
            subscription=self._s.id,
            generation=self._s.generation,
            customer=self._s.terms.customer.id,
            obligation=obligation.id,
            attempt=attempt,
            amount=obligation.amount,
            currency=obligation.currency,
            description=obligation.description,
            reference=self._s.reference or "",
            metadata={**self._s.terms.metadata, **obligation.metadata},
            business_at=self._now(),
            is_method_attached=attempt.method == self._s.attached,
            carry=self._take_record(),
        )
        try:
            outcome = await self._activity(CHARGE, request, Outcome, options.CHARGE, label)
        except ActivityError:
            because = "the worker died or the call ran out of time: the ledger's row will tell"
            outcome = Outcome(kind=OutcomeKind.UNKNOWN, at=self._now(), because=because)
        self._conclude(obligation.id, attempt.number, outcome, is_look_up=False)

    async def _look_up(self, decision: Decision, obligation_id: str) -> None:
        await self._record()
        obligation = self._s.obligation(obligation_id)
        attempt = obligation.last
        if attempt is None:
            return
        since = attempt.unclear_since or self._now()
        request = LookUpInput(
            account=self._s.account,
            subscription=self._s.id,
            generation=self._s.generation,
            customer=self._s.terms.customer.id,
            obligation=obligation.id,
            attempt=attempt,
            amount=obligation.amount,
            currency=obligation.currency,
            reference=self._s.reference or "",
            business_at=self._now(),
            may_close_absent=self._now() - since >= ABSENT_AFTER,
        )
        try:
            label = summary(self._s, decision)
            outcome = await self._activity(LOOK_UP, request, Outcome, options.LOOK_UP, label)
        except ActivityError:
            kind = attempt.outcome.kind if attempt.outcome is not None else OutcomeKind.UNKNOWN
            outcome = Outcome(kind=kind, at=self._now(), because="the provider could not be asked")
        self._conclude(obligation.id, attempt.number, outcome, is_look_up=True)

    def _conclude(self, obligation: str, number: int, outcome: Outcome, *, is_look_up: bool) -> None:
        was_open = self._is_open_cycle(obligation)
        concluded = facts.AttemptConcluded(
            obligation=obligation, number=number, outcome=outcome, is_look_up=is_look_up
        )
        self._apply(concluded)
        self._has_closed_cycle |= was_open and not self._is_open_cycle(obligation)

    def _is_open_cycle(self, obligation_id: str) -> bool:
        if not self._s.has(obligation_id):
            return False
        obligation: Obligation = self._s.obligation(obligation_id)
        return obligation.is_cycle and obligation.is_open

    async def _send_notice(self, decision: Decision, key: str) -> None:
        """Started, never waited for: sending delays no charge. SPEC 11."""
        await self._record()
        notice = next(n for n in self._s.notices if n.key == key)
        label = summary(self._s, decision)
        self._apply(facts.NoticeStarted(key=key))
        request = SendNoticeInput(
            account=self._s.account,
            subscription=self._s.id,
            generation=self._s.generation,
            customer=self._s.terms.customer.id,
            notice=notice,
            description=self._s.terms.description,
            business_at=self._now(),
        )
        self._sending[key] = workflow.start_activity(
            SEND_NOTICE, request, result_type=NoticeOutcome, summary=label, **options.NOTICE
        )

    async def _outcome_of(self, handle: workflow.ActivityHandle[NoticeOutcome]) -> NoticeOutcome | None:
        try:
            return await handle
        except ActivityError:
            return None

    def _conclude_notice(self, key: str, outcome: NoticeOutcome | None) -> None:
        if outcome is None:
            self._apply(facts.NoticeConcluded(key=key, is_sent=False, detail="the sending activity failed"))
            return
        concluded = facts.NoticeConcluded(
            key=key, is_sent=outcome.is_sent, detail=outcome.because, retry_at=outcome.retry_at
        )
        self._apply(concluded)

    async def _create_mandate(self, decision: Decision) -> None:
        await self._record()
        request = MandateInput(
            account=self._s.account,
            subscription=self._s.id,
            generation=self._s.generation,
            terms=self._s.terms,
            tries=self._s.mandate_tries,
            business_at=self._now(),
        )
        label = summary(self._s, decision)
        result = await self._activity(CREATE_MANDATE, request, MandateResult, options.MANDATE, label)
        self._apply(result.fact)

    async def _end_mandate(self, decision: Decision) -> None:
        await self._record()
        request = EndMandateInput(
            account=self._s.account, reference=self._s.reference or "", reason=self._s.status.value
        )
        try:
            label = summary(self._s, decision)
            await self._activity(END_MANDATE, request, None, options.MANDATE, label)
            self._apply(facts.MandateGivenBack())
        except ActivityError as failure:
            self._apply(facts.MandateGivenBack(is_done=False, because=str(failure.cause or failure)))

    # --- the shell ----------------------------------------------------------------------------------

    def _apply(self, fact: facts.Fact) -> None:
        applied: Applied = apply(self._s, fact, self._now())
        was = self._s.open_cycle
        self._state = applied.state
        self._has_closed_cycle |= was is not None and not self._is_open_cycle(was.id)
        self._events.extend(applied.events)
        self._notices.update({n.key: n for n in applied.notices})
        self._results.extend(applied.results)

    def _take_record(self) -> Record | None:
        """What has to be written before the workflow goes on, if anything; it counts as written from here."""
        if not (self._events or self._notices or self._results):
            return None
        record = Record(
            account=self._s.account,
            subscription=self._s.id,
            generation=self._s.generation,
            revision=self._s.revision,
            events=tuple(self._events),
            notices=tuple(self._notices.values()),
            command_results=tuple(self._results),
            status=self._s.status.value,
            is_open=not self._s.is_ended,
            reference=self._s.reference,
            snapshot=self._s.model_dump(mode="json"),
        )
        self._events, self._notices, self._results = [], {}, []
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
            self._state = State.model_validate(loaded.snapshot)
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

    async def _activity(
        self, name: str, request: object, result: type[T] | None, how: options.Options, label: str
    ) -> T:
        self._is_busy = True
        try:
            handle = workflow.start_activity(name, request, result_type=result, summary=label, **how)
            return await self._shielded(handle)
        finally:
            self._is_busy = False

    async def _local(self, name: str, request: object, result: object) -> T:
        self._is_busy = True
        try:
            handle = workflow.start_local_activity(name, request, result_type=result, **options.LEDGER)
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

    def _arm(self, decision: Decision | None) -> None:
        idle_end = workflow.info().start_time + options.IDLE_RUN
        is_waiting = decision is not None and decision.do is not Do.FINISH
        at = min(decision.at, idle_end) if decision is not None and is_waiting else idle_end
        if self._timer is not None and not self._timer.done() and self._timer_at == at:
            return
        self._disarm()
        label = summary(self._s, decision) if decision is not None and is_waiting else "renew an idle run"
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

    async def _settle_down(self) -> None:
        """Before a run ends: everything written, no timer, no handler running."""
        self._disarm()
        await self._record()
        await workflow.wait_condition(workflow.all_handlers_finished)
        await self._record()

    def _show(self, decision: Decision | None) -> None:
        """What operators see. Attributes are sent only when they changed: each upsert is an event. SPEC 15."""
        values = shown(self._s, decision)
        pairs = (
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
        known = workflow.info().typed_search_attributes
        changes: list[SearchAttributeUpdate] = []
        for key, value in pairs:
            if known.get(key) != value:
                changes.append(key.value_unset() if value is None else key.value_set(value))
        if changes:
            workflow.upsert_search_attributes(changes)
        workflow.set_current_details(details(self._s, decision, self._now()))
