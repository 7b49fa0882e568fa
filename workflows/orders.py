"""Orders that a provider keeps itself: one given back (`RefundOrderWorkflow`), those that others voided
(`WatchVoidedWorkflow`). SPEC 9, 12.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.client import Client
from temporalio.common import RetryPolicy, WorkflowIDConflictPolicy

from activities.orders import REFUND_ORDER, TAKE_VOIDED, RefundOrderNow, TakeVoided, VoidedTaken
from dunning.contract import TASK_QUEUE
from dunning.domain.base import Value
from dunning.domain.commands import CommandResult
from dunning.ordering import REFUND_ORDER_WORKFLOW, RefundOrderInput

EVERY = timedelta(hours=1)
ROUNDS = 24
PAGES = 100
"""Pages of one round; a list that is longer goes on in a new run, where it stopped."""
LOOK_BACK = timedelta(days=29)
OVERLAP = timedelta(days=1)
"""Each round looks so far back beyond the last one: a voided order may be listed late, and is taken in once."""
_AGAIN = RetryPolicy(maximum_interval=timedelta(minutes=10))
_CALL = timedelta(minutes=2)


@workflow.defn(name=REFUND_ORDER_WORKFLOW)
class RefundOrderWorkflow:
    """One order given back: asked for until the provider has answered."""

    @workflow.run
    async def run(self, request: RefundOrderInput) -> CommandResult:
        """The command's result, as it stands in the ledger."""
        result: CommandResult = await workflow.execute_activity(
            REFUND_ORDER,
            RefundOrderNow(request=request, at=workflow.now()),
            result_type=CommandResult,
            start_to_close_timeout=_CALL,
            retry_policy=_AGAIN,
            summary=f"order {request.order_id} is to be given back",
        )
        return result


class WatchVoidedInput(Value):
    """Whose orders. `since`, `page`: where to go on; None: as far back as the provider tells."""

    account: str
    since: datetime | None = None
    page: str | None = None


@workflow.defn(name="WatchVoidedWorkflow")
class WatchVoidedWorkflow:
    """One per merchant account: takes in what was refunded, charged back or canceled without us."""

    @workflow.run
    async def run(self, request: WatchVoidedInput) -> None:
        """Look every hour, page by page; the history is renewed every day."""
        since, page = request.since, request.page
        for _ in range(ROUNDS):
            began = workflow.now()
            since = since or began - LOOK_BACK
            page = await self._round(request.account, since, page)
            if page is not None:
                workflow.continue_as_new(WatchVoidedInput(account=request.account, since=since, page=page))
            since = began - OVERLAP
            await workflow.sleep(EVERY, summary="until the next look")
        workflow.continue_as_new(WatchVoidedInput(account=request.account, since=since))

    async def _round(self, account: str, since: datetime, page: str | None) -> str | None:
        """Every page, up to `PAGES`; the one to go on with, or None at the end."""
        found = 0
        for _ in range(PAGES):
            taken = await workflow.execute_activity(
                TAKE_VOIDED,
                TakeVoided(account=account, since=since, page=page, at=workflow.now()),
                result_type=VoidedTaken,
                start_to_close_timeout=timedelta(minutes=10),
                retry_policy=_AGAIN,
                summary=f"voided orders of {account} since {since:%Y-%m-%d %H:%M} UTC",
            )
            found += taken.orders
            page = taken.next_page
            if page is None and not taken.is_stale:
                words = f"{found} voided orders since {since:%Y-%m-%d %H:%M} UTC"
                workflow.set_current_details(f"{words}, looked at {workflow.now():%m-%d %H:%M} UTC")
                return None
        return page


async def ensure_voided_watch(client: Client, accounts: Iterable[str]) -> None:
    """Start the watch of every account; what runs already is left alone."""
    for account in accounts:
        await client.start_workflow(
            WatchVoidedWorkflow.run,
            WatchVoidedInput(account=account),
            id=f"voided/{account}",
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"Voided orders of {account} are taken in",
        )
