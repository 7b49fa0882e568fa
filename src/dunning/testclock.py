"""Moving one subscription through its future on a development server. SPEC 16.

The development server keeps a virtual clock for each workflow. It is moved in steps that never pass the next
instant that the workflow waits for, and only when nothing is going on: no activity, no open ledger row, no message
that is still to be signalled, no webhook of the sandbox on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import TimeSkipper

from dunning.client import DunningClient
from dunning.contract import QUERY_STATE, StateReport, workflow_id
from dunning.domain.decide import Decision, Do, decide
from dunning.domain.state import State
from dunning.errors import ConfigurationError

A_MOMENT = timedelta(milliseconds=10)
"""A step ends this much after the instant, so that the timer has surely fired."""

LOOK_EVERY = 0.05
"""Seconds between two looks at a subscription that is busy."""

ANSWER = timedelta(seconds=10)
"""How long one question may take."""

PATIENCE = 60.0
"""Seconds after which a subscription that never gets quiet is reported."""

_NOBODY_TO_ASK = (
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.CANCELLED,
    RPCStatusCode.DEADLINE_EXCEEDED,
)
"""Between two runs of a chain, and while the worker that holds the run is away, a query finds nobody."""

LONGEST_STEP = timedelta(days=300)


def require_development_server(client: Client) -> None:
    """Raise `ConfigurationError` unless the server is on this machine: clocks of real ones are not ours to move."""
    host = urlsplit(f"//{client.service_client.config.target_host}").hostname
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise ConfigurationError(f"the clock is moved only on a development server on this machine, not on {host}")


class TestClock:
    """The virtual clock of one subscription."""

    __test__ = False  # pytest: not a test class

    def __init__(
        self,
        dunning: DunningClient,
        account: str,
        subscription: str,
        *,
        sandbox: httpx.AsyncClient | None = None,
        patience: float = PATIENCE,
    ) -> None:
        require_development_server(dunning.temporal)
        self._patience = patience
        self._dunning = dunning
        self._account = account
        self._subscription = subscription
        self._sandbox = sandbox
        self._skipper = TimeSkipper(dunning.temporal)
        name = workflow_id(account, subscription)
        self._handle: WorkflowHandle[object, object] = dunning.temporal.get_workflow_handle(name)

    async def now(self) -> datetime:
        """The clock."""
        return await self._skipper.get_current_time(self._handle)

    async def report(self) -> StateReport:
        """What the workflow says of itself.

        Raises:
            TimeoutError: it says nothing; the message gives the last reason.
        """
        why = "no answer at all"
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    try:
                        return await self._ask()
                    except RPCError as failure:
                        if failure.status not in _NOBODY_TO_ASK:
                            raise
                        why = str(failure)
                    except WorkflowQueryFailedError as failure:
                        # The worker's guard against stale clocks, or a workflow task that fails: ask again.
                        why = str(failure)
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            raise TimeoutError(f"{self._subscription} does not answer: {why}") from None

    async def _ask(self) -> StateReport:
        report: StateReport = await self._handle.query(QUERY_STATE, result_type=StateReport, rpc_timeout=ANSWER)
        return report

    async def until_quiet(self) -> tuple[State, Decision | None]:
        """Wait until nothing is going on; returns the state and what it waits for.

        Raises:
            TimeoutError: it does not get quiet; the message says what is going on.
        """
        state, decision, _ = await self._at_rest()
        return state, decision

    async def _at_rest(self) -> tuple[State, Decision | None, datetime | None]:
        """The same with the instant that the run's timer is set to, a mere renewal of the run included."""
        report: StateReport | None = None
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    # Before and after: a message that is handed over between the two would be missed by either.
                    is_silent = await self._is_quiet_around()
                    report = await self.report()
                    is_still = is_silent and report.is_quiet and await self._is_quiet_around()
                    if report.state is not None and is_still:
                        decision = decide(report.state, report.business_now)
                        if self._is_waiting(decision, await self.now()):
                            return report.state, decision, report.next_at
                    await asyncio.sleep(LOOK_EVERY)
        except TimeoutError:
            raise TimeoutError(f"{self._subscription} did not get quiet: {report!r}") from None

    def _is_waiting(self, decision: Decision | None, now: datetime) -> bool:
        return decision is None or decision.do is Do.FINISH or decision.at > now

    async def _is_quiet_around(self) -> bool:
        ledger = self._dunning.ledger
        if await ledger.has_open_rows(self._account, self._subscription):
            return False
        if self._sandbox is not None:
            answer = await self._sandbox.get("/_sandbox/quiet", params={"subscription": self._subscription})
            if not answer.json()["quiet"]:
                return False
        return not await ledger.has_undrained_inbox(self._account, self._subscription)

    async def move_to(self, instant: datetime) -> None:
        """Move the clock to an instant, stopping wherever the run's timer is set on the way, or the provider acts.

        A fast-forward that crosses a continue-as-new would jump over the timers of the new run.
        """
        acts_at = await self._tell_provider()
        while instant + A_MOMENT > await self.now():
            _, decision, timer = await self._at_rest()
            if decision is not None and decision.do is Do.FINISH:
                return  # what the provider did has ended it: the clock of a closed run stands still
            stop = min(one for one in (instant, timer, acts_at) if one is not None)
            left = stop + A_MOMENT - await self.now()
            if left > timedelta(0):
                await self._skipper.fast_forward(self._handle, min(left, LONGEST_STEP))
            acts_at = await self._tell_provider()

    async def _tell_provider(self) -> datetime | None:
        """Let the sandbox do what is due by this clock in a calendar that it runs; when it acts next, None: never."""
        if self._sandbox is None:
            return None
        body = {"subscription": self._subscription, "business_now": (await self.now()).isoformat()}
        following = (await self._sandbox.post("/_sandbox/clock", json=body)).raise_for_status().json()["next_at"]
        return None if following is None else datetime.fromisoformat(following)

    async def advance(
        self, until: datetime, *, on_step: Callable[[State, Decision | None], Awaitable[None]] | None = None
    ) -> State:
        """Move to `until`, stopping at each planned instant on the way."""
        while True:
            state, decision = await self.until_quiet()
            if on_step is not None:
                await on_step(state, decision)
            if decision is None or decision.do is Do.FINISH or decision.at > until:
                if not (decision is not None and decision.do is Do.FINISH):
                    await self.move_to(until)
                return state
            await self.move_to(decision.at)
