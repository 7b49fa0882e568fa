"""A whole world for workflow tests: real ledger, real sandbox over HTTP, real mail catcher, a real worker.

Time is the time-skipping server's: `pass_time` moves it, and nothing here sleeps to wait.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import httpx
from pydantic import SecretStr
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.testservice.v1 import SleepRequest, UnlockTimeSkippingRequest
from temporalio.api.workflowservice.v1 import DescribeWorkflowExecutionRequest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.book import BookActivities
from activities.charging import ChargeActivities
from activities.delivery import DeliveryActivities
from activities.mandates import MandateActivities
from activities.notices import NoticeActivities
from activities.plans import PlanActivities
from activities.refunds import RefundActivities
from dunning import contract
from dunning.charging import WAIT_FOR_RESULT
from dunning.contract import ProviderFact, StateReport, SubscriptionInput
from dunning.domain.commands import CommandResult
from dunning.domain.state import State
from dunning.intake import parse_subscription
from dunning.ledger import Ledger
from dunning.providers.registry import provider_for
from dunning.sandbox import SandboxServer
from dunning.sandbox.mail import MailCatcher
from dunning.settings import AccountSettings, SmtpSettings, WhatsAppSettings
from tests.builders import subscription_data, zone_of_noon
from workers.bootstrap import workflow_runner
from workflows.delivery import DeliverEventsWorkflow
from workflows.subscription import SubscriptionWorkflow

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
ACCOUNT = "demo"
QUERY_TIMEOUT = timedelta(seconds=10)
ASKING = timedelta(seconds=120)
"""Of real time, in which the state query is asked again."""
STANDSTILL = 30.0
"""Seconds of real time: longer than a charge waits for its result, in which the clock rightly stands."""
SLEEP_TIMEOUT = timedelta(seconds=200)
"""Of real time: nothing is skipped while work runs, and a task that a busy machine lost is given again after 10 s."""


async def skip(env: WorkflowEnvironment, by: timedelta) -> None:
    """Let virtual time pass. As `env.sleep`, whose call gives up after 30 s of real time."""
    request = SleepRequest()
    request.duration.FromTimedelta(by)
    service = env.client.test_service
    sleeping = asyncio.create_task(service.unlock_time_skipping_with_sleep(request, timeout=SLEEP_TIMEOUT))
    while not (await asyncio.wait([sleeping], timeout=STANDSTILL))[0] and _LOST_QUERIES.get(env):
        # Measured: a run that ends while queries wait for it keeps its lock on the clock for good. One lock for a run.
        _LOST_QUERIES[env] -= 1
        await service.unlock_time_skipping(UnlockTimeSkippingRequest())
    await sleeping


_LOST_QUERIES: WeakKeyDictionary[WorkflowEnvironment, int] = WeakKeyDictionary()
"""How many queries each time-skipping server has left without an answer."""


A_MOMENT = timedelta(seconds=4)
"""The server skips no time during work, so what is due at the end of a sleep is mostly done a moment later."""


class World:
    """One merchant account with everything around it."""

    def __init__(self, env: WorkflowEnvironment, ledger: Ledger, sandbox: SandboxServer, mail: MailCatcher) -> None:
        self.env = env
        self.client: Client = env.client
        self.ledger = ledger
        self.sandbox = sandbox
        self.mail = mail
        self.task_queue = f"dunning-{uuid.uuid4()}"
        self.http = httpx.AsyncClient(base_url=sandbox.url, timeout=10)
        self.names: list[str] = []
        self.ids: list[str] = []

    async def now(self) -> datetime:
        """The server's clock."""
        return await self.env.get_current_time()

    async def sleep(self, by: timedelta) -> None:
        """Let virtual time pass, and a moment more after a long sleep: a query should not meet the end of a run."""
        await skip(self.env, by)
        if by > A_MOMENT:
            await skip(self.env, A_MOMENT)

    async def begin(
        self,
        *outcomes: str,
        due_in: timedelta = timedelta(hours=1),
        methods: tuple[str, ...] = ("pm_1",),
        **changes: Any,
    ) -> Life:
        """Write a subscription, script its customer at the provider, start its workflow.

        `methods` are those that the customer has stored at the provider.
        """
        name = f"sub-{uuid.uuid4().hex[:12]}"
        anchor = (await self.now() + due_in).replace(microsecond=0)
        reference = f"sub_{name}"
        data: dict[str, Any] = {
            "id": name,
            "customer": {**subscription_data()["customer"], "id": f"cust-{name}", "time_zone": zone_of_noon(anchor)},
            "payment_methods": [{"token": "pm_1", "authorized_at": anchor.isoformat()}],
            "provider_options": {"country": "ID", "product_id": "pdt_1", "subscription_id": reference},
            **changes,
            "schedule": {
                "anchor_at": anchor.isoformat(),
                "interval": "MONTH",
                "interval_count": 1,
                **changes.get("schedule", {}),
            },
        }
        given = parse_subscription(subscription_data(**data))
        if given.payment_methods:
            await self.script(name, reference, outcomes, given.payment_methods[0].token, methods)
        created = await self.ledger.create_subscription(given, now=await self.now())
        start = SubscriptionInput(account=ACCOUNT, subscription=name, generation=created.generation)
        handle = await self.client.start_workflow(
            contract.WORKFLOW, start, id=contract.workflow_id(ACCOUNT, name), task_queue=self.task_queue
        )
        self.names.append(name)
        self.ids.append(handle.id)
        return Life(self, name, reference, handle, anchor)

    async def end_lives(self) -> None:
        """A run without a worker would hold the server's clock for every test that follows."""
        for own in self.ids:
            with suppress(RPCError):
                await self.client.get_workflow_handle(own).terminate("the test is over")

    async def script(
        self, name: str, reference: str, outcomes: tuple[str, ...], token: str, methods: tuple[str, ...] = ()
    ) -> None:
        """Register the customer's subscription and future at the sandbox."""
        body = {
            "subscription_id": reference,
            "customer_id": f"cus_{name}",
            "payment_method_id": token,
            "methods": [{"payment_method_id": method} for method in methods],
            "currency": "IDR",
            "metadata": {"subscription": name},
            "script": list(outcomes),
        }
        (await self.http.post("/_sandbox/subscriptions", json=body)).raise_for_status()


class Life:
    """One subscription in the world."""

    def __init__(
        self, world: World, name: str, reference: str, handle: WorkflowHandle[Any, Any], anchor: datetime
    ) -> None:
        self.world = world
        self.name = name
        self.reference = reference
        self.handle = world.client.get_workflow_handle(handle.id)
        self.first_run = handle.first_execution_run_id
        self.anchor = anchor

    async def report(self) -> StateReport:
        """The answer of the state query; the time-skipping server loses one that meets the end of a run."""
        asked_until = time.monotonic() + ASKING.total_seconds()
        while True:
            try:
                ask = self.handle.query(contract.QUERY_STATE, result_type=StateReport, rpc_timeout=QUERY_TIMEOUT)
                told: StateReport = await ask
                return told
            except (RPCError, WorkflowQueryFailedError) as error:
                _LOST_QUERIES[self.world.env] = _LOST_QUERIES.get(self.world.env, 0) + 1
                if time.monotonic() > asked_until:
                    raise AssertionError(f"{self.name}: no answer to the state query") from error

    async def state(self) -> State:
        """The state, as soon as the run has loaded it."""
        while (found := (await self.report()).state) is None:
            continue
        return found

    async def pass_time(self, by: timedelta) -> State:
        """Let virtual time pass."""
        await self.world.sleep(by)
        return await self.state()

    async def until(
        self, is_reached: Callable[[State], bool], *, step: timedelta = timedelta(hours=6), steps: int = 300
    ) -> State:
        """Let time pass in steps until the state is as wanted."""
        for _ in range(steps):
            state = await self.state()
            if is_reached(state):
                return state
            await self.world.sleep(step)
        state = await self.state()
        owed = {o.id: (o.status.value, o.next and (o.next.at, o.next.because)) for o in state.obligations}
        raise AssertionError(f"not reached: {state.status.value} at {state.latest}, {owed}, {state.attention}")

    async def command(self, name: str, command_id: str | None = None, **fields: Any) -> CommandResult:
        """Send a command as an update."""
        used = command_id or f"cmd-{uuid.uuid4().hex[:8]}"
        body = {"name": name, "command_id": used, **fields}
        done: CommandResult = await self.handle.execute_update(name, body, id=used, result_type=CommandResult)
        return done

    async def tell(self, fact: ProviderFact) -> None:
        """Signal a provider's message, as the gateway does."""
        await self.handle.signal(contract.SIGNAL_FACT, fact)

    async def closed(self) -> None:
        """Let time pass until the run has ended."""
        # The raw answer: the SDK cannot read an unset instant among the search attributes of this server.
        request = DescribeWorkflowExecutionRequest(
            namespace=self.world.client.namespace, execution=WorkflowExecution(workflow_id=self.handle.id)
        )
        for _ in range(600):
            found = await self.world.client.workflow_service.describe_workflow_execution(request)
            if found.workflow_execution_info.status != WorkflowExecutionStatus.RUNNING.value:
                return
            await self.world.sleep(timedelta(minutes=1))
        raise AssertionError("the run does not end")

    async def charges(self) -> list[dict[str, Any]]:
        """The provider's charge book for this subscription."""
        answer = await self.world.http.get("/_sandbox/charges", params={"subscription": self.name})
        rows = answer.json()
        return rows if isinstance(rows, list) else rows["charges"]

    async def refunds(self) -> list[dict[str, Any]]:
        """The provider's book of refunds for this subscription."""
        headers = {"authorization": "Bearer dodo_test_key"}
        query: dict[str, str | int] = {"subscription_id": self.reference, "page_size": 100}
        answer = await self.world.http.get("/refunds", params=query, headers=headers)
        return list(answer.json()["items"])

    async def control(self, path: str, **body: Any) -> dict[str, Any]:
        """Steer the customer at the provider."""
        answer = await self.world.http.post(f"/_sandbox/subscriptions/{self.reference}/{path}", json=body)
        answer.raise_for_status()
        return dict(answer.json())


@asynccontextmanager
async def open_world(
    env: WorkflowEnvironment,
    ledger_url: str,
    *,
    strict: bool = False,
    wait_seconds: float = WAIT_FOR_RESULT,
    face: str = "",
    **account: Any,
) -> AsyncIterator[World]:
    """Everything started, and ended afterwards. `face`: the path under which the sandbox speaks for the provider."""
    async with (
        SandboxServer.start(settle_seconds=0.0) as sandbox,
        MailCatcher.start() as mail,
        httpx.AsyncClient(timeout=10) as http,
    ):
        ledger = await Ledger.open(ledger_url)
        given: dict[str, Any] = {
            "provider": "dodo",
            "mode": "test",
            "base_url": f"{sandbox.url}{face}",
            "api_key": SecretStr("dodo_test_key"),
            "webhook_secrets": (SecretStr(SECRET),),
            "merchant_name": "Kopi Club",
            "requests_per_second": 1000,
            "max_in_flight": 100,
            "whatsapp": WhatsAppSettings(
                base_url=sandbox.url, phone_number_id="106540352242922", token=SecretStr("wa-token")
            ),
            "smtp": SmtpSettings(
                host=mail.smtp_host, port=mail.smtp_port, from_address="billing@example.com", tls="none"
            ),
            **account,
        }
        settings = {ACCOUNT: AccountSettings(**given)}
        providers = {name: provider_for(found) for name, found in settings.items()}
        book, mandates = BookActivities(ledger), MandateActivities(ledger, providers)
        plans = PlanActivities(ledger, providers)
        charges = ChargeActivities(ledger, providers, settings, wait_seconds=wait_seconds)
        refunds = RefundActivities(ledger, providers)
        notices = NoticeActivities(ledger, settings, http)
        delivery = DeliveryActivities(ledger, settings, http)
        world = World(env, ledger, sandbox, mail)
        worker = Worker(
            env.client,
            task_queue=world.task_queue,
            workflows=[SubscriptionWorkflow, DeliverEventsWorkflow],
            activities=[
                book.load_subscription, book.record, book.begin_command,
                mandates.create_mandate, mandates.read_mandate, mandates.end_mandate,
                plans.create_plan, plans.read_plan, plans.end_plan, plans.change_plan,
                charges.charge, charges.look_up, refunds.refund, refunds.look_up_refund,
                notices.send_notice, delivery.deliver_events,
            ],
            workflow_runner=workflow_runner(strict=strict),
        )  # fmt: skip
        try:
            async with worker:
                try:
                    yield world
                finally:
                    await world.end_lives()
        finally:
            await world.http.aclose()
            for provider in providers.values():
                await provider.aclose()
            await ledger.aclose()
