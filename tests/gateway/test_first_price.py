"""Messages about a first price: the row is settled once, a decline on the page decides nothing. SPEC 12, 13."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dunning.domain.attempts import Attempt, Outcome, OutcomeKind, Trigger, attempt_key
from dunning.domain.declines import DeclineClass
from dunning.domain.first_price import FirstPrice
from dunning.domain.page import ON_PAGE
from dunning.errors import Conflict
from dunning.ledger import Limits
from dunning.ledger.models import ChargeInput
from tests.gateway.house import AT, House, payment

pytestmark = pytest.mark.server
KEY = attempt_key("demo", "sub-1", 1, "1", 1)


def on_page(status: str = "succeeded", **changes: Any) -> bytes:
    metadata = {"subscription": "sub-1", "dunning_first_key": KEY}
    return payment(None, status, charge_type="new", metadata=metadata, payment_method_id="pm_9", **changes)


async def open_page(house: House, amount: int = 100_000) -> None:
    first = FirstPrice(key=KEY, amount=amount, currency="IDR", description="Pro plan", planned_at=AT)
    where: dict[str, Any] = {"account": "demo", "subscription": "sub-1", "generation": 1, "customer": "cust-1"}
    await house.ledger.open_first_price(first, **where, business_at=AT)


def asking(method: str) -> ChargeInput:
    attempt = Attempt(number=1, trigger=Trigger.DUE, method=method, planned_at=AT, because="it is due", key=KEY)
    return ChargeInput(
        account="demo", subscription="sub-1", generation=1, customer="cust-1", obligation="1", attempt=attempt,
        amount=100_000, currency="IDR", description="Pro plan", reference="cks_1", business_at=AT + timedelta(days=9),
    )  # fmt: skip


async def row(house: House) -> Any:
    """The attempt's row, once every stored message has been settled."""
    await house.dispatcher.drain()
    (only,) = await house.ledger.attempts_of("demo", "sub-1")
    return only


async def events(house: House) -> list[str]:
    return [one["type"] for one in await house.ledger.events_of("demo", "sub-1")]


async def test_the_pages_payment_settles_the_attempt_once_and_its_run_is_told_where_it_was_made(house: House) -> None:
    await open_page(house)
    for ident in ("msg_1", "msg_2"):
        assert (await house.deliver(on_page(), ident)).is_success
    settled = await row(house)
    assert (settled.outcome.kind, settled.method) == (OutcomeKind.SUCCEEDED, "pm_9")
    assert [name for name in await events(house) if name.startswith("payment.")] == ["payment.succeeded"]
    await house.dispatcher.drain()
    first, again = house.box.facts
    assert (first.attempt_key, first.is_page, again.is_page) == (KEY, True, False)


@pytest.mark.parametrize("method", [None, "pm_9"], ids=["before the mandate stands", "after it stands"])
async def test_a_decline_on_the_page_decides_nothing_for_the_customer_may_try_again_there(
    house: House, method: str | None
) -> None:
    await open_page(house)
    if method is not None:
        await house.ledger.take_first_price(asking(method))
    await house.deliver(on_page("failed", error_code="STOLEN_CARD"), "msg_1")
    assert (await row(house)).settled_at is None
    await house.deliver(on_page(payment_id="pay_2"), "msg_2")
    assert (await row(house)).outcome.kind is OutcomeKind.SUCCEEDED


async def test_a_payment_on_a_page_that_was_closed_is_told_late_and_its_run_hears_of_it(house: House) -> None:
    await open_page(house)
    await house.ledger.settle(KEY, Outcome(kind=OutcomeKind.ABSENT, at=AT, because="nobody completed the page"))
    await house.deliver(on_page())
    assert (await row(house)).outcome.kind is OutcomeKind.SUCCEEDED
    assert await events(house) == ["payment.succeeded"]
    await house.dispatcher.drain()
    (fact,) = house.box.facts
    assert fact.is_page


async def test_a_renewal_that_copies_the_subscriptions_metadata_is_not_the_first_price(house: House) -> None:
    await open_page(house)
    metadata = {"subscription": "sub-1", "dunning_first_key": KEY}
    await house.deliver(payment(None, charge_type="renewal", metadata=metadata))
    assert (await row(house)).settled_at is None


async def test_the_row_is_written_once_stands_as_sent_and_is_never_claimed(house: House) -> None:
    for _ in range(2):
        await open_page(house)
    with pytest.raises(Conflict):
        await open_page(house, amount=1)
    written = await row(house)
    assert (written.status, written.method, written.sent_at is not None) == ("unknown", ON_PAGE, True)
    admission = await house.ledger.admit(asking(ON_PAGE), owner="test", limits=Limits())
    assert admission.claim is None
    assert admission.outcome is not None
    assert admission.outcome.kind is OutcomeKind.UNKNOWN


async def test_a_hard_decline_condemns_the_card_that_was_charged_and_no_stand_in_for_one(house: House) -> None:
    hard = Outcome(kind=OutcomeKind.DECLINED, at=AT, raw_code="STOLEN_CARD", klass=DeclineClass.HARD)
    await open_page(house)
    await house.ledger.settle(KEY, hard, method="pm_9")
    assert (await row(house)).method == "pm_9"
    attempt = Attempt(number=2, trigger=Trigger.LADDER, method="pm_9", planned_at=AT, because="retry", key="at_2")
    asked = ChargeInput(
        account="demo", subscription="sub-1", generation=1, customer="cust-1", obligation="1", attempt=attempt,
        amount=100_000, currency="IDR", description="Pro plan", reference="cks_1", business_at=AT,
    )  # fmt: skip
    refused = (await house.ledger.admit(asked, owner="test", limits=Limits())).outcome
    assert refused is not None
    assert refused.kind is OutcomeKind.METHOD_REFUSED
