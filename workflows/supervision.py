"""`SuperviseAccountWorkflow`: finds runs that were terminated or lost while the ledger says open. SPEC 8."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, WorkflowIDConflictPolicy

from activities.supervision import RESTART_LOST_RUNS
from dunning.contract import TASK_QUEUE

EVERY = timedelta(hours=1)
ROUNDS = 24


@workflow.defn(name="SuperviseAccountWorkflow")
class SuperviseAccountWorkflow:
    """One per merchant account. It repairs; it never decides when anything is charged."""

    @workflow.run
    async def run(self, account: str) -> None:
        """Look every hour; the history is renewed every day."""
        for _ in range(ROUNDS):
            await workflow.execute_activity(
                RESTART_LOST_RUNS,
                account,
                start_to_close_timeout=timedelta(minutes=30),
                heartbeat_timeout=timedelta(minutes=2),
                retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=5)),
                summary=f"every open subscription of {account} has a run",
            )
            await workflow.sleep(EVERY, summary="until the next look")
        workflow.continue_as_new(account)


async def ensure_supervision(client: Client, accounts: Iterable[str]) -> None:
    """Start the supervision of every account; what runs already is left alone."""
    for account in accounts:
        await client.start_workflow(
            SuperviseAccountWorkflow.run,
            account,
            id=f"supervise/{account}",
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"Every open subscription of {account} has a run",
        )
