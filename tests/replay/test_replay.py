"""Histories recorded at a release replay with today's code. They are never recorded by a test run."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from workers.bootstrap import workflow_runner
from workflows.subscription import SubscriptionWorkflow

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json.gz"))


def read(file: Path) -> WorkflowHistory:
    text = gzip.decompress(file.read_bytes()).decode()
    return WorkflowHistory.from_json("subscription/demo/recorded", text)


def test_there_are_histories_to_replay() -> None:
    assert len(HISTORIES) >= 6


@pytest.mark.parametrize("file", HISTORIES, ids=lambda f: f.name.removesuffix(".json.gz"))
async def test_a_recorded_history_replays(file: Path) -> None:
    history = read(file)
    replayer = Replayer(
        workflows=[SubscriptionWorkflow],
        data_converter=pydantic_data_converter,
        workflow_runner=workflow_runner(),
    )

    result = await replayer.replay_workflow(history, raise_on_replay_failure=False)

    assert result.replay_failure is None
