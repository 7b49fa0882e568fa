"""A world for each test, and a record of the rows of the state tables that it walked."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from temporalio.testing import WorkflowEnvironment

from dunning.domain import step
from dunning.domain.tables import (
    CycleFact,
    CycleStatus,
    SubscriptionFact,
    SubscriptionStatus,
    step_cycle,
    step_subscription,
)
from tests import servers
from tests.workflows.world import World, open_world


@pytest.fixture
async def temporal_env() -> AsyncIterator[WorkflowEnvironment]:
    """A clock of each test's own: a run that is left in the middle of something would hold it for the next."""
    async with servers.time_skipping() as environment:
        yield environment


@pytest.fixture
async def world(temporal_env: WorkflowEnvironment, ledger_url: str) -> AsyncIterator[World]:
    async with open_world(temporal_env, ledger_url) as opened:
        yield opened


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Rows that the worker's core walked: `subscription active cancel`, `cycle retrying paid`."""
    found: set[str] = set()

    def on_cycle(status: CycleStatus, fact: CycleFact) -> CycleStatus:
        target = step_cycle(status, fact)
        found.add(f"cycle {status.value} {fact.value}")
        return target

    def on_subscription(status: SubscriptionStatus, fact: SubscriptionFact) -> SubscriptionStatus:
        target = step_subscription(status, fact)
        found.add(f"subscription {status.value} {fact.value}")
        return target

    monkeypatch.setattr(step, "step_cycle", on_cycle)
    monkeypatch.setattr(step, "step_subscription", on_subscription)
    return found
