"""Price migrations at the sandbox, read through the adapter: cohorts, 37 days, the rule of one unconfirmed increase."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from dunning.domain.plans import PriceStanding
from dunning.domain.play_prices import PriceChangeMode
from dunning.providers.cohorts import Cohort
from dunning.providers.google_play import GooglePlayProvider
from tests.domain.calendars import at
from tests.providers.google_play.rig import PACKAGE, PlayRig, service_account

pytestmark = pytest.mark.server
MAY = at("2026-05-07T00:00")


@pytest.fixture
async def provider(play: PlayRig) -> AsyncIterator[GooglePlayProvider]:
    found = GooglePlayProvider(
        service_account(),
        package_name=PACKAGE,
        is_test=True,
        base_url=play.url,
        token_url=f"{play.url}/token",
        transport=play.checked,
    )
    yield found
    await found.aclose()


async def begin(play: PlayRig, when: str, product_id: str, amount: int, **given: Any) -> None:
    body = {"at": at(when).isoformat(), "product_id": product_id, "amount": amount, **given}
    await play.post("purchases/token-1/migrations", body)


async def changes(provider: GooglePlayProvider, when: str) -> dict[str, PriceStanding]:
    plan = await provider.read_plan("token-1", business_at=at(when))
    return {one.product_id: one.price_change for one in plan.items if one.price_change is not None}


async def test_b_migrated_on_jun_2_waits_for_the_consent_to_a_and_is_charged_on_aug_7(play, provider):
    await play.acknowledged({"price": 700}, {"price": 500, "product_id": "B"}, start=MAY)
    await begin(play, "2026-05-20T00:00", "base", 1_000)
    await begin(play, "2026-06-02T00:00", "B", 600)
    waiting = await changes(provider, "2026-06-02T01:00")
    assert list(waiting) == ["base"]
    assert (waiting["base"].state, waiting["base"].charge_at) == ("OUTSTANDING", at("2026-07-07T00:00"))
    await play.deed("token-1", "confirm_price", "2026-06-10T00:00")
    agreed = await changes(provider, "2026-06-10T01:00")
    assert (agreed["base"].state, agreed["B"].state) == ("CONFIRMED", "OUTSTANDING")
    assert agreed["B"].charge_at == at("2026-08-07T00:00")
    assert agreed["B"].needs_consent


async def test_increases_that_are_charged_at_the_same_renewal_are_both_shown_and_confirmed_at_once(play, provider):
    await play.acknowledged({}, {}, start=MAY)
    await begin(play, "2026-05-10T00:00", "base", 2_500)
    await begin(play, "2026-05-20T00:00", "addon1", 1_500)
    both = await changes(provider, "2026-05-21T00:00")
    assert {one.charge_at for one in both.values()} == {at("2026-07-07T00:00")}
    await play.deed("token-1", "confirm_price", "2026-06-10T00:00")
    assert {one.state for one in (await changes(provider, "2026-06-11T00:00")).values()} == {"CONFIRMED"}


async def test_a_decrease_needs_no_consent_and_is_charged_at_the_next_renewal(play, provider):
    await play.acknowledged(start=MAY)
    await begin(play, "2026-05-10T00:00", "base", 1_500)
    change = (await changes(provider, "2026-05-11T00:00"))["base"]
    assert (change.state, change.charge_at, change.needs_consent) == ("CONFIRMED", at("2026-06-07T00:00"), False)
    plan = await provider.read_plan("token-1", business_at=at("2026-06-08T00:00"))
    assert (plan.items[0].amount, plan.cycles[-1].amount) == (1_500, 1_500)


async def test_without_consent_the_purchase_ends_at_the_renewal(play, provider):
    await play.acknowledged(start=MAY)
    await begin(play, "2026-05-20T00:00", "base", 2_500)
    plan = await provider.read_plan("token-1", business_at=at("2026-07-08T00:00"))
    assert (plan.phase, "consent was missing" in plan.because) == ("over", True)


async def test_a_cohort_is_moved_in_its_region_and_newer_ones_stay(play, provider):
    await play.acknowledged(start=MAY)
    await play.acknowledged(start=MAY, token="token-de", region="DE")
    await play.acknowledged(start=at("2026-06-20T00:00"), token="token-new")
    await play.post("prices", {"product_id": "base", "amount": 2_500})
    cohort = Cohort(
        product_id="base", base_plan_id="monthly", region_code="US", oldest_allowed_at=at("2026-06-01T00:00")
    )
    await provider.move_cohort(cohort, "2022/02")
    moved = [await provider.read_plan(token, business_at=MAY) for token in ("token-1", "token-de", "token-new")]
    assert [plan.items[0].price_change is not None for plan in moved] == [True, False, False]
    opt_out = cohort.but(region_code="DE", mode=PriceChangeMode.OPT_OUT_PRICE_INCREASE)
    await provider.move_cohort(opt_out, "2022/02")
    plan = await provider.read_plan("token-de", business_at=MAY)
    assert plan.items[0].price_change is not None
    assert (plan.items[0].price_change.mode, plan.items[0].price_change.state) == (
        "OPT_OUT_PRICE_INCREASE",
        "CONFIRMED",
    )
