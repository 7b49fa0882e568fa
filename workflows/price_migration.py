"""`PriceMigrationWorkflow`: moves cohorts of Google Play to the current price, one by one. SPEC 9, 12."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

from activities.price_migration import MIGRATE_PRICES, MigratePricesInput
from dunning.ordering import (
    MIGRATION_WORKFLOW,
    QUERY_PROGRESS,
    SIGNAL_PAUSE,
    SIGNAL_RESUME,
    SIGNAL_STOP,
    PriceMigrationInput,
    Progress,
    RefusedCohort,
)
from dunning.providers.cohorts import Cohort

COHORTS_PER_RUN = 200
"""Cohorts before the history is renewed."""


@workflow.defn(name=MIGRATION_WORKFLOW)
class PriceMigrationWorkflow:
    """Bounded in rate, resumable: a cohort is asked for until Play has answered, and the next one after it."""

    @workflow.init
    def __init__(self, request: PriceMigrationInput) -> None:
        self._given = request
        self._done = request.done
        self._refused = request.refused
        self._is_paused = request.is_paused
        self._is_stopped = False

    @workflow.run
    async def run(self, request: PriceMigrationInput) -> Progress:
        """Move every cohort that is left; what Play refuses is listed and does not stop the others."""
        pace = timedelta(minutes=1) / request.per_minute
        for _ in range(COHORTS_PER_RUN):
            if self._done < len(request.cohorts):
                await workflow.wait_condition(lambda: self._is_stopped or not self._is_paused)
            if self._is_stopped or self._done == len(request.cohorts):
                return self.progress()
            await self._move(request.cohorts[self._done])
            workflow.set_current_details(f"{self._done} of {len(request.cohorts)} cohorts moved")
            await workflow.sleep(pace)
        if self._done < len(request.cohorts) and not self._is_stopped:
            carried = {"done": self._done, "refused": self._refused, "is_paused": self._is_paused}
            workflow.continue_as_new(request.but(**carried))
        return self.progress()

    @workflow.query(name=QUERY_PROGRESS)
    def progress(self) -> Progress:
        """How far it is."""
        total = len(self._given.cohorts)
        is_stopped = self._is_stopped and self._done < total
        return Progress(
            total=total,
            done=self._done,
            refused=self._refused,
            is_paused=self._is_paused and not is_stopped,
            is_stopped=is_stopped,
        )

    @workflow.signal(name=SIGNAL_PAUSE)
    def pause(self) -> None:
        """Stop before the next cohort."""
        self._is_paused = True

    @workflow.signal(name=SIGNAL_RESUME)
    def resume(self) -> None:
        """Go on."""
        self._is_paused = False

    @workflow.signal(name=SIGNAL_STOP)
    def stop(self) -> None:
        """End before the next cohort. What was moved stays moved."""
        self._is_stopped = True

    async def _move(self, cohort: Cohort) -> None:
        request = MigratePricesInput(
            account=self._given.account, regions_version=self._given.regions_version, cohort=cohort
        )
        because: str = await workflow.execute_activity(
            MIGRATE_PRICES,
            request,
            result_type=str,
            start_to_close_timeout=timedelta(seconds=60),
            retry_policy=RetryPolicy(maximum_interval=timedelta(minutes=10)),
            summary=f"{cohort.product_id}/{cohort.base_plan_id} in {cohort.region_code}",
        )
        if because:
            self._refused = (*self._refused, RefusedCohort(cohort=cohort, because=because))
        self._done += 1
