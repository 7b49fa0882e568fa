"""`DeliverEventsWorkflow`: keeps an account's outbox draining, for ever. SPEC 10."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, WorkflowIDConflictPolicy

from activities.delivery import DELIVER, DeliveryInput
from dunning.contract import TASK_QUEUE

ROUNDS = 6
"""Rounds before the history is renewed."""

ROUND_SECONDS = 600.0
"""How long one round drains, by the machine clock."""


@workflow.defn(name="DeliverEventsWorkflow")
class DeliverEventsWorkflow:
    """One per merchant account. A dead backend delays its events and nothing else."""

    @workflow.run
    async def run(self, account: str) -> None:
        """Drain in rounds; a round that dies is started again."""
        for _ in range(ROUNDS):
            request = DeliveryInput(account=account, seconds=ROUND_SECONDS)
            await workflow.execute_activity(
                DELIVER,
                request,
                start_to_close_timeout=timedelta(seconds=request.seconds + 60),
                heartbeat_timeout=timedelta(seconds=60),
                retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
                summary=f"deliver events of {account}",
            )
        workflow.continue_as_new(account)


async def ensure_delivery(client: Client, accounts: Iterable[str]) -> None:
    """Start the delivery of every account; what runs already is left alone."""
    for account in accounts:
        await client.start_workflow(
            DeliverEventsWorkflow.run,
            account,
            id=f"delivery/{account}",
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"Events of {account} to its product backend",
        )
