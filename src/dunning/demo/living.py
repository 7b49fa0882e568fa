"""One subscription of the portfolio, lived on the real server and foretold by `preview`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx

from dunning.client import DunningClient
from dunning.domain.base import Value
from dunning.domain.commands import Command
from dunning.domain.decide import Decision, Do
from dunning.domain.expecting import is_following, unpaid_cycle
from dunning.domain.script import PAY_BY_LINK, Script, ScriptedAction
from dunning.domain.state import State
from dunning.domain.terms import Subscription
from dunning.ledger.models import StoredAttempt, StoredNotice
from dunning.sandbox.customers import register
from dunning.testclock import PATIENCE, TestClock


class Lived(Value):
    """What a subscription went through, from the ledger and the provider's charge book."""

    id: str
    status: str
    currency: str
    attempts: tuple[StoredAttempt, ...]
    notices: tuple[StoredNotice, ...]
    charges: tuple[dict[str, Any], ...]
    state: State
    steps: int
    entitlement: Entitlement | None = None


class Entitlement(Value):
    """Whether the customer may use the product at the end: as the engine answers, and as the backend's list has it."""

    at: datetime
    engine: bool
    backend: bool
    events_sent: int
    events_received: int


class Living:
    """The life of one subscription on its test clock."""

    def __init__(
        self,
        dunning: DunningClient,
        sandbox: httpx.AsyncClient,
        subscription: Subscription,
        script: Script,
        *,
        now: datetime,
        cycles: int,
        on_step: Callable[[State], None],
        patience: float = PATIENCE,
    ) -> None:
        self._dunning = dunning
        self._sandbox = sandbox
        self._given = subscription
        self._script = script
        self._now = now
        self._cycles = cycles
        self._on_step = on_step
        account = subscription.merchant_account
        self._clock = TestClock(dunning, account, subscription.id, sandbox=sandbox, patience=patience)
        self._steps = 0

    async def live(self) -> Lived:
        """Register the customer at the provider, start, move to the end, and collect what happened."""
        await register(self._sandbox, self._given, self._script)
        await self._begin()
        todo = sorted(
            ((a.instant(self._now), n, a) for n, a in enumerate(self._script.do, start=1)), key=lambda x: x[:2]
        )
        while True:
            state, decision = await self._clock.until_quiet()
            self._steps += 1
            self._on_step(state)
            if todo and (decision is None or decision.do is Do.FINISH or todo[0][0] <= decision.at):
                at, number, action = todo.pop(0)
                await self._clock.move_to(at)
                await self._act(number, action, at)
                continue
            if decision is None or self._is_far_enough(state, decision):
                return await self._collect(state)
            await self._clock.move_to(decision.at)

    async def _begin(self) -> None:
        await self._dunning.start(self._given, now=self._now, is_test_clock=True)

    def _is_far_enough(self, state: State, decision: Decision) -> bool:
        if decision.do is Do.FINISH:
            return True
        if state.next_number <= self._cycles:
            return False
        is_awaited = decision.do is Do.READ_PLAN and is_following(state) and unpaid_cycle(state) is None
        return is_awaited or decision.do in (Do.OPEN_CYCLE, Do.SKIP_CYCLE)

    async def _act(self, number: int, action: ScriptedAction, at: datetime) -> None:
        if action.action == PAY_BY_LINK:
            body = {"amount": self._given.amount, "currency": self._given.currency}
            path = f"/_sandbox/subscriptions/{self._given.id}/pay-link"
            (await self._sandbox.post(path, json=body)).raise_for_status()
            return
        command = action.command(number, at)
        # Command ids are unique in the account; the script's own are unique in the subscription only.
        command = command.but(command_id=f"{self._given.id}.{command.command_id}"[:64])
        await self._send(command)

    async def _send(self, command: Command) -> None:
        await self._dunning.command(self._given.merchant_account, self._given.id, command)

    async def _entitlement(self) -> Entitlement | None:
        """None: no product backend takes part."""
        return None

    async def _collect(self, state: State) -> Lived:
        ledger, account, own = self._dunning.ledger, self._given.merchant_account, self._given.id
        book = (await self._sandbox.get("/_sandbox/charges", params={"subscription": own})).json()["charges"]
        return Lived(
            id=own,
            status=state.status.value,
            currency=self._given.currency,
            attempts=tuple(await ledger.attempts_of(account, own)),
            notices=tuple(await ledger.notices_of(account, own)),
            charges=tuple(book),
            state=state,
            steps=self._steps,
            entitlement=await self._entitlement(),
        )
