"""Sending an unclear attempt again, where the provider knows its key; and money that came twice. SPEC 13."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dunning.domain.attempts import OutcomeKind
from dunning.errors import Conflict
from dunning.ledger import Resending
from tests.ledger.till import PAID, POOR, Till, attempt, charge

pytestmark = pytest.mark.server
HOUR = Resending(is_allowed=True, ttl=timedelta(hours=1))


async def taken_over(till: Till) -> None:
    """Sent and unclear; a second owner has claimed it and has not sent it."""
    first = await till.send(charge())
    await till.end_lease(first.key)
    second = await till.claim(charge(), "second", resending=HOUR)
    await till.end_lease(second.key)


async def test_a_taken_over_attempt_was_sent_even_when_its_second_owner_died_before_sending(till: Till) -> None:
    await taken_over(till)
    assert (await till.refusal(charge())).kind is OutcomeKind.UNKNOWN
    row = await till.ledger.attempt(charge().attempt.key)
    assert row is not None
    assert row.sent_at is not None


async def test_a_taken_over_attempt_is_not_made_on_another_method(till: Till) -> None:
    await taken_over(till)
    with pytest.raises(Conflict):
        await till.admit(charge(attempt=attempt(method="pm_2")), resending=HOUR)


async def test_an_outage_of_the_second_send_does_not_prove_that_the_first_charged_nothing(till: Till) -> None:
    first = await till.send(charge())
    await till.end_lease(first.key)
    second = await till.send(charge(), "second", resending=HOUR)
    assert await till.ledger.release(second) is False
    assert (await till.refusal(charge())).kind is OutcomeKind.UNKNOWN
    row = await till.ledger.attempt(first.key)
    assert row is not None
    assert (row.status, row.sent_at) == ("unknown", row.first_sent_at)


async def test_an_outage_of_the_only_send_proves_that_nothing_was_charged(till: Till) -> None:
    first = await till.send(charge())
    assert await till.ledger.release(first) is True
    row = await till.ledger.attempt(first.key)
    assert row is not None
    assert (row.status, row.sent_at, row.first_sent_at) == ("started", None, None)


async def test_a_second_payment_under_one_key_raises_attention_once(till: Till) -> None:
    claim = await till.send(charge())
    await till.ledger.settle(claim.key, PAID, claim=claim)
    for _ in range(3):
        assert await till.ledger.settle(claim.key, PAID.but(provider_payment_id="pay_2")) == PAID
    assert await till.ledger.settle(claim.key, PAID) == PAID
    assert await till.events() == [(1, "payment.succeeded"), (2, "subscription.attention")]


async def test_a_second_payment_after_a_late_one_raises_attention(till: Till) -> None:
    claim = await till.send(charge())
    for outcome in (POOR, PAID, PAID.but(provider_payment_id="pay_2")):
        await till.ledger.settle(claim.key, outcome)
    assert [type_ for _, type_ in await till.events()] == [
        "payment.failed",
        "payment.succeeded",
        "subscription.attention",
    ]
