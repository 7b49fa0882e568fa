"""`SubscriptionWorkflow`: one durable run of decisions per subscription. SPEC 3, 8, 15.

It has no rule of its own. `decide` names the next thing and its instant; the workflow waits for that instant
or a message, does it, and gives the result back through `apply`.
"""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from activities.names import (
    BEGIN_COMMAND,
    CHARGE,
    CREATE_MANDATE,
    END_MANDATE,
    LOOK_UP,
    READ_MANDATE,
    RECORD,
    SEND_NOTICE,
    BeginCommandInput,
    EndMandateInput,
    MandateInput,
    MandateResult,
    MandateStanding,
    ReadMandateInput,
)
from dunning import contract
from dunning.contract import ProviderFact, StateReport, SubscriptionInput
from dunning.domain import facts, first_price
from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.commands import Cancel, Command, CommandResult
from dunning.domain.decide import TIME_FACTS, Decision, Do, decide
from dunning.domain.page import FIRST_CYCLE
from dunning.domain.planning import may_close_absent
from dunning.domain.showing import summary
from dunning.domain.state import prune
from dunning.hearing import facts_of
from dunning.ledger.models import ChargeInput, LookUpInput
from dunning.notices.models import NoticeOutcome, SendNoticeInput
from workflows import options
from workflows.plans import PLAN_STEPS, PlanSteps
from workflows.refunds import RefundSteps
from workflows.shell import plain

OBSERVED = "payment:"
"""What the state remembers a payment without our key by."""


@workflow.defn(name=contract.WORKFLOW)
class SubscriptionWorkflow(PlanSteps, RefundSteps):
    """One subscription, from its mandate to its end; re-opened from the ledger when something comes after."""

    @workflow.init
    def __init__(self, start: SubscriptionInput) -> None:
        super().__init__(start)

    @workflow.run
    async def run(self, start: SubscriptionInput) -> None:
        """Live until the run is over or has to be renewed, and leave nothing unwritten or unheard."""
        await self._load()
        await self._live()
        while not await self._has_settled():
            await self._live()
        if not self._is_over():
            shown = self._shown_by_the_next_run(self._decide())
            workflow.continue_as_new(self._carried_over(), search_attributes=shown)
        # A closed run is found by what it came to, also one that was opened again and never had to wait.
        self._show(self._decide())

    async def _live(self) -> None:
        """Do what is due, wait for what is next."""
        while not self._is_over():
            await self._take_in_messages()
            decision = self._decide()
            if decision is not None and decision.at <= self._now() and decision.do is not Do.FINISH:
                await self._carry_out(decision)
                continue
            await self._record()
            if self._is_over() or self._is_time_for_a_new_run():
                return
            self._show(decision)
            await self._wait_until(decision)

    # --- where the run stands ---------------------------------------------------------------------

    def _decide(self) -> Decision | None:
        return decide(self._s, self._now())

    def _is_over(self) -> bool:
        if self._has_messages() or self._sending:
            return False
        decision = self._decide()
        return decision is not None and decision.do is Do.FINISH

    def _is_time_for_a_new_run(self) -> bool:
        """Between cycles, after 30 idle days, or when the server says so; never with an activity running."""
        if self._has_messages() or self._sending:
            return False
        is_old = workflow.now() >= self._renewal_at()
        return self._has_closed_cycle or is_old or workflow.info().is_continue_as_new_suggested()

    def _carried_over(self) -> SubscriptionInput:
        return self._start.but(generation=self._s.generation, state=plain(prune(self._s)))

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
            next_at=self._timer_instant(decision) if self._state is not None else None,
            next_because=decision.because if decision is not None else "",
            is_quiet=is_quiet,
        )

    async def _take_in_messages(self) -> None:
        while self._heard:
            heard = self._heard.pop(0)
            for fact in facts_of(self._s, heard, self._now()):
                self._apply(fact)
        await self._take_in_commands()
        for key in [k for k, handle in self._sending.items() if handle.done()]:
            outcome = await self._outcome_of(self._sending.pop(key))
            self._conclude_notice(key, outcome)
        if self._is_cancel_requested:
            self._is_cancel_requested = False
            self._apply(facts.Queued(command=Cancel(command_id=f"ui-{workflow.info().run_id}")))

    async def _take_in_commands(self) -> None:
        while self._commands:
            await self._enqueue(self._commands[0])
            self._commands.pop(0)

    async def _enqueue(self, command: Command) -> None:
        """The ledger knows every command id for ever: a repeat gets its first result. SPEC 9."""
        request = BeginCommandInput(account=self._start.account, subscription=self._start.subscription, command=command)
        known: CommandResult | None = await self._local(BEGIN_COMMAND, request, CommandResult)
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
        elif decision.refund is not None:
            await self._give_back(decision, decision.refund)
        elif decision.do in PLAN_STEPS:
            await self._follow(decision)
        else:
            await self._tend_mandate(decision)

    async def _tend_mandate(self, decision: Decision) -> None:
        if decision.do is Do.CREATE_MANDATE:
            await self._create_mandate(decision)
        elif decision.do is Do.READ_MANDATE:
            await self._read_mandate(decision)
        elif decision.do is Do.END_MANDATE:
            await self._end_mandate(decision)
        elif decision.do is Do.CLOSE_PAGE:
            await self._close_page(decision)

    async def _charge(self, decision: Decision, obligation_id: str) -> None:
        label = summary(self._s, decision)
        self._apply(facts.AttemptStarted(obligation=obligation_id))
        obligation = self._s.obligation(obligation_id)
        attempt = obligation.in_flight
        if attempt is None:
            return
        carry = self._take_record()
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
            recurs_every_days=self._s.terms.schedule.shortest_period_days if obligation.is_cycle else None,
            is_method_attached=attempt.method == self._s.attached,
            fees_inclusive=getattr(self._s.terms.provider_options, "adaptive_currency_fees_inclusive", None),
            is_on_page=self._s.page is not None and self._s.page.key == attempt.key,
            carry=carry,
            known_payments=self._known_payments(),
        )
        try:
            outcome = await self._activity(CHARGE, request, Outcome, options.CHARGE, label)
        except ActivityError:
            because = "the worker died or the call ran out of time: the ledger's row will tell"
            outcome = Outcome(kind=OutcomeKind.UNKNOWN, at=self._now(), because=because)
        if carry is not None and outcome.kind in (OutcomeKind.UNKNOWN, OutcomeKind.OUTAGE):
            # Perhaps nothing was admitted, and then nothing was carried; what was written stays as it is.
            await self._local(RECORD, carry, None)
        # A cancel or pause that came while the charge was under way decides what a decline means. SPEC 8.
        await self._take_in_commands()
        self._conclude(obligation.id, attempt.number, outcome, is_look_up=False)

    def _known_payments(self) -> tuple[str, ...]:
        """Payments without our key that were matched already: no attempt adopts one of them again."""
        return tuple(key.removeprefix(OBSERVED) for key in self._s.seen if key.startswith(OBSERVED))

    async def _look_up(self, decision: Decision, obligation_id: str) -> None:
        await self._record()
        obligation = self._s.obligation(obligation_id)
        attempt = obligation.last
        if attempt is None:
            return
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
            may_close_absent=may_close_absent(attempt, self._now()),
            known_payments=self._known_payments(),
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
        concluded = facts.AttemptConcluded(obligation=obligation, number=number, outcome=outcome, is_look_up=is_look_up)
        self._apply(concluded)
        self._has_closed_cycle |= was_open and not self._is_open_cycle(obligation)

    async def _send_notice(self, decision: Decision, key: str) -> None:
        """Started, never waited for: sending delays no charge. SPEC 11.

        Nothing is recorded first: the sender claims its rows itself, whether the plan is written yet or not.
        """
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

    async def _outcome_of(self, handle: workflow.ActivityHandle[NoticeOutcome]) -> NoticeOutcome:
        """A worker that cannot send (its ledger is away) loses no notice; one that is not configured to, says so."""
        try:
            return await handle
        except ActivityError as failure:
            because = "the sending activity failed"
            if isinstance(failure.cause, ApplicationError) and failure.cause.non_retryable:
                return NoticeOutcome(is_sent=False, because=because, attention=str(failure.cause))
            return NoticeOutcome(is_sent=False, because=because, retry_at=self._now() + options.NOTICE_AGAIN)

    def _conclude_notice(self, key: str, outcome: NoticeOutcome) -> None:
        concluded = facts.NoticeConcluded(
            key=key,
            is_sent=outcome.is_sent,
            detail=outcome.because,
            retry_at=outcome.retry_at,
            attention=outcome.attention,
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
            first=first_price.asked_of(self._s),
        )
        label = summary(self._s, decision)
        try:
            result = await self._activity(CREATE_MANDATE, request, MandateResult, options.MANDATE, label)
        except ActivityError as failure:
            again = facts.MandateNotCreated(
                because=str(failure.cause or failure), retry_at=self._now() + options.MANDATE_AGAIN
            )
            result = MandateResult(fact=again)
        self._apply(result.fact)

    async def _read_mandate(self, decision: Decision) -> None:
        await self._record()
        request = ReadMandateInput(account=self._s.account, reference=self._s.reference or "", business_at=self._now())
        label = summary(self._s, decision)
        try:
            standing = await self._activity(READ_MANDATE, request, MandateStanding, options.MANDATE, label)
        except ActivityError:
            standing = MandateStanding(fact=facts.MandateRead())
        self._apply(facts.MandateRead())
        if not isinstance(standing.fact, facts.MandateRead):
            self._apply(standing.fact)

    async def _end_mandate(self, decision: Decision) -> None:
        await self._record()
        request = EndMandateInput(
            account=self._s.account, reference=self._s.reference or "", reason=self._s.status.value
        )
        try:
            label = summary(self._s, decision)
            await self._activity(END_MANDATE, request, bool, options.MANDATE, label)
            self._apply(facts.MandateGivenBack())
        except ActivityError as failure:
            self._apply(facts.MandateGivenBack(is_done=False, because=str(failure.cause or failure)))
        # In the snapshot too, so that a run that is opened again does not end it once more.
        self._must_record = True

    async def _close_page(self, decision: Decision) -> None:
        """It ended without its first price: what the customer did on the page is read, and the attempt settled."""
        await self._record()
        request = LookUpInput(
            account=self._s.account,
            subscription=self._s.id,
            generation=self._s.generation,
            customer=self._s.terms.customer.id,
            obligation=FIRST_CYCLE,
            attempt=first_price.attempt_of(self._s),
            amount=self._s.terms.amount,
            currency=self._s.terms.currency,
            reference=self._s.reference or "",
            business_at=self._now(),
            may_close_absent=True,
        )
        try:
            label = summary(self._s, decision)
            outcome = await self._activity(LOOK_UP, request, Outcome, options.LOOK_UP, label)
        except ActivityError:
            because = "the provider could not be asked"
            outcome = Outcome(kind=OutcomeKind.UNKNOWN, at=self._now(), because=because)
        self._apply(facts.PageClosed(outcome=outcome))
        self._must_record = True
