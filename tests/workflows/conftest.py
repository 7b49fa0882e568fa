"""A world for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

from tests import servers
from tests.workflows.world import World, open_world

HASTY_WAIT = 2.0
"""Seconds of real time."""


@pytest.fixture
async def temporal_env() -> AsyncIterator[WorkflowEnvironment]:
    """A server of each test's own: a refused update can hold the time-skipping server's clock for good."""
    async with servers.time_skipping() as environment:
        yield environment


@pytest.fixture
async def world(temporal_env: WorkflowEnvironment, ledger_url: str) -> AsyncIterator[World]:
    async with open_world(temporal_env, ledger_url) as opened:
        yield opened


@pytest.fixture
async def hasty_world(temporal_env: WorkflowEnvironment, ledger_url: str) -> AsyncIterator[World]:
    """A world whose charges soon stop waiting for a result: for payments that stay pending longer than any wait."""
    async with open_world(temporal_env, ledger_url, wait_seconds=HASTY_WAIT) as opened:
        yield opened
