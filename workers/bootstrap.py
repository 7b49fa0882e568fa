"""The one place where objects are wired: settings -> ledger, providers, channels -> activities -> worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import httpx
from temporalio.client import Client
from temporalio.worker import Worker, WorkflowRunner
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.book import BookActivities
from activities.charging import ChargeActivities
from activities.delivery import DeliveryActivities
from activities.mandates import MandateActivities
from activities.notices import NoticeActivities
from activities.orders import OrderActivities
from activities.plans import PlanActivities
from activities.price_migration import PriceMigrationActivities
from activities.refunds import RefundActivities
from activities.supervision import SupervisionActivities
from dunning.contract import TASK_QUEUE
from dunning.ledger import Ledger
from dunning.providers.orders import OrderProvider
from dunning.providers.registry import provider_for
from dunning.settings import Settings
from workers.fresh_time import FreshTimeRunner
from workflows.delivery import DeliverEventsWorkflow
from workflows.orders import RefundOrderWorkflow, WatchVoidedWorkflow
from workflows.price_migration import PriceMigrationWorkflow
from workflows.subscription import SubscriptionWorkflow
from workflows.supervision import SuperviseAccountWorkflow

GRACEFUL_SHUTDOWN = timedelta(seconds=75)
"""Longer than the hard deadline of a charge, so that a deploy never abandons one."""

PASSED_THROUGH = (
    "dunning", "activities", "httpx", "sqlalchemy", "structlog", "pydantic", "standardwebhooks", "psycopg",
)  # fmt: skip
"""Modules that workflow files import and that are deterministic there, or only named there."""

WORKFLOWS = "workflows"
"""The workflow files themselves. Loading them anew for every run cost a seventh of a good cycle's processor time."""


WORKFLOW_CLASSES = (
    SubscriptionWorkflow,
    DeliverEventsWorkflow,
    SuperviseAccountWorkflow,
    PriceMigrationWorkflow,
    RefundOrderWorkflow,
    WatchVoidedWorkflow,
)
"""Every workflow that a worker runs."""


async def accounts_with_orders(settings: Settings) -> list[str]:
    """The merchant accounts whose provider keeps orders of its own. Raises as `provider_for` does."""
    found = []
    for name, account in settings.accounts.items():
        provider = provider_for(account)
        if isinstance(provider, OrderProvider):
            found.append(name)
        await provider.aclose()
    return found


def workflow_runner(*, strict: bool = False) -> WorkflowRunner:
    """Temporal's sandbox, and no decision on a stale clock.

    `strict` loads the workflow files inside the sandbox, so that a test catches a clock or an I/O call in them; a
    deployed worker runs them as that test passed them.
    """
    passed = PASSED_THROUGH if strict else (WORKFLOWS, *PASSED_THROUGH)
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*passed)
    return FreshTimeRunner(SandboxedWorkflowRunner(restrictions=restrictions))


@asynccontextmanager
async def worker(client: Client, settings: Settings, *, task_queue: str = TASK_QUEUE) -> AsyncIterator[Worker]:
    """A worker with everything it needs, not running yet; all connections are closed afterwards."""
    async with AsyncExitStack() as stack:
        ledger = await Ledger.open(settings.ledger_url_async)
        stack.push_async_callback(ledger.aclose)
        providers = {name: provider_for(account) for name, account in settings.accounts.items()}
        for provider in providers.values():
            stack.push_async_callback(provider.aclose)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=15))
        book = BookActivities(ledger, settings.accounts)
        mandates = MandateActivities(ledger, providers)
        plans = PlanActivities(ledger, providers)
        charges = ChargeActivities(ledger, providers, settings.accounts)
        refunds = RefundActivities(ledger, providers)
        notices = NoticeActivities(ledger, settings.accounts, http)
        stack.push_async_callback(notices.aclose)
        delivery = DeliveryActivities(ledger, settings.accounts, http)
        prices = PriceMigrationActivities(providers)
        orders = OrderActivities(ledger, providers)
        supervision = SupervisionActivities(ledger, client, task_queue=task_queue)
        yield Worker(
            client,
            task_queue=task_queue,
            workflows=WORKFLOW_CLASSES,
            activities=[
                book.load_subscription,
                book.record,
                book.begin_command,
                mandates.create_mandate,
                mandates.read_mandate,
                mandates.end_mandate,
                plans.create_plan,
                plans.read_plan,
                plans.end_plan,
                plans.change_plan,
                charges.charge,
                charges.look_up,
                refunds.refund,
                refunds.look_up_refund,
                notices.send_notice,
                delivery.deliver_events,
                supervision.restart_lost_runs,
                prices.migrate_prices,
                orders.refund_order,
                orders.take_voided,
            ],
            workflow_runner=workflow_runner(),
            graceful_shutdown_timeout=GRACEFUL_SHUTDOWN,
            max_concurrent_activities=100,
        )
