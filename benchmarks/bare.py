"""The yardstick of SPEC 19: a timer, one regular activity, continue-as-new, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio import workflow

CHARGE = "bare_charge"
QUEUE = "bare"
NEXT = timedelta(days=30)


@dataclass
class BareInput:
    """Whom to charge and when (seconds since 1970, UTC)."""

    name: str
    due: float
    cycle: int = 1


@workflow.defn(name="BareWorkflow")
class BareWorkflow:
    """One cycle a run."""

    @workflow.run
    async def run(self, start: BareInput) -> None:
        left = datetime.fromtimestamp(start.due, UTC) - workflow.now()
        if left > timedelta(0):
            await workflow.sleep(left)
        await workflow.execute_activity(CHARGE, start, start_to_close_timeout=timedelta(seconds=60))
        workflow.continue_as_new(BareInput(start.name, start.due + NEXT.total_seconds(), start.cycle + 1))
