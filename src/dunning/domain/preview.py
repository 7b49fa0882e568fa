"""The same machine with scripted outcomes and no waiting. SPEC 3, 17.

`preview` walks `decide`/`apply` through a subscription's future. What it shows is what the workflow will do,
because both interpret the same decisions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from dunning.domain import facts
from dunning.domain.apply import apply
from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.base import Known
from dunning.domain.beginning import new_state
from dunning.domain.decide import TIME_FACTS, Decision, Do, decide
from dunning.domain.declines import Classified
from dunning.domain.messages import PlannedNotice
from dunning.domain.outcomes import (
    ScriptedDecline,
    ScriptedOutcome,
    ScriptedSuccess,
)
from dunning.domain.preview_plan import PLAN_DECISIONS
from dunning.domain.preview_purchase import PurchaseMoment, PurchaseWalk
from dunning.domain.refunds import RefundKind, RefundOutcome
from dunning.domain.script import PAY_BY_LINK, Script, ScriptedAction
from dunning.domain.state import Obligation, State
from dunning.domain.step import Applied
from dunning.domain.tables import OPEN_CYCLE, CycleStatus, SubscriptionStatus
from dunning.domain.terms import Terms

MAX_STEPS = 200_000
"""A preview that takes more steps than this has lost its way: it stops and says so in its warnings."""

_KEPT = OPEN_CYCLE | {CycleStatus.FAILED}
"""What stays in the state: it can still be collected."""

_USES_A_NUMBER = frozenset({Do.OPEN_CYCLE, Do.SKIP_CYCLE})
"""What begins the next cycle of the calendar."""

_PAID = ScriptedSuccess()
"""Every charge beyond the script's words."""

Classifier = Callable[[str], Classified]


class Foretold(Known):
    """Everything that the walk saw. `purchase`: what gives access when, where the provider states that itself."""

    state: State
    obligations: tuple[Obligation, ...]
    notices: tuple[PlannedNotice, ...]
    warnings: tuple[str, ...]
    ended_at: datetime
    purchase: tuple[PurchaseMoment, ...] = ()


class Walk(PurchaseWalk):
    """One scripted life of one subscription."""

    def __init__(
        self,
        terms: Terms,
        *,
        account: str,
        subscription: str,
        created_at: datetime,
        classify: Classifier,
        script: Script,
        outcomes: tuple[ScriptedOutcome, ...] | None = None,
    ) -> None:
        self.state = new_state(
            account=account, subscription=subscription, generation=1, terms=terms, created_at=created_at
        ).state
        self.now = created_at
        self._created_at = created_at
        self._classify = classify
        self._script = script
        self._outcomes: Iterator[ScriptedOutcome] = iter(script.parsed if outcomes is None else outcomes)
        self._declined: dict[tuple[str, timedelta | None], Outcome] = {}
        self._outage: tuple[datetime, datetime] | None = None
        self._pending: dict[str, tuple[datetime, ScriptedOutcome]] = {}
        self._todo = self._actions()
        self._obligations: dict[str, Obligation] = {}
        self._notices: dict[str, PlannedNotice] = {}

    def _actions(self) -> list[tuple[datetime, int, ScriptedAction]]:
        numbered = enumerate(self._script.do, start=1)
        return sorted(((a.instant(self._created_at), n, a) for n, a in numbered), key=lambda x: x[:2])

    def run(self, *, until: datetime | None, cycles: int) -> Foretold:
        """Walk until nothing is left to do, `until`, or `cycles` cycles have opened and closed."""
        warnings: tuple[str, ...] = ()
        for _ in range(MAX_STEPS):
            decision = decide(self.state, self.now)
            if self._todo and self._act_first(decision, until):
                continue
            by_provider = self._provider_at() if self.state.plan is not None else None
            if by_provider is not None and (decision is None or by_provider <= decision.at):
                if (until is not None and by_provider > until) or self._is_beyond(cycles):
                    break
                self._provider_acts(by_provider)
                continue
            if decision is None or decision.do is Do.FINISH or self._is_far_enough(decision, until, cycles):
                break
            self.now = max(self.now, decision.at)
            self._carry_out(decision)
        else:
            warnings = (f"the walk was stopped after {MAX_STEPS} steps",)
        self._remember()
        return Foretold(
            state=self.state,
            obligations=tuple(self._obligations.values()),
            notices=tuple(self._notices.values()),
            warnings=warnings,
            ended_at=self.now,
            purchase=self._moments,
        )

    def _is_far_enough(self, decision: Decision, until: datetime | None, cycles: int) -> bool:
        if until is not None and decision.at > until:
            return True
        return decision.do in _USES_A_NUMBER and self.state.next_number > cycles

    # --- what the script does by itself ---------------------------------------------------------

    def _act_first(self, decision: Decision | None, until: datetime | None) -> bool:
        """Facts come before decisions of the same instant. SPEC 8."""
        at, number, action = self._todo[0]
        if (decision is not None and decision.do is not Do.FINISH and at > decision.at) or (until and at > until):
            return False
        self._todo.pop(0)
        self.now = max(self.now, at)
        if action.action == PAY_BY_LINK:
            self._pay_by_link(number)
        elif not self._customer_deed(action):
            self._take(facts.Queued(command=action.command(number, at)))
        return True

    def _pay_by_link(self, number: int) -> None:
        owed = [o for o in self.state.obligations if o.is_open] or list(self.state.obligations)
        if owed:
            self._take(
                facts.PaymentObserved(
                    payment_id=f"link-{number}", amount=owed[0].amount, currency=owed[0].currency, at=self.now
                )
            )

    # --- what the machine decides ---------------------------------------------------------------

    def _take(self, fact: facts.Fact) -> Applied:
        applied = apply(self.state, fact, self.now)
        self.state = applied.state
        for notice in applied.notices:
            self._notices[notice.key] = notice
        if len(self.state.obligations) > 4 and any(not o.is_open for o in self.state.obligations):
            self._forget()
        return applied

    def _remember(self) -> None:
        for obligation in self.state.obligations:
            self._obligations[obligation.id] = obligation

    def _forget(self) -> None:
        """Obligations that are over leave the state, as they do where a run ends."""
        paid = [o for o in self.state.obligations if o.is_cycle and o.status is CycleStatus.SUCCEEDED][-1:]
        kept = tuple([o for o in self.state.obligations if o.status in _KEPT or o in paid])[-12:]
        if len(kept) < len(self.state.obligations):
            self._remember()
            self.state = self.state.but(obligations=kept)

    def _carry_out(self, decision: Decision) -> None:
        if decision.do is Do.CHARGE:
            self._charge(decision.obligation or "")
        elif decision.do in TIME_FACTS:
            self._take(facts.TimeCame(what=decision.do.value, obligation=decision.obligation))
        elif decision.do is Do.RUN_COMMAND:
            self._take(facts.Commanded(command=self.state.queue[0]))
        elif decision.do is Do.LOOK_UP:
            self._look_up(decision.obligation or "")
        elif decision.do is Do.REFUND:
            self._refund(decision.refund or "")
        elif decision.do is Do.SEND_NOTICE:
            self._take(facts.NoticeStarted(key=decision.notice or ""))
            self._take(facts.NoticeConcluded(key=decision.notice or "", is_sent=True))
        elif decision.do in PLAN_DECISIONS:
            self._follow(decision)
        else:
            self._tend_mandate(decision)

    def _tend_mandate(self, decision: Decision) -> None:
        if decision.do is Do.END_MANDATE:
            self._take(facts.MandateGivenBack())
        elif decision.do is Do.CREATE_MANDATE:
            self._create_mandate()
        elif decision.do is Do.READ_MANDATE:
            self._take(facts.MandateRead())
        elif decision.do is Do.CLOSE_PAGE:
            self._take(facts.PageClosed(outcome=Outcome(kind=OutcomeKind.ABSENT, at=self.now)))

    def _mandate_story(self) -> tuple[str, timedelta]:
        return self._script.mandate, self._script.mandate_delay

    def _refund(self, key: str) -> None:
        """Refunds are not scripted: what is asked for is given back at once."""
        asked = self.state.refund(key)
        if asked is None:
            return
        if asked.paid is None:
            because = f"order {asked.order} is not a payment of this subscription"
            refused = RefundOutcome(kind=RefundKind.REFUSED, at=self.now, because=because)
            self._take(facts.RefundConcluded(key=key, outcome=refused))
            return
        amount = asked.amount if asked.amount is not None else asked.paid
        made = RefundOutcome(kind=RefundKind.SUCCEEDED, at=self.now, amount=amount, currency=asked.currency)
        self._take(facts.RefundConcluded(key=key, outcome=made))

    def _create_mandate(self) -> None:
        self._take(facts.MandateCreated(reference="preview", link="preview"))
        at = self.now + self._script.mandate_delay
        if self._script.mandate == "never":
            return
        limit = self._created_at + timedelta(days=self.state.terms.activation_timeout_days)
        if at >= limit:
            return
        self.now = at
        if self._script.mandate == "fail":
            self._take(facts.MandateFailed(at=at))
        else:
            self._take(facts.MandateAuthorized(at=at, reference="preview"))

    def _charge(self, obligation_id: str) -> None:
        self._take(facts.AttemptStarted(obligation=obligation_id))
        attempt = self.state.obligation(obligation_id).in_flight
        if attempt is None:
            return
        outcome = self._next_outcome(attempt.key)
        self._take(facts.AttemptConcluded(obligation=obligation_id, number=attempt.number, outcome=outcome))

    def _next_outcome(self, key: str) -> Outcome:
        if self._outage is not None:
            start, end = self._outage
            if self.now < end:
                return Outcome(kind=OutcomeKind.OUTAGE, at=self.now, because=f"outage since {start.isoformat()}")
            self._outage = None
        scripted = next(self._outcomes, _PAID)
        # By their kind: `isinstance` of a model is slow.
        if scripted.kind == "outage":
            self._outage = (self.now, self.now + scripted.lasts)
            return Outcome(kind=OutcomeKind.OUTAGE, at=self.now, because="scripted outage")
        if scripted.kind == "timeout_committed":
            self._pending[key] = (self.now, _PAID)
            return Outcome(kind=OutcomeKind.UNKNOWN, at=self.now, because="no answer came")
        if scripted.kind == "pending":
            self._pending[key] = (self.now + scripted.lasts, scripted.then)
            return Outcome(kind=OutcomeKind.PENDING, at=self.now, because="not settled yet")
        return self._outcome(scripted)

    def _outcome(self, scripted: ScriptedOutcome) -> Outcome:
        if scripted.kind == "declined":
            word = (scripted.code, scripted.wait)
            if word not in self._declined:
                self._declined[word] = self._decline(scripted)
            return self._declined[word].but(at=self.now)
        return Outcome(kind=OutcomeKind.SUCCEEDED, at=self.now)

    def _decline(self, scripted: ScriptedDecline) -> Outcome:
        known = self._classify(scripted.code)
        return Outcome(
            kind=OutcomeKind.DECLINED,
            at=self.now,
            raw_code=scripted.code,
            klass=known.klass,
            rule=known.rule_id,
            soft_cap=known.cap,
            retry_after_seconds=int(scripted.wait.total_seconds()) if scripted.wait else None,
        )

    def _look_up(self, obligation_id: str) -> None:
        attempt = self.state.obligation(obligation_id).last
        if attempt is None:
            return
        settles_at, then = self._pending.get(attempt.key, (self.now, _PAID))
        kind = attempt.outcome.kind if attempt.outcome is not None else OutcomeKind.UNKNOWN
        outcome = self._outcome(then) if self.now >= settles_at else Outcome(kind=kind, at=self.now)
        self._take(
            facts.AttemptConcluded(obligation=obligation_id, number=attempt.number, outcome=outcome, is_look_up=True)
        )


def final_status(foretold: Foretold) -> SubscriptionStatus:
    """Where the walk ended."""
    return foretold.state.status
