"""What workflow code says is said once, however often the workflow is replayed. SPEC 15, 18."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import structlog
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

from dunning.log import configure_logging
from dunning.redaction import REDACTED
from tests.talking_workflow import TalkingWorkflow

pytestmark = pytest.mark.server


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(level="info", stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def said(stream: io.StringIO) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [line for line in lines if line["logger"] == "workflows"]


async def test_workflow_code_talks_once_and_never_while_replayed(
    temporal_env: WorkflowEnvironment, stream: io.StringIO
) -> None:
    workflow_id, queue = f"talking-{uuid4()}", f"talking-{uuid4()}"
    # No cache: the second task replays the first, as after the loss of a worker.
    async with Worker(temporal_env.client, task_queue=queue, workflows=[TalkingWorkflow], max_cached_workflows=0):
        await temporal_env.client.execute_workflow(TalkingWorkflow.run, id=workflow_id, task_queue=queue)

    before, after = said(stream)
    assert before["event"] == "before"
    assert (before["name"], before["args"], before["phone"]) == ("base", [1], REDACTED)
    assert before["workflow_id"] == workflow_id
    assert after["event"] == "after"
    assert after["level"] == "error"
    assert "ValueError" in after["exception"]
    assert "ana@shop.example" not in after["exception"]

    history = await temporal_env.client.get_workflow_handle(workflow_id).fetch_history()
    replayer = Replayer(workflows=[TalkingWorkflow], data_converter=pydantic_data_converter)
    await replayer.replay_workflow(history)

    assert len(said(stream)) == 2
