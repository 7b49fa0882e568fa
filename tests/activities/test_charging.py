"""The charge activities: results are outcomes, and what no retry can mend is said to be so. SPEC 13."""

from __future__ import annotations

from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.charging import ChargeActivities
from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.ledger.models import ChargeInput, LookUpInput
from tests.activities.backend import Backend
from tests.charging.test_charging import Shop, shop
from tests.ledger.till import charge

__all__ = ["shop"]
pytestmark = pytest.mark.server


class Desk:
    """The activities of one account, over the shop's ledger and provider."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        account = Backend().account(backend_url=None, backend_secret=None)
        self.activities = ChargeActivities(shop.ledger, {"demo": shop.provider}, {"demo": account})

    async def charge(self, **changes: Any) -> Outcome:
        return await ActivityEnvironment().run(self.activities.charge, charge(**changes))

    async def look_up(self, **changes: Any) -> Outcome:
        given = charge(**changes)
        names = LookUpInput.model_fields.keys() & ChargeInput.model_fields.keys()
        request = LookUpInput(**{name: getattr(given, name) for name in names})
        return await ActivityEnvironment().run(self.activities.look_up, request)


@pytest.fixture
async def desk(shop: Shop) -> Desk:
    await shop.agree("SUCCEEDED")
    return Desk(shop)


async def test_a_charge_and_its_look_up_give_one_outcome(desk: Desk) -> None:
    found = await desk.charge()
    assert found.kind is OutcomeKind.SUCCEEDED
    assert await desk.look_up() == found


async def test_every_try_is_an_owner_of_its_own(desk: Desk) -> None:
    owners = set()
    for number in range(3):
        await desk.charge(obligation=f"od-{number}", customer=f"cust-{number}")
    for (owner,) in await desk.shop.rows("select owner from attempts"):
        owners.add(owner)
    assert len(owners) == 3


async def test_a_key_of_another_price_is_refused_for_good(desk: Desk) -> None:
    await desk.charge()
    for call in (desk.charge, desk.look_up):
        with pytest.raises(ApplicationError) as refused:
            await call(amount=1)
        assert (refused.value.type, refused.value.non_retryable) == ("conflict", True)
    assert await desk.shop.book() == ["succeeded"]


async def test_an_account_that_the_worker_does_not_know_is_refused_for_good(desk: Desk) -> None:
    for call in (desk.charge, desk.look_up):
        with pytest.raises(ApplicationError) as refused:
            await call(account="other")
        assert (refused.value.type, refused.value.non_retryable) == ("configuration", True)
    assert await desk.shop.book() == []
