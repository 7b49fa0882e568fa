"""Subscriptions on the development stack: real Temporal, ledger, sandbox, gateway and worker, and a test clock each."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter

from dunning import contract
from dunning.client import DunningClient
from dunning.domain.commands import Command, CommandResult
from dunning.domain.state import State
from dunning.domain.terms import Subscription
from dunning.intake import parse_subscription
from dunning.ledger import Ledger
from dunning.stack import Stack
from dunning.testclock import TestClock
from tests.builders import subscription_data, zone_of_noon

ACCOUNT = "demo"
ROOT = Path(__file__).parents[1]
PATIENCE = 30.0
T = TypeVar("T")


async def until(
    ask: Callable[[], Awaitable[T]], is_so: Callable[[T], bool], what: str, *, patience: float = PATIENCE
) -> T:
    """Ask until the answer is as wanted: the visibility store follows a run a moment later."""
    seen: list[T] = []
    try:
        async with asyncio.timeout(patience):
            while True:
                seen = [await ask()]
                if is_so(seen[0]):
                    return seen[0]
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"never: {what}; last seen: {seen!r}") from None


class House:
    """The stack, and what a product backend and a person at a terminal do with it."""

    def __init__(self, stack: Stack, dunning: DunningClient, sandbox: httpx.AsyncClient) -> None:
        self.stack = stack
        self.dunning = dunning
        self.sandbox = sandbox

    async def begin(self, *outcomes: str, due_in: timedelta = timedelta(hours=1), **changes: Any) -> Life:
        """Script a customer at the provider and start a subscription of theirs on a test clock."""
        due = datetime.now(UTC).replace(microsecond=0) + due_in
        return await self.begin_as(f"sub-{uuid.uuid4().hex[:10]}", due, outcomes, **changes)

    async def begin_as(self, name: str, due: datetime, outcomes: Sequence[str], **changes: Any) -> Life:
        """The same with a name and a first due instant of the caller's choice."""
        data: dict[str, Any] = {
            "id": name,
            "customer": {**subscription_data()["customer"], "id": f"cust-{name}", "time_zone": zone_of_noon(due)},
            "provider_options": {"country": "ID", "product_id": "p", "subscription_id": f"sub_{name}"},
            "payment_methods": [{"token": "pm_1", "authorized_at": due.isoformat()}],
            "schedule": {"anchor_at": due.isoformat(), "interval": "MONTH", "interval_count": 1},
            **changes,
        }
        document = subscription_data(**data)
        given = parse_subscription(document)
        customer = {
            "subscription_id": f"sub_{name}", "customer_id": f"cus_{name}", "payment_method_id": "pm_1",
            "currency": "IDR", "metadata": {"subscription": name}, "script": list(outcomes),
        }  # fmt: skip
        (await self.sandbox.post("/_sandbox/subscriptions", json=customer)).raise_for_status()
        created = datetime.now(UTC)
        await self.dunning.start(given, now=created, is_test_clock=True)
        return Life(self, given, due, {**document, "created_at": created.isoformat()})

    async def listed(self, query: str) -> list[WorkflowExecution]:
        """The newest run of each subscription that Temporal's list finds, those continued as new left out."""
        whole = f"WorkflowType = '{contract.WORKFLOW}' AND ExecutionStatus != 'ContinuedAsNew' AND {query}"
        found: dict[str, WorkflowExecution] = {}
        async for run in self.dunning.temporal.list_workflows(whole):
            found.setdefault(run.id, run)
        return list(found.values())

    async def cli(self, *words: object) -> Any:
        """What `dunning WORDS --json` prints, run as a process of its own."""
        program = [sys.executable, "-c", "from dunning.cli import main; main()"]
        process = await asyncio.create_subprocess_exec(
            *program, *map(str, words), "--json", env={**os.environ, **self.stack.env}, cwd=ROOT,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, complained = await process.communicate()
        assert process.returncode == 0, complained.decode()
        return json.loads(said)


class Life:
    """One subscription on the stack. `document` is the file that `preview` would read."""

    def __init__(self, house: House, given: Subscription, due: datetime, document: dict[str, Any]) -> None:
        self.house = house
        self.given = given
        self.name = given.id
        self.due = due
        self.document = document
        self.clock = TestClock(house.dunning, ACCOUNT, given.id, sandbox=house.sandbox)

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        """Follows the chain of runs."""
        return self.house.dunning.handle(ACCOUNT, self.name)

    async def state(self) -> State:
        """As the run has it."""
        found = (await self.clock.report()).state
        assert found is not None
        return found

    async def move_to(self, instant: datetime) -> State:
        """Move the clock, stopping at every planned instant, and wait until nothing is going on."""
        await self.clock.advance(instant)
        state, _ = await self.clock.until_quiet()
        return state

    async def end(self, instant: datetime) -> str:
        """Move on until the run is closed; returns its run id."""
        await self.clock.advance(instant)
        return await self.closed()

    async def closed(self, *, after: str | None = None) -> str:
        """Wait until the latest run is over, and is another one than `after`; returns its run id."""
        done = (WorkflowExecutionStatus.COMPLETED, True)
        *_, run = await until(lambda: self._run(after), lambda seen: seen[:2] == done, "the run closes")
        return run

    async def _run(self, after: str | None) -> tuple[WorkflowExecutionStatus | None, bool, str]:
        described = await self.handle.describe()
        return described.status, described.run_id != after, str(described.run_id)

    async def settled(self, *, after: str | None = None) -> str:
        """The same when all that the provider had to say has been heard: its webhooks open a closed run again."""
        await self.closed(after=after)
        await until(self._is_silent, bool, "every webhook is handed on")
        return await self.closed(after=after)

    async def _is_silent(self) -> bool:
        answer = await self.house.sandbox.get("/_sandbox/quiet", params={"subscription": self.name})
        return answer.json()["quiet"] and not await self.house.dunning.ledger.has_undrained_inbox(ACCOUNT, self.name)

    async def command(self, command: Command) -> CommandResult:
        """As a product backend sends it."""
        return await self.house.dunning.command(ACCOUNT, self.name, command)

    async def charges(self) -> list[dict[str, Any]]:
        """The provider's own book."""
        answer = await self.house.sandbox.get("/_sandbox/charges", params={"subscription": self.name})
        return list(answer.json()["charges"])

    async def events(self) -> list[str]:
        """What the product backend is told, in order."""
        return [row["type"] for row in await self.house.dunning.ledger.events_of(ACCOUNT, self.name)]

    async def control(self, path: str, **body: Any) -> None:
        """Do something as the customer, at the provider."""
        answer = await self.house.sandbox.post(f"/_sandbox/subscriptions/{self.name}/{path}", json=body)
        answer.raise_for_status()


@asynccontextmanager
async def open_house() -> AsyncIterator[House]:
    """The whole stack on free ports, ended with the block."""
    async with Stack.start() as stack, httpx.AsyncClient(base_url=stack.env["DUNNING_SANDBOX_URL"], timeout=30) as box:
        temporal = await Client.connect(stack.env["TEMPORAL_ADDRESS"], data_converter=pydantic_data_converter)
        ledger = await Ledger.open(stack.env["DUNNING_LEDGER_URL"], pool_size=5)
        try:
            yield House(stack, DunningClient(temporal, ledger), box)
        finally:
            await ledger.aclose()
