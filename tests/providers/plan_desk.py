"""One subscription whose calendar a provider runs, carried by the workflow's own steps without a Temporal server.

The steps, activities, ledger, adapter and sandbox are the real ones. Only waiting is not: time jumps from one decision
to the next. A worker dies by losing the answer of an activity, before or after its work; a run is lost by building the
desk anew from the ledger's snapshot.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar, cast

from temporalio.exceptions import ActivityError, RetryState

from activities.book import BookActivities
from activities.charging import ChargeActivities
from activities.mandates import MandateActivities
from activities.names import (
    BEGIN_COMMAND,
    CHANGE_PLAN,
    CHARGE,
    CREATE_MANDATE,
    CREATE_PLAN,
    END_MANDATE,
    END_PLAN,
    LOAD,
    LOOK_UP,
    READ_MANDATE,
    READ_PLAN,
    RECORD,
)
from activities.plans import PlanActivities
from dunning.contract import ProviderFact, SubscriptionInput
from dunning.domain import facts
from dunning.domain.commands import Command
from dunning.domain.decide import Decision, Do
from dunning.domain.state import State
from dunning.domain.terms import Subscription
from dunning.gateway.reception import Reception
from dunning.gateway.settling import Settler
from dunning.ledger import Ledger
from dunning.providers.base import PaymentProvider
from dunning.settings import AccountSettings
from tests.providers.ordering import Row
from tests.providers.rigging import SandboxRig
from workflows import options
from workflows.subscription import SubscriptionWorkflow

MANY = 400
SOON = timedelta(minutes=2)
T = TypeVar("T")


class PlanSide(Protocol):
    """One provider's plans: its adapter over its sandbox, and what its contract lets be expected.

    Attributes:
        provider, secret: the adapter, and what its messages are verified with.
        retries_after: days from the due day to each of the provider's own retries.
        is_made_again: an unclear creation that made nothing is found out, and the plan is made then.
        is_replaced: another method is charged by another plan; else the plan is changed.
    """

    rig: SandboxRig
    provider: PaymentProvider
    secret: str
    name: str
    retries_after: tuple[int, ...]
    is_made_again: bool
    is_replaced: bool

    def given(self, now: datetime, **changes: Any) -> Subscription:
        """A monthly subscription of "ours-1", due first on 2026-03-05 at 01:30 UTC."""
        ...

    async def know(self, *outcomes: str) -> None:
        """The provider knows the customer, whose charges end so."""
        ...

    async def running(self) -> list[str]:
        """Plans that can still charge, oldest first."""
        ...

    def other_method(self) -> str:
        """A token by which the customer gives another method."""
        ...


@dataclass(frozen=True)
class Death:
    """A worker that dies in an activity: before it did its work, or after, so that nobody hears of it."""

    activity: str
    is_after: bool


@dataclass
class Mind:
    """What outlives a desk: the deaths to come, and what was asked of the world."""

    deaths: list[Death] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


class PlanDesk(SubscriptionWorkflow):
    """The process, at a clock of its own."""

    def __init__(self, side: PlanSide, ledger: Ledger, account: str, now: datetime, mind: Mind) -> None:
        super().__init__(SubscriptionInput(account=account, subscription="ours-1", generation=1))
        self.side, self.ledger, self.mind, self.now = side, ledger, mind, now
        providers = {account: side.provider}
        known = {"provider": side.name, "mode": "test", "api_key": "key", "merchant_name": "Kopi"}
        settings = {account: AccountSettings.model_validate(known)}
        plans, mandates = PlanActivities(ledger, providers), MandateActivities(ledger, providers)
        book = BookActivities(ledger)
        charges = ChargeActivities(ledger, providers, settings, wait_seconds=2)
        self._works: dict[str, Callable[[Any], Awaitable[Any]]] = {
            CREATE_PLAN: plans.create_plan,
            READ_PLAN: plans.read_plan,
            CHANGE_PLAN: plans.change_plan,
            END_PLAN: plans.end_plan,
            CHARGE: charges.charge,
            LOOK_UP: charges.look_up,
            CREATE_MANDATE: mandates.create_mandate,
            READ_MANDATE: mandates.read_mandate,
            END_MANDATE: mandates.end_mandate,
            LOAD: book.load_subscription,
            RECORD: book.record,
            BEGIN_COMMAND: book.begin_command,
        }

    # --- in place of Temporal ---------------------------------------------------------------------------

    def _now(self) -> datetime:
        return max(self.now, self._s.latest) if self._state is not None else self.now

    async def _activity(self, name: str, request: object, result: type[T], how: options.Options, label: str) -> T:
        self.mind.asked.append(name)
        death = next((one for one in self.mind.deaths if one.activity == name), None)
        if death is not None:
            self.mind.deaths.remove(death)
            if death.is_after:
                await self._works[name](request)
            raise _died(name)
        return cast(T, await self._works[name](request))

    async def _local(self, name: str, request: object, result: type[Any] | None) -> Any:
        return await self._works[name](request)

    async def _send_notice(self, decision: Decision, key: str) -> None:
        self._apply(facts.NoticeStarted(key=key))
        self._apply(facts.NoticeConcluded(key=key, is_sent=True))

    # --- living -----------------------------------------------------------------------------------------

    @property
    def state_now(self) -> State:
        return self._s

    async def begin(self) -> PlanDesk:
        """Load what the ledger has: the terms, or the latest snapshot."""
        await self._load()
        await self._due(self.now)
        return self

    async def live(self, until: datetime, *, hears: Callable[[], Awaitable[None]] | None = None) -> State:
        """To an instant: the provider acts at its own ones, and `hears` says what of its messages arrives."""
        if await self._tell_provider() is None:
            await self._due(min(until, self.now + SOON))  # the plan does not run yet: it is read again by then
        while (acts_at := await self._tell_provider()) is not None and acts_at <= until:
            await self._due(acts_at - timedelta(milliseconds=1))
            self.now = max(self.now, acts_at)
            await self._tell_provider()
            if hears is not None:
                await hears()
            await self._due(self.now)
        await self._due(until)
        self.now = max(self.now, until)
        return self._s

    async def command(self, command: Command) -> None:
        """Queue a command and do what is due now."""
        self._commands.append(command)
        await self._due(self.now)

    def hear(self, heard: Sequence[ProviderFact]) -> None:
        """Messages as they were signalled."""
        self._heard.extend(heard)

    async def _due(self, until: datetime) -> None:
        """Carry out every decision up to an instant."""
        for _ in range(MANY):
            await self._take_in_messages()
            decision = self._decide()
            if decision is None or decision.do is Do.FINISH or decision.at > until:
                await self._record()
                return
            self.now = max(self.now, decision.at)
            if decision.do is Do.CHARGE:
                assert await self.side.running() == [], "the engine charges beside a plan that still can"
            await self._carry_out(decision)
        raise AssertionError(f"the same again and again: {self._decide()}")

    async def _tell_provider(self) -> datetime | None:
        body = {"subscription": "ours-1", "business_now": self.now.isoformat()}
        following = (await self.side.rig.post("clock", body))["next_at"]
        return None if following is None else datetime.fromisoformat(following)


class House:
    """A ledger, a provider, and desks that come and go."""

    def __init__(self, side: PlanSide, ledger: Ledger, now: datetime) -> None:
        self.side, self.ledger, self.now, self.mind = side, ledger, now, Mind()
        self.account = f"demo-{uuid.uuid4().hex[:8]}"
        self._reception, self._settler = Reception(ledger), Settler(ledger)
        self._taken = 0

    async def open(self, *outcomes: str, **changes: Any) -> PlanDesk:
        """Write the subscription down and begin it."""
        await self.side.know(*outcomes)
        given = self.side.given(self.now, merchant_account=self.account, **changes)
        await self.ledger.create_subscription(given, now=self.now)
        return await self._desk(self.now)

    async def reopen(self, lost: PlanDesk) -> PlanDesk:
        """The run is lost; another one goes on from what stands in the ledger."""
        return await self._desk(lost.now)

    async def _desk(self, now: datetime) -> PlanDesk:
        return await PlanDesk(self.side, self.ledger, self.account, now, self.mind).begin()

    async def hear(self, desk: PlanDesk, *, copies: int = 1) -> None:
        """What the provider has sent since, as gateway and inbox hand it on."""
        await self.side.rig.quiet()
        now, deliveries = datetime.now(UTC), self.side.rig.deliveries()
        fresh, self._taken = deliveries[self._taken :], len(deliveries)
        for one in fresh * copies:
            message = self.side.provider.read_webhook(one.headers, one.body, secrets=[self.side.secret], now=now)
            await self._reception.store(self.account, message, self.side.provider.declines, now)
        while not (await self._settler.settle()).is_over:
            pass
        async with self.ledger.unsignalled() as rows:
            waiting = list(rows)
            for row in waiting:
                rows.done(row)
        desk.hear([ProviderFact.model_validate(row.fact) for row in waiting] * copies)

    async def book(self) -> list[Row]:
        """Every charge that the provider knows."""
        return await self.side.rig.book()

    async def paid(self) -> list[str]:
        """How each charge came out, oldest first."""
        return [row.status for row in await self.book()]


def _died(name: str) -> ActivityError:
    return ActivityError(
        "the worker died",
        scheduled_event_id=1,
        started_event_id=2,
        identity="doomed",
        activity_type=name,
        activity_id="1",
        retry_state=RetryState.MAXIMUM_ATTEMPTS_REACHED,
    )
