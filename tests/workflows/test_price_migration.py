"""`PriceMigrationWorkflow`: every cohort once, at the rate that was asked for, through refusals and outages."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.price_migration import PriceMigrationActivities
from dunning.domain.play_prices import PriceChangeMode
from dunning.ordering import PriceMigrationInput, Progress
from dunning.providers.cohorts import Cohort
from dunning.providers.google_play import GooglePlayProvider
from dunning.sandbox import SandboxServer
from tests.domain.calendars import at
from tests.providers.google_play.rig import PACKAGE, service_account
from workers.bootstrap import workflow_runner
from workflows import price_migration
from workflows.price_migration import PriceMigrationWorkflow

pytestmark = pytest.mark.server


def cohort(number: int, mode: PriceChangeMode = PriceChangeMode.PRICE_INCREASE) -> Cohort:
    when = at("2026-06-01T00:00")
    return Cohort(product_id=f"p{number}", base_plan_id="monthly", region_code="US", oldest_allowed_at=when, mode=mode)


class Desk:
    def __init__(self, env: WorkflowEnvironment, http: httpx.AsyncClient, queue: str) -> None:
        self.env, self.http, self.queue = env, http, queue

    async def run(self, *cohorts: Cohort, version: str = "2022/02", **given: Any) -> Progress:
        request = PriceMigrationInput(account="demo", regions_version=version, cohorts=cohorts, **given)
        handle = await self.env.client.start_workflow(
            PriceMigrationWorkflow.run, request, id=f"price-{uuid.uuid4()}", task_queue=self.queue
        )
        return await handle.result()

    async def asked(self) -> list[dict[str, Any]]:
        return list((await self.http.get("/_sandbox/play/migrations")).json()["migrations"])


@pytest.fixture
async def desk(temporal_env: WorkflowEnvironment) -> AsyncIterator[Desk]:
    async with SandboxServer.start() as sandbox, httpx.AsyncClient(base_url=sandbox.url) as http:
        url = f"{sandbox.url}/play"
        provider = GooglePlayProvider(
            service_account(), package_name=PACKAGE, is_test=True, base_url=url, token_url=f"{url}/token"
        )
        queue = f"prices-{uuid.uuid4()}"
        activities = PriceMigrationActivities({"demo": provider})
        async with Worker(
            temporal_env.client,
            task_queue=queue,
            workflows=[PriceMigrationWorkflow],
            activities=[activities.migrate_prices],
            workflow_runner=workflow_runner(),
        ):
            yield Desk(temporal_env, http, queue)
        await provider.aclose()


async def test_every_cohort_is_moved_once_in_order_also_over_runs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_migration, "COHORTS_PER_RUN", 2)
    done = await desk.run(*(cohort(n) for n in range(5)))
    assert (done.total, done.done, done.refused) == (5, 5, ())
    assert [one["productId"] for one in await desk.asked()] == ["p0", "p1", "p2", "p3", "p4"]


async def test_the_rate_is_bounded(desk: Desk) -> None:
    before = await desk.env.get_current_time()
    await desk.run(*(cohort(n) for n in range(4)), per_minute=2)
    assert await desk.env.get_current_time() - before >= timedelta(minutes=2)


async def test_a_refused_cohort_is_listed_and_does_not_stop_the_others(desk: Desk) -> None:
    done = await desk.run(cohort(0), version="")
    assert (done.done, [one.cohort.product_id for one in done.refused]) == (1, ["p0"])
    assert "regionsVersion" in done.refused[0].because


async def test_throttling_is_waited_out_and_opt_out_is_asked_for_as_such(desk: Desk) -> None:
    await desk.http.post("/_sandbox/faults", json=[{"kind": "429", "on": "any", "times": 2, "after": 1}])
    done = await desk.run(cohort(0), cohort(1, PriceChangeMode.OPT_OUT_PRICE_INCREASE))
    assert (done.done, done.refused) == (2, ())
    kinds = [one["regionalPriceMigrations"][0]["priceIncreaseType"] for one in await desk.asked()]
    assert kinds == ["PRICE_INCREASE_TYPE_OPT_IN", "PRICE_INCREASE_TYPE_OPT_OUT"]
