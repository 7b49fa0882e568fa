"""A worker decides nothing on a clock that a query left standing. `workers.fresh_time`, docs/decisions/0008."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio import workflow
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner, Worker, WorkflowRunner

from workers.fresh_time import REFUSAL, FreshTimeRunner

NOON = 1_800_000_000


def activation(seconds: int, length: int, kind: str, *, is_replaying: bool = False, **fields: Any) -> Any:
    act = WorkflowActivation(run_id="r", history_length=length, is_replaying=is_replaying)
    act.timestamp.FromSeconds(NOON + seconds)
    getattr(act.jobs.add(), kind).SetInParent()
    if fields:
        act.jobs[0].resolve_activity.is_local = fields["is_local"]
    return act


class Recorder:
    """Stands for the SDK's instance: it takes every activation that reaches it."""

    def create_instance(self, _: Any) -> Any:
        return self

    def activate(self, act: Any) -> Any:
        completion = WorkflowActivationCompletion(run_id=act.run_id)
        completion.successful.SetInParent()
        return completion


@pytest.mark.parametrize(
    ("second", "is_refused"),
    [
        (activation(0, 14, "fire_timer"), True),  # events 10-14 and still the time of event 9
        (activation(0, 14, "resolve_activity"), True),
        (activation(0, 14, "signal_workflow"), True),
        (activation(0, 14, "initialize_workflow"), True),
        (activation(5, 14, "fire_timer"), False),  # a workflow task of its own: its time came with it
        (activation(0, 14, "query_workflow"), False),  # a query alone changes nothing
        (activation(0, 14, "remove_from_cache"), False),
        (activation(0, 14, "resolve_activity", is_local=True), False),
        (activation(0, 9, "resolve_activity", is_local=True), False),
        (activation(0, 14, "fire_timer", is_replaying=True), False),  # a replay must follow the history
    ],
)
def test_new_events_without_a_new_time_are_refused(second: Any, is_refused: bool) -> None:
    inner: Any = Recorder()
    guarded = FreshTimeRunner(inner).create_instance(None)  # type: ignore[arg-type]  # the recorder reads nothing of it
    assert guarded.activate(activation(0, 9, "initialize_workflow")).HasField("successful")
    answer = guarded.activate(second)
    assert answer.HasField("failed") is is_refused
    assert answer.failed.failure.message == (REFUSAL if is_refused else "")


@workflow.defn(name="WritesDownTimes")
class WritesDownTimes:
    """Says what time it was whenever a signal came; the second ends it."""

    def __init__(self) -> None:
        self._times: list[datetime] = []

    @workflow.run
    async def run(self) -> list[datetime]:
        await workflow.wait_condition(lambda: len(self._times) == 2)
        return self._times

    @workflow.signal
    def note(self) -> None:
        self._times.append(workflow.now())

    @workflow.query
    def times(self) -> list[datetime]:
        return self._times


def the_worker(client: Client, queue: str, runner: WorkflowRunner) -> Worker:
    return Worker(
        client, task_queue=queue, workflows=[WritesDownTimes], workflow_runner=runner,
        sticky_queue_schedule_to_start_timeout=timedelta(milliseconds=50),
    )  # fmt: skip


async def ask_until_answered(handle: WorkflowHandle[Any, Any]) -> None:
    while True:
        with suppress(WorkflowQueryFailedError, RPCError):
            await handle.query(WritesDownTimes.times)
            return


@pytest.mark.server
@pytest.mark.beside
async def test_a_query_that_meets_unheard_events_leaves_the_clock_right(dev_server: WorkflowEnvironment) -> None:
    """Queries wait for a worker; then a signal comes; then the worker. Its run must hear the signal at its own time."""
    client = dev_server.client
    for _ in range(2):
        queue = f"fresh-{uuid.uuid4().hex[:6]}"
        async with the_worker(client, queue, FreshTimeRunner(UnsandboxedWorkflowRunner())):
            handle = await client.start_workflow(
                WritesDownTimes.run, id=queue, task_queue=queue, task_timeout=timedelta(seconds=1)
            )
            await handle.query(WritesDownTimes.times)
        asks = [asyncio.create_task(ask_until_answered(handle)) for _ in range(4)]
        for _ in range(5):
            await handle.describe()  # behind the queries on the same connection: they are with the server by now
        before = datetime.now(UTC)
        await handle.signal(WritesDownTimes.note)
        async with the_worker(client, queue, FreshTimeRunner(UnsandboxedWorkflowRunner())):
            await asyncio.gather(*asks)
            await handle.signal(WritesDownTimes.note)
            first, _second = await handle.result()
        assert first >= before
        history = await handle.fetch_history()
        replayed = Replayer(workflows=[WritesDownTimes], workflow_runner=UnsandboxedWorkflowRunner())
        await replayed.replay_workflow(history)
