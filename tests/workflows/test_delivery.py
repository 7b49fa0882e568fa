"""`DeliverEventsWorkflow` drains for ever, renews its history, and survives its worker. SPEC 10."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.delivery import DeliveryActivities
from dunning.ledger import Ledger
from tests.activities.backend import Backend, open_backend
from tests.ledger.test_records import event, record
from workflows import delivery
from workflows.delivery import DeliverEventsWorkflow

pytestmark = pytest.mark.server


class Office:
    """A ledger and a backend; workers come and go."""

    def __init__(self, client: Client, ledger: Ledger, backend: Backend) -> None:
        self.client, self.ledger, self.backend = client, ledger, backend
        self.queue = f"delivery-{uuid.uuid4()}"

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        async with httpx.AsyncClient(timeout=10) as http:
            activities = DeliveryActivities(self.ledger, {"demo": self.backend.account()}, http)
            async with Worker(
                self.client,
                task_queue=self.queue,
                workflows=[DeliverEventsWorkflow],
                activities=[activities.deliver_events],
                workflow_runner=UnsandboxedWorkflowRunner(),
            ):
                yield

    async def start(self) -> WorkflowHandle[DeliverEventsWorkflow, None]:
        name = f"delivery/{uuid.uuid4()}"
        return await self.client.start_workflow(DeliverEventsWorkflow.run, "demo", id=name, task_queue=self.queue)

    async def write(self, number: int) -> None:
        await self.ledger.record(record(number, events=(event(number),)))


@pytest.fixture
async def office(dev_server: WorkflowEnvironment, ledger_url: str) -> AsyncIterator[Office]:
    ledger = await Ledger.open(ledger_url)
    async with open_backend() as backend:
        yield Office(dev_server.client, ledger, backend)
    await ledger.aclose()


async def test_events_go_on_arriving_over_the_renewal_of_the_history(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "ROUND_SECONDS", 0.1)
    async with office.worker():
        handle = await office.start()
        await office.write(1)
        await office.backend.until(lambda b: b.of("sub-1") == [1])
        first = await handle.fetch_history()
        while first.events[-1].event_type != EventType.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
            first = await handle.fetch_history()
        await office.write(2)
        await office.backend.until(lambda b: b.of("sub-1") == [1, 2])
        await office.client.get_workflow_handle(handle.id).terminate("the test is over")
    done = [e for e in first.events if e.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED]
    assert len(done) == delivery.ROUNDS


async def test_another_worker_goes_on_where_one_stopped(office: Office) -> None:
    handle = await office.start()
    for number in (1, 2):
        await office.write(number)
        async with office.worker():
            await office.backend.until(lambda b, n: b.of("sub-1")[-1:] == [n], number)
    await office.client.get_workflow_handle(handle.id).terminate("the test is over")
    # At least once: what was posted and not yet marked when the first worker stopped may come again.
    assert list(dict.fromkeys(office.backend.of("sub-1"))) == [1, 2]
