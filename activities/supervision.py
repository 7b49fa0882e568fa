"""An invariant, checked: what the ledger says is open has a run. SPEC 8, "after the end"."""

from __future__ import annotations

from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from dunning.contract import TASK_QUEUE, WORKFLOW, SubscriptionInput, workflow_id
from dunning.ledger import Ledger

RESTART_LOST_RUNS = "restart_lost_runs"


class SupervisionActivities:
    """One instance per worker."""

    def __init__(self, ledger: Ledger, client: Client, *, task_queue: str = TASK_QUEUE) -> None:
        self._ledger = ledger
        self._client = client
        self._task_queue = task_queue

    @activity.defn(name=RESTART_LOST_RUNS)
    async def restart_lost_runs(self, account: str) -> list[str]:
        """Start a run for every open subscription that has none; it goes on from the ledger's snapshot.

        Returns the ids that were restarted. A run that the list does not show yet is not touched: starting uses
        what exists.
        """
        running = set()
        query = f"WorkflowType = '{WORKFLOW}' AND ExecutionStatus = 'Running' AND DunningMerchantAccount = '{account}'"
        async for found in self._client.list_workflows(query):
            running.add(found.id)
            activity.heartbeat(len(running))
        lost = []
        for subscription, generation in await self._ledger.open_subscriptions(account):
            name = workflow_id(account, subscription)
            if name in running:
                continue
            await self._client.start_workflow(
                WORKFLOW,
                SubscriptionInput(account=account, subscription=subscription, generation=generation),
                id=name,
                task_queue=self._task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            )
            lost.append(subscription)
            activity.heartbeat(len(lost))
        if lost:
            activity.logger.warning("runs were lost and are restarted", extra={"account": account, "count": len(lost)})
        return lost
