"""Workers that die around the page of a first price: it is paid once, under the attempt's one key. SPEC 12, 13, 20.

Three pages, one worker process: one halts before the attempt's row is written, one between the row and the page, one
with the page made and its answer lost. Killed, the next one makes the pages; the customers pay; it is killed where the
attempt is to take their payments up.
"""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from dunning.client import DunningClient, connect
from dunning.domain.attempts import attempt_key
from dunning.domain.state import State
from dunning.domain.tables import CycleStatus, SubscriptionStatus
from dunning.intake import parse_subscription
from dunning.ledger import Ledger
from dunning.stack import Stack
from tests.builders import subscription_data
from tests.crash.test_worker_deaths import Case, environment, until, worker

pytestmark = [pytest.mark.server, pytest.mark.crash]
POINTS = ("before the page's row", "after the page's row", "after the page")


@asynccontextmanager
async def page(stack: Stack) -> AsyncIterator[Case]:
    """A subscription whose first price is asked on the page where its customer authorises charging."""
    name = f"page-{uuid.uuid4().hex[:8]}"
    now = datetime.now(UTC).replace(microsecond=0)
    given = parse_subscription(
        subscription_data(
            id=name,
            customer={**subscription_data()["customer"], "id": f"cust-{name}"},
            provider_options={"country": "ID", "product_id": "p", "mandate_only": False},
            payment_methods=[],
            immediate_action="FULL_AMOUNT",
            schedule={"anchor_at": now.isoformat(), "interval": "MONTH", "interval_count": 1},
        )
    )
    with environment(stack.env):
        ledger = await Ledger.open(stack.env["DUNNING_LEDGER_URL"], pool_size=3)
        dunning = DunningClient(await connect(), ledger)
    async with httpx.AsyncClient(base_url=stack.env["DUNNING_SANDBOX_URL"], timeout=30) as sandbox:
        await dunning.start(given, is_test_clock=True)
        yield Case(dunning, sandbox, name, now)
    await ledger.aclose()


async def state_of(there: Case) -> State:
    state = (await there.clock.report()).state
    assert state is not None
    return state


async def pay(there: Case) -> None:
    """The customer opens the page that was shown, and pays."""
    async with asyncio.timeout(60):
        while (link := (await state_of(there)).mandate_link) is None:  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.05)
    (await there.sandbox.post(link, data={"answer": "approve"})).raise_for_status()


async def test_a_worker_that_is_killed_leaves_one_payment_each(stack: Stack, tmp_path: Path) -> None:
    files = {point: tmp_path / f"point-{place}" for place, point in enumerate(POINTS)}
    late = tmp_path / "late"
    async with AsyncExitStack() as opened:
        all_ = [await opened.enter_async_context(page(stack)) for _ in POINTS]
        with worker(stack, *(part for pair in files.items() for part in pair)) as doomed:
            for point, file in files.items():
                await until(file.exists, point)
            doomed.send_signal(signal.SIGKILL)
            doomed.wait()
        rows = [row for there in all_ for row in await there.dunning.ledger.attempts_of("demo", there.name)]
        assert len(rows) == len(POINTS) - 1  # one was to be written, and no page of it exists
        with worker(stack, "before the page's payment", late) as doomed:
            for there in all_:
                await pay(there)
            await until(late.exists, "a payment is about to be taken up")
            doomed.send_signal(signal.SIGKILL)
            doomed.wait()
        with worker(stack, "never", tmp_path / "none"):
            for there in all_:
                await there.clock.advance(there.due + timedelta(hours=2))
                await assert_paid_once(there)


async def assert_paid_once(there: Case) -> None:
    state = await state_of(there)
    assert (state.status, state.page) == (SubscriptionStatus.ACTIVE, None)
    assert [o.status for o in state.obligations] == [CycleStatus.SUCCEEDED]
    key = attempt_key("demo", there.name, 1, "1", 1)
    (row,) = await there.dunning.ledger.attempts_of("demo", there.name)
    assert (row.key, row.status) == (key, "settled")
    assert [(c["status"], c["key"]) for c in await there.charges()] == [("succeeded", key)]
