"""One Temporal Update per command of SPEC 9. Handlers validate and enqueue; the main loop executes."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from dunning.domain.attempts import on_demand_obligation
from dunning.domain.command_table import judge, waits
from dunning.domain.commands import (
    Cancel,
    ChangeItems,
    Charge,
    Command,
    CommandResult,
    Defer,
    MarkFixed,
    Pause,
    Refund,
    Reinstate,
    Restore,
    Resume,
    RetryNow,
    Revoke,
    SetPolicy,
    SkipCycle,
    UpdatePaymentMethod,
)
from dunning.domain.expecting import waits_for_plan
from dunning.domain.refunds import RefundStatus
from dunning.domain.state import State


class CommandHandlers:
    """The Updates of a subscription. The class that inherits owns `_commands` and drains it."""

    _state: State | None
    _commands: list[Command]

    def _refuse_early(self, command: Command) -> None:
        """A refusal of an open, loaded run leaves no trace in history. SPEC 9."""
        state = self._state
        if state is None or self._result_of(command) is not None or state.queue or self._commands:
            return
        verdict = judge(state, command, max(workflow.now(), state.latest))
        if not verdict.is_allowed:
            raise ApplicationError(verdict.because, type="refused", non_retryable=True)

    async def _execute(self, command: Command) -> CommandResult:
        self._commands.append(command)
        await workflow.wait_condition(lambda: self._answer_to(command) is not None)
        answer = self._answer_to(command)
        if answer is None:
            raise ApplicationError("the command was lost", type="lost", non_retryable=True)
        return answer

    def _answer_to(self, command: Command) -> CommandResult | None:
        done = self._result_of(command)
        state = self._state
        if done is not None or state is None:
            return done
        is_queued = any(c.command_id == command.command_id for c in state.queue)
        if is_queued and not state.is_settled and waits(state, command):
            reason = "a charge is on its way; the command is carried out when it has settled"
            return CommandResult(command_id=command.command_id, status="accepted", reason=reason)
        later = waits_for_plan(state, command)
        if later:
            return CommandResult(command_id=command.command_id, status="accepted", reason=later)
        return self._refund_under_way(command) or self._addition_under_way(command)

    def _addition_under_way(self, command: Command) -> CommandResult | None:
        """What is added is charged first: while that is not clear, the command is answered later. SPEC 9."""
        own = on_demand_obligation(command.command_id)
        state = self._state
        if not isinstance(command, ChangeItems) or state is None or not state.has(own):
            return None
        obligation = state.obligation(own)
        if not obligation.is_open or not obligation.attempts or obligation.in_flight is not None:
            return None
        reason = "the charge for what is added is under way"
        return CommandResult(command_id=command.command_id, status="accepted", reason=reason)

    def _refund_under_way(self, command: Command) -> CommandResult | None:
        """A refund that the provider was asked for, or could not be asked for yet, is answered later. SPEC 9."""
        refunds = self._state.refunds if self._state is not None else ()
        refund = next((one for one in refunds if one.command_id == command.command_id and one.is_open), None)
        if refund is None or (refund.status is RefundStatus.PLANNED and refund.wait_until is None):
            return None
        reason = f"the refund is under way: {refund.because or 'the provider has not settled it yet'}"
        return CommandResult(command_id=command.command_id, status="accepted", reason=reason)

    def _result_of(self, command: Command) -> CommandResult | None:
        if self._state is None:
            return None
        return next((r for r in self._state.results if r.command_id == command.command_id), None)

    @workflow.update(name="cancel")
    async def cancel(self, command: Cancel) -> CommandResult:
        """Stop renewals (the user), or stop payments (the developer)."""
        return await self._execute(command)

    @cancel.validator
    def _may_cancel(self, command: Cancel) -> None:
        self._refuse_early(command)

    @workflow.update(name="restore")
    async def restore(self, command: Restore) -> CommandResult:
        """Take back a cancellation that the user asked for, before it expires."""
        return await self._execute(command)

    @restore.validator
    def _may_restore(self, command: Restore) -> None:
        self._refuse_early(command)

    @workflow.update(name="pause")
    async def pause(self, command: Pause) -> CommandResult:
        """Skip cycles until resumed, or until an instant."""
        return await self._execute(command)

    @pause.validator
    def _may_pause(self, command: Pause) -> None:
        self._refuse_early(command)

    @workflow.update(name="resume")
    async def resume(self, command: Resume) -> CommandResult:
        """End a pause."""
        return await self._execute(command)

    @resume.validator
    def _may_resume(self, command: Resume) -> None:
        self._refuse_early(command)

    @workflow.update(name="defer")
    async def defer(self, command: Defer) -> CommandResult:
        """Move the next due instant by days."""
        return await self._execute(command)

    @defer.validator
    def _may_defer(self, command: Defer) -> None:
        self._refuse_early(command)

    @workflow.update(name="charge")
    async def charge(self, command: Charge) -> CommandResult:
        """Collect an amount on demand, with a ladder of its own."""
        return await self._execute(command)

    @charge.validator
    def _may_charge(self, command: Charge) -> None:
        self._refuse_early(command)

    @workflow.update(name="retry_now")
    async def retry_now(self, command: RetryNow) -> CommandResult:
        """Try what is owed now."""
        return await self._execute(command)

    @retry_now.validator
    def _may_retry_now(self, command: RetryNow) -> None:
        self._refuse_early(command)

    @workflow.update(name="update_payment_method")
    async def update_payment_method(self, command: UpdatePaymentMethod) -> CommandResult:
        """Give another payment method; what is owed is tried on it at once."""
        return await self._execute(command)

    @update_payment_method.validator
    def _may_update_payment_method(self, command: UpdatePaymentMethod) -> None:
        self._refuse_early(command)

    @workflow.update(name="skip_cycle")
    async def skip_cycle(self, command: SkipCycle) -> CommandResult:
        """Do not collect one cycle."""
        return await self._execute(command)

    @skip_cycle.validator
    def _may_skip_cycle(self, command: SkipCycle) -> None:
        self._refuse_early(command)

    @workflow.update(name="set_policy")
    async def set_policy(self, command: SetPolicy) -> CommandResult:
        """Change the recovery policy from the next cycle on."""
        return await self._execute(command)

    @set_policy.validator
    def _may_set_policy(self, command: SetPolicy) -> None:
        self._refuse_early(command)

    @workflow.update(name="mark_fixed")
    async def mark_fixed(self, command: MarkFixed) -> CommandResult:
        """An operator repaired our configuration: what waited for it is tried."""
        return await self._execute(command)

    @mark_fixed.validator
    def _may_mark_fixed(self, command: MarkFixed) -> None:
        self._refuse_early(command)

    @workflow.update(name="reinstate")
    async def reinstate(self, command: Reinstate) -> CommandResult:
        """Give access back after a late payment for an ended subscription."""
        return await self._execute(command)

    @reinstate.validator
    def _may_reinstate(self, command: Reinstate) -> None:
        self._refuse_early(command)

    @workflow.update(name="refund")
    async def refund(self, command: Refund) -> CommandResult:
        """Give a payment back, all that is left of it or an amount."""
        return await self._execute(command)

    @refund.validator
    def _may_refund(self, command: Refund) -> None:
        self._refuse_early(command)

    @workflow.update(name="change_items")
    async def change_items(self, command: ChangeItems) -> CommandResult:
        """Have other products, or learn what the customer's app has to pass on for that."""
        return await self._execute(command)

    @change_items.validator
    def _may_change_items(self, command: ChangeItems) -> None:
        self._refuse_early(command)

    @workflow.update(name="revoke")
    async def revoke(self, command: Revoke) -> CommandResult:
        """End access at once and give the running period back: all, its unused days, or one item."""
        return await self._execute(command)

    @revoke.validator
    def _may_revoke(self, command: Revoke) -> None:
        self._refuse_early(command)
