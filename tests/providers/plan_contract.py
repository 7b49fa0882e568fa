"""What must hold of every provider that runs calendars itself, written once. SPEC 9, 12, 13.

A test module derives `PlanContract` and gives a fixture `side`. Two plans, or a day that is collected twice, stand in
the sandbox's books like at the provider.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.names import CHANGE_PLAN, CREATE_PLAN, END_PLAN, READ_PLAN
from dunning.domain.attempts import Trigger
from dunning.domain.commands import Cancel, UpdatePaymentMethod
from dunning.domain.state import State
from dunning.domain.tables import CycleStatus, SubscriptionStatus
from dunning.ledger import Ledger
from dunning.providers.following import PlanProvider
from tests.providers.plan_desk import Death, House, PlanDesk, PlanSide

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
FIRST = datetime(2026, 3, 5, 1, 30, tzinfo=UTC)
SECOND = datetime(2026, 4, 5, 1, 30, tzinfo=UTC)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
POOR = "INSUFFICIENT_FUNDS"
FAULTS = ["timeout_after_commit", "http_500", "drop_connection", "429"]
HARMLESS = FAULTS[:1] + FAULTS[-1:]
"""Of these, the ones after which the plan surely is there in the end: it was made, or it surely was not."""
LATE = 2 * DAY
"""Longer than any provider may be late: what it did is found by reading then."""


def tries(state: State, cycle: str) -> list[tuple[Trigger, int | None, timedelta]]:
    """Trigger, rung and distance from the due day of each attempt."""
    owed = state.obligation(cycle)
    return [(a.trigger, a.rung, (a.started_at or a.planned_at).date() - owed.due_at.date()) for a in owed.attempts]


@pytest.mark.server
class FollowedContract:
    """What a calendar does by itself: known once, however it is heard, and nobody else collects beside it."""

    @pytest.fixture
    async def house(self, side: PlanSide, shared_ledger_url: str) -> AsyncIterator[House]:
        ledger = await Ledger.open(shared_ledger_url, pool_size=4)
        yield House(side, ledger, NOW)
        await ledger.aclose()

    # --- followed ------------------------------------------------------------------------------------

    @pytest.mark.parametrize("arrival", ["lost", "twice", "late"])
    async def test_a_decline_and_the_providers_own_retry_read_the_same_however_messages_arrive(
        self, house: House, arrival: str
    ) -> None:
        desk = await house.open(POOR, "SUCCEEDED")

        async def hears() -> None:
            if arrival == "twice":
                await house.hear(desk, copies=2)

        state = await desk.live(FIRST + 10 * DAY, hears=hears)
        if arrival == "late":
            await house.hear(desk)
            state = await desk.live(FIRST + 11 * DAY)
        gap = house.side.retries_after[0]
        assert tries(state, "1") == [(Trigger.DUE, None, 0 * DAY), (Trigger.PROVIDER, 1, gap * DAY)]
        assert state.obligation("1").status is CycleStatus.SUCCEEDED
        assert state.status is SubscriptionStatus.ACTIVE
        assert state.attention == ()
        await self._books_agree(house)

    async def test_what_is_heard_at_once_is_known_on_the_day_itself(self, house: House) -> None:
        desk = await house.open(POOR, "SUCCEEDED")

        async def hears() -> None:
            await house.hear(desk)

        state = await desk.live(FIRST + HOUR, hears=hears)
        owed = state.obligation("1")
        assert (state.status, owed.status) == (SubscriptionStatus.PAST_DUE, CycleStatus.RETRYING)
        assert owed.next is not None
        planned = (owed.next.trigger, owed.next.planned_at)
        assert planned == (Trigger.PROVIDER, FIRST + house.side.retries_after[0] * DAY)

    async def test_a_reading_that_fails_is_made_again_and_concludes_nothing(self, house: House) -> None:
        desk = await house.open("SUCCEEDED")
        await desk.live(FIRST + HOUR)
        house.mind.deaths += [Death(READ_PLAN, is_after=False), Death(READ_PLAN, is_after=True)]
        await house.side.rig.fault("http_500", on="lookup", times=2)
        state = await desk.live(FIRST + 5 * DAY)
        assert state.obligation("1").status is CycleStatus.SUCCEEDED
        assert await house.paid() == ["succeeded"]

    async def test_a_whole_life_is_one_charge_a_month(self, house: House) -> None:
        desk = await house.open(POOR, "SUCCEEDED", "SUCCEEDED")
        state = await desk.live(SECOND + LATE)
        assert [state.obligation(n).status for n in ("1", "2")] == [CycleStatus.SUCCEEDED] * 2
        assert await house.paid() == ["failed", "succeeded", "succeeded"]
        assert all(row.key is None for row in await house.book())
        await self._books_agree(house)

    async def _books_agree(self, house: House) -> None:
        """The ledger's book holds what the provider's does, each payment once."""
        ours = await house.ledger.attempts_of(house.account, "ours-1")
        theirs = [row.payment_id for row in await house.book()]
        assert [row.provider_payment_id for row in ours] == theirs

    # --- given up --------------------------------------------------------------------------------------

    @pytest.mark.parametrize("point", ["none", "before", "after"])
    async def test_what_the_provider_gives_up_is_over_there_before_anybody_else_charges(
        self, house: House, point: str
    ) -> None:
        tried = 1 + len(house.side.retries_after)
        if point != "none":
            house.mind.deaths.append(Death(END_PLAN, point == "after"))
        desk = await house.open(*[POOR] * tried, "SUCCEEDED")
        state = await desk.live(FIRST + 20 * DAY)
        assert await house.side.running() == []
        assert (await house.paid())[:tried] == ["failed"] * tried
        ours = len(await house.book()) - tried
        assert [row.key is None for row in await house.book()] == [True] * tried + [False] * ours
        assert isinstance(house.side.provider, PlanProvider)
        if not house.side.provider.plan_rules.hands_over:
            assert (state.status, ours) == (SubscriptionStatus.INACTIVE, 0)
            return
        assert tries(state, "1")[-1] == (Trigger.LADDER, 3, 17 * DAY)
        assert (await house.paid())[tried:] == ["succeeded"]


class PlanContract(FollowedContract):
    """Derive it, and give a fixture `side`; it takes the module's ledger besides."""

    # --- made once ----------------------------------------------------------------------------------

    async def test_a_plan_is_made_once_and_collects_nothing_before_its_day(self, house: House) -> None:
        desk = await house.open("SUCCEEDED")
        await desk.live(FIRST - HOUR)
        assert await house.paid() == []
        assert len(await house.side.running()) == 1, desk.state_now
        state = await desk.live(FIRST + LATE)
        assert tries(state, "1") == [(Trigger.DUE, None, 0 * DAY)]
        assert await house.paid() == ["succeeded"]
        assert house.mind.asked.count(CREATE_PLAN) == 1

    @pytest.mark.parametrize("kind", FAULTS)
    async def test_whatever_happens_to_its_creation_there_are_never_two_plans(self, house: House, kind: str) -> None:
        await house.side.rig.fault(kind, on="mandate")
        desk = await house.open("SUCCEEDED")
        for _ in range(3):
            await house.hear(desk)
            await desk.live(desk.now + HOUR)
            assert len(await house.side.running()) <= 1
        is_made = kind in HARMLESS or house.side.is_made_again
        assert len(await house.side.running()) == int(is_made)
        assert bool(desk.state_now.attention) or is_made
        await desk.live(FIRST + LATE)
        assert await house.paid() == ["succeeded"] * is_made

    @pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
    async def test_a_death_around_the_creation_never_makes_two_plans(self, house: House, is_after: bool) -> None:
        house.mind.deaths.append(Death(CREATE_PLAN, is_after))
        desk = await house.reopen(await house.open("SUCCEEDED"))
        await house.hear(desk)
        await desk.live(FIRST + LATE)
        is_made = is_after or house.side.is_made_again
        assert len(await house.side.running()) == int(is_made)
        assert await house.paid() == ["succeeded"] * is_made

    async def test_a_list_that_lags_costs_at_most_a_plan_that_is_ended_before_it_charges(self, house: House) -> None:
        await house.side.rig.fault("drop_after_commit", on="mandate")
        await house.side.rig.fault("lookup_lag", on="lookup", times=1)
        desk = await house.open("SUCCEEDED")
        await house.hear(desk)
        await desk.live(FIRST - DAY)
        assert len(await house.side.running()) == 1
        await desk.live(FIRST + LATE)
        assert await house.paid() == ["succeeded"]

    # --- changed ---------------------------------------------------------------------------------------

    @pytest.mark.parametrize("point", ["none", "before", "after"])
    async def test_another_method_collects_every_day_once_whoever_dies_on_the_way(
        self, house: House, point: str
    ) -> None:
        desk = await house.open("SUCCEEDED", "SUCCEEDED")
        await desk.live(FIRST + LATE)
        before = await self._methods(house)
        if point != "none":
            steps = (CREATE_PLAN, END_PLAN) if house.side.is_replaced else (CHANGE_PLAN,)
            house.mind.deaths += [Death(step, point == "after") for step in steps]
        wanted = UpdatePaymentMethod(command_id="card-1", token=house.side.other_method())
        await desk.command(wanted)
        desk = await house.reopen(desk)
        await desk.command(wanted)  # whoever asked and heard no answer asks again
        await desk.live(SECOND + LATE)
        assert len(await house.side.running()) == 1
        assert await house.paid() == ["succeeded"] * 2
        after = await self._methods(house)
        assert after[:1] == before
        assert after[1] not in before

    async def _methods(self, house: House) -> list[Any]:
        rows = (await house.side.rig.control.get("/_sandbox/charges")).json()["charges"]
        return [row["payment_method_id"] for row in rows]

    # --- ended -----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("kind", FAULTS)
    async def test_an_end_is_asked_for_until_it_is_read_back_and_nothing_is_collected_after(
        self, house: House, kind: str
    ) -> None:
        desk = await house.open("SUCCEEDED", "SUCCEEDED")
        await desk.live(FIRST + LATE)
        await house.side.rig.fault(kind, on="end")
        await self._cancel(desk)
        state = await desk.live(SECOND + LATE)
        assert await house.side.running() == []
        assert state.plan is not None
        assert state.plan.is_released
        assert await house.paid() == ["succeeded"]

    @pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
    async def test_a_death_around_the_end_changes_nothing_of_it(self, house: House, is_after: bool) -> None:
        desk = await house.open("SUCCEEDED", "SUCCEEDED")
        await desk.live(FIRST + LATE)
        house.mind.deaths.append(Death(END_PLAN, is_after))
        await self._cancel(desk)
        desk = await house.reopen(desk)
        await desk.live(SECOND + LATE)
        assert await house.side.running() == []
        assert await house.paid() == ["succeeded"]

    async def _cancel(self, desk: PlanDesk) -> None:
        await desk.command(Cancel(command_id="cancel-1", type="DEVELOPER_REQUESTED_STOP_PAYMENTS"))
