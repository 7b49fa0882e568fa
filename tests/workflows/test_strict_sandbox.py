"""The workflow files live a whole ladder inside Temporal's sandbox, where a clock or an I/O call of theirs fails.

Deployed workers pass them through, because loading them anew for every run costs too much; this is the guard.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from dunning.domain.tables import SubscriptionStatus
from tests.workflows.world import open_world

pytestmark = pytest.mark.server


async def test_a_good_cycle_and_a_failed_ladder_pass_the_strict_sandbox(
    temporal_env: WorkflowEnvironment, ledger_url: str
) -> None:
    async with open_world(temporal_env, ledger_url, strict=True) as world:
        life = await world.begin("SUCCEEDED", *["INSUFFICIENT_FUNDS"] * 4)

        state = await life.until(lambda s: s.is_ended, step=timedelta(days=1))

        assert state.status is SubscriptionStatus.INACTIVE
        assert [c["status"] for c in await life.charges()] == ["succeeded", *["failed"] * 4]
