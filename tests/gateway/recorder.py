"""A workflow with the name and the messages of a subscription's, which only writes down what it is told."""

from __future__ import annotations

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from dunning import contract
    from dunning.contract import ProviderFact, StateReport, SubscriptionInput
    from dunning.domain.commands import Cancel, CommandResult, Pause


@workflow.defn(name=contract.WORKFLOW)
class Recorder:
    """Ends when it is canceled; refuses every pause."""

    @workflow.init
    def __init__(self, start: SubscriptionInput) -> None:
        self._start = start
        self._heard: list[ProviderFact] = []
        self._is_over = False

    @workflow.run
    async def run(self, start: SubscriptionInput) -> None:
        await workflow.wait_condition(lambda: self._is_over)
        await workflow.wait_condition(workflow.all_handlers_finished)

    @workflow.signal(name=contract.SIGNAL_FACT)
    def provider_fact(self, heard: ProviderFact) -> None:
        self._heard.append(heard)

    @workflow.query
    def heard(self) -> list[ProviderFact]:
        return self._heard

    @workflow.query
    def started_with(self) -> SubscriptionInput:
        return self._start

    @workflow.query(name=contract.QUERY_STATE)
    def state(self) -> StateReport:
        return StateReport(business_now=workflow.now(), next_because=str(len(self._heard)))

    @workflow.update
    async def cancel(self, command: Cancel) -> CommandResult:
        self._is_over = True
        return CommandResult(command_id=command.command_id, status="done", detail={"type": command.type.value})

    @workflow.update
    async def pause(self, command: Pause) -> CommandResult:
        raise ApplicationError("never reached", non_retryable=True)

    @pause.validator
    def _may_pause(self, command: Pause) -> None:
        raise ApplicationError("it is paused already", type="refused", non_retryable=True)
