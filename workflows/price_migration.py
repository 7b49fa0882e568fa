"""`PriceMigrationWorkflow`: moves cohorts of Google Play to the current price, one by one. SPEC 9, 12."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from temporalio import workflow
from temporalio.common import RetryPolicy

from activities.price_migration import MIGRATE_PRICES, MigratePricesInput
from dunning.domain.base import Value
from dunning.providers.cohorts import Cohort

COHORTS_PER_RUN = 200
"""Cohorts before the history is renewed."""


class RefusedCohort(Value):
    """One that Google Play refused, and why."""

    cohort: Cohort
    because: str


class PriceMigrationInput(Value):
    """Everything to move. `per_minute` bounds the rate; `done` and `refused` are carried from run to run.

    `regions_version`: of the Play Console, as `2022/02`.
    """

    account: str
    regions_version: str
    cohorts: tuple[Cohort, ...]
    per_minute: int = Field(default=60, ge=1, le=3000)
    done: int = 0
    refused: tuple[RefusedCohort, ...] = ()


class Progress(Value):
    """How far it is."""

    total: int
    done: int
    refused: tuple[RefusedCohort, ...] = ()
    is_paused: bool = False


@workflow.defn(name="PriceMigrationWorkflow")
class PriceMigrationWorkflow:
    """Bounded in rate, resumable: a cohort is asked for until Play has answered, and the next one after it."""

    @workflow.init
    def __init__(self, request: PriceMigrationInput) -> None:
        self._given = request
        self._done = request.done
        self._refused = request.refused
        self._is_paused = False

    @workflow.run
    async def run(self, request: PriceMigrationInput) -> Progress:
        """Move every cohort that is left; what Play refuses is listed and does not stop the others."""
        pace = timedelta(minutes=1) / request.per_minute
        for _ in range(COHORTS_PER_RUN):
            if self._done == len(request.cohorts):
                return self.progress()
            await workflow.wait_condition(lambda: not self._is_paused)
            await self._move(request.cohorts[self._done])
            workflow.set_current_details(f"{self._done} of {len(request.cohorts)} cohorts moved")
            await workflow.sleep(pace)
        if self._done < len(request.cohorts):
            workflow.continue_as_new(request.but(done=self._done, refused=self._refused))
        return self.progress()

    @workflow.query
    def progress(self) -> Progress:
        """How far it is."""
        total = len(self._given.cohorts)
        return Progress(total=total, done=self._done, refused=self._refused, is_paused=self._is_paused)

    @workflow.signal
    def pause(self) -> None:
        """Stop before the next cohort."""
        self._is_paused = True

    @workflow.signal
    def resume(self) -> None:
        """Go on."""
        self._is_paused = False

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
