"""Giving money back: the two decisions about refunds, carried out. SPEC 9, 13."""

from __future__ import annotations

from temporalio.exceptions import ActivityError

from activities.names import LOOK_UP_REFUND, REFUND
from dunning.domain import facts
from dunning.domain.decide import Decision, Do
from dunning.domain.planning import ABSENT_AFTER
from dunning.domain.refunds import RefundKind, RefundOutcome
from dunning.domain.showing import summary
from dunning.ledger.models import RefundInput, RefundLookUpInput
from workflows import options
from workflows.shell import Shell


class RefundSteps(Shell):
    """What a run does about refunds; the ledger's row of each decides who may send it."""

    async def _give_back(self, decision: Decision, key: str) -> None:
        if decision.do is Do.REFUND:
            await self._refund(decision, key)
        else:
            await self._look_up_refund(decision, key)

    async def _refund(self, decision: Decision, key: str) -> None:
        """Written down first, so that a run that is opened again asks for the same refund."""
        self._must_record = True
        await self._record()
        refund = self._s.refund(key)
        if refund is None:
            return
        request = RefundInput(
            account=self._s.account,
            subscription=self._s.id,
            generation=self._s.generation,
            customer=self._s.terms.customer.id,
            key=refund.key,
            command_id=refund.command_id,
            order=refund.order,
            payment_id=refund.payment_id,
            obligation=refund.obligation,
            paid=refund.paid,
            currency=refund.currency or self._s.terms.currency,
            amount=refund.amount,
            may_be_less=refund.may_be_less,
            item=refund.item,
            items=refund.items,
            disputed=self._s.disputed,
            business_at=self._now(),
        )
        try:
            label = summary(self._s, decision)
            outcome = await self._activity(REFUND, request, RefundOutcome, options.CHARGE, label)
        except ActivityError:
            because = "the worker died or the call ran out of time: the ledger's row will tell"
            outcome = RefundOutcome(kind=RefundKind.UNKNOWN, at=self._now(), because=because)
        self._apply(facts.RefundConcluded(key=key, outcome=outcome))

    async def _look_up_refund(self, decision: Decision, key: str) -> None:
        await self._record()
        refund = self._s.refund(key)
        if refund is None:
            return
        since = refund.since or self._now()
        request = RefundLookUpInput(
            account=self._s.account,
            key=key,
            business_at=self._now(),
            may_close_absent=self._now() - since >= ABSENT_AFTER,
        )
        try:
            label = summary(self._s, decision)
            outcome = await self._activity(LOOK_UP_REFUND, request, RefundOutcome, options.LOOK_UP, label)
        except ActivityError:
            because = "the provider could not be asked"
            outcome = RefundOutcome(kind=RefundKind.UNKNOWN, at=self._now(), because=because)
        self._apply(facts.RefundConcluded(key=key, outcome=outcome, is_look_up=True))
