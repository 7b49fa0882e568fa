"""One key, one claim, one settlement; what is unclear is never sent again. SPEC 13."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import psycopg
import pytest

from dunning.domain.attempts import OutcomeKind, Trigger
from dunning.domain.declines import DeclineClass
from dunning.errors import Conflict, NotFound
from dunning.ledger import ClaimLost, Resending
from dunning.ledger.models import ChargeInput
from tests.ledger.till import AT, PAID, POOR, STOLEN, Till, attempt, charge, outcome, waited

pytestmark = pytest.mark.server


async def test_of_twenty_owners_of_one_key_one_gets_the_claim_and_nineteen_are_deferred(till: Till) -> None:
    found = await asyncio.gather(*(till.admit(charge(), f"owner-{n}") for n in range(20)))
    claims = [a.claim for a in found if a.claim is not None]
    others = [a.outcome for a in found if a.claim is None]
    assert len(claims) == 1
    assert [o.kind for o in others if o is not None] == [OutcomeKind.DEFERRED] * 19
    assert all(timedelta(0) < waited(o) <= timedelta(seconds=90) for o in others if o is not None)


async def test_an_ended_lease_that_sent_nothing_is_taken_over_under_a_higher_epoch(till: Till) -> None:
    first = await till.claim(charge(), "first")
    await till.end_lease(first.key)
    second = await till.claim(charge(), "second")
    assert (second.key, second.owner, second.epoch) == (first.key, "second", first.epoch + 1)


async def test_an_ended_lease_that_sent_is_unknown_and_never_a_claim(till: Till) -> None:
    first = await till.send(charge())
    await till.end_lease(first.key)
    found = await asyncio.gather(*(till.refusal(charge(), f"owner-{n}") for n in range(5)))
    assert {o.kind for o in found} == {OutcomeKind.UNKNOWN}


async def test_an_unclear_attempt_is_claimed_again_only_where_the_provider_knows_its_key(till: Till) -> None:
    first = await till.send(charge())
    await till.end_lease(first.key)
    ttl = Resending(is_allowed=True, ttl=timedelta(hours=1))
    again = await till.claim(charge(), "second", resending=ttl)
    assert again.epoch == first.epoch + 1
    await till.ledger.mark_sent(again)
    await till.end_lease(first.key)
    await till.sql("update attempts set first_sent_at = first_sent_at - interval '61 minutes'")
    assert (await till.refusal(charge(), resending=ttl)).kind is OutcomeKind.UNKNOWN


async def test_an_owner_whose_lease_ended_sends_nothing(till: Till) -> None:
    claim = await till.claim(charge())
    await till.end_lease(claim.key)
    with pytest.raises(ClaimLost):
        await till.ledger.mark_sent(claim)
    row = await till.ledger.attempt(claim.key)
    assert row is not None
    assert row.sent_at is None


async def test_a_stalled_owner_sends_nothing_after_another_has_taken_over(till: Till) -> None:
    stalled = await till.claim(charge(), "stalled")
    await till.end_lease(stalled.key)
    other = await till.claim(charge(), "other")
    with pytest.raises(ClaimLost):
        await till.ledger.mark_sent(stalled)
    await till.ledger.mark_sent(other)


async def test_a_claim_is_good_for_one_send(till: Till) -> None:
    claim = await till.send(charge())
    with pytest.raises(ClaimLost):
        await till.ledger.mark_sent(claim)


async def test_the_first_settlement_stays_and_every_later_one_returns_it(till: Till) -> None:
    claim = await till.send(charge())
    first = await till.ledger.settle(claim.key, POOR, claim=claim, latency_ms=12)
    second = await till.ledger.settle(claim.key, outcome(OutcomeKind.DECLINED, raw_code="DO_NOT_HONOR"))
    assert (first, second) == (POOR, POOR)
    assert (await till.refusal(charge())) == POOR
    assert await till.events() == [(1, "payment.failed")]


async def test_settlements_at_one_moment_leave_one_event(till: Till) -> None:
    claim = await till.send(charge())
    found = await asyncio.gather(*(till.ledger.settle(claim.key, PAID) for _ in range(8)))
    assert found == [PAID] * 8
    assert await till.events() == [(1, "payment.succeeded")]


async def test_of_two_different_settlements_at_one_moment_one_is_recorded_and_both_return_it(till: Till) -> None:
    claim = await till.send(charge())
    other = outcome(OutcomeKind.DECLINED, raw_code="DO_NOT_HONOR", klass=DeclineClass.SOFT)
    blocked = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    async with await psycopg.AsyncConnection.connect(till.url) as holder:
        await holder.execute("select key from attempts where key = %s for update", (claim.key,))
        settling = [asyncio.create_task(till.ledger.settle(claim.key, one)) for one in (POOR, other)]
        async with asyncio.timeout(20):
            while await till.sql(blocked) != [(2,)]:
                pass
    one, two = await asyncio.gather(*settling)
    assert one == two


async def test_a_late_success_wins_over_a_decline_and_is_told_once(till: Till) -> None:
    claim = await till.send(charge())
    await till.ledger.settle(claim.key, POOR, claim=claim)
    assert await till.ledger.settle(claim.key, PAID) == PAID
    assert await till.ledger.settle(claim.key, PAID) == PAID
    assert await till.ledger.settle(claim.key, POOR) == PAID
    assert await till.refusal(charge()) == PAID
    assert await till.events() == [(1, "payment.failed"), (2, "payment.succeeded")]
    assert (await till.ledger.events_of("demo", "sub-1"))[1]["data"]["late"] is True


async def test_a_success_is_never_overwritten_by_a_decline(till: Till) -> None:
    claim = await till.send(charge())
    await till.ledger.settle(claim.key, PAID, claim=claim)
    assert await till.ledger.settle(claim.key, POOR) == PAID
    assert await till.events() == [(1, "payment.succeeded")]


async def test_a_payment_found_after_a_proved_absence_wins(till: Till) -> None:
    claim = await till.send(charge())
    await till.ledger.settle(claim.key, outcome(OutcomeKind.ABSENT))
    assert await till.events() == []
    assert await till.ledger.settle(claim.key, PAID) == PAID


async def test_an_unknown_key_cannot_be_settled(till: Till) -> None:
    with pytest.raises(NotFound):
        await till.ledger.settle("at_none", PAID)


@pytest.mark.parametrize(
    "other",
    [
        charge(amount=100_001),
        charge(currency="USD"),
        charge(attempt=attempt(method="pm_2")),
        charge(attempt=attempt(trigger=Trigger.OPERATOR)),
    ],
    ids=["amount", "currency", "method", "trigger"],
)
@pytest.mark.parametrize("is_settled", [False, True])
async def test_a_sent_key_is_refused_for_anything_else(till: Till, other: ChargeInput, is_settled: bool) -> None:
    claim = await till.send(charge())
    if is_settled:
        await till.ledger.settle(claim.key, PAID)
    with pytest.raises(Conflict):
        await till.admit(other)


async def test_a_hard_decline_condemns_the_method_for_every_subscription_of_the_customer(till: Till) -> None:
    claim = await till.send(charge())
    await till.ledger.settle(claim.key, STOLEN, claim=claim)
    refused = await till.refusal(charge("sub-2"))
    assert (refused.kind, refused.raw_code) == (OutcomeKind.METHOD_REFUSED, "STOLEN_CARD")
    await till.claim(charge("sub-3", attempt=attempt(subscription="sub-3", method="pm_2")))
    await till.claim(charge("sub-4", "cust-2"))


async def test_a_soft_decline_condemns_nothing(till: Till) -> None:
    claim = await till.send(charge())
    await till.ledger.settle(claim.key, POOR, claim=claim)
    await till.claim(charge("sub-2"))


async def test_a_released_attempt_goes_again_under_its_key(till: Till) -> None:
    first = await till.send(charge())
    await till.ledger.release(first)
    second = await till.send(charge(), "second")
    assert second.key == first.key
    assert second.epoch > first.epoch
    assert len(await till.ledger.attempts_of("demo", "sub-1")) == 1


async def test_a_release_by_one_who_lost_the_claim_changes_nothing(till: Till) -> None:
    stalled = await till.claim(charge(), "stalled")
    await till.end_lease(stalled.key)
    other = await till.send(charge(), "other")
    await till.ledger.release(stalled)
    row = await till.ledger.attempt(other.key)
    assert row is not None
    assert (row.status, row.epoch) == ("sent", other.epoch)


@pytest.mark.parametrize("kind", [OutcomeKind.PENDING, OutcomeKind.UNKNOWN])
async def test_what_is_not_settled_is_returned_as_it_is_and_holds_no_lease(till: Till, kind: OutcomeKind) -> None:
    claim = await till.send(charge())
    await till.ledger.settle(claim.key, outcome(kind, provider_payment_id="pay_1"), claim=claim)
    assert not await till.ledger.has_live_lease(claim.key)
    assert (await till.refusal(charge())).kind is kind
    assert await till.events() == []


async def test_an_unsettled_word_of_one_who_lost_the_claim_is_not_written(till: Till) -> None:
    stalled = await till.claim(charge(), "stalled")
    await till.end_lease(stalled.key)
    other = await till.send(charge(), "other")
    await till.ledger.settle(stalled.key, outcome(OutcomeKind.UNKNOWN), claim=stalled)
    assert await till.ledger.has_live_lease(other.key)


async def test_a_pending_payment_is_found_by_its_id_and_settled_once(till: Till) -> None:
    claim = await till.send(charge())
    pending = outcome(OutcomeKind.PENDING, provider_payment_id="pay_1")
    await till.ledger.settle(claim.key, pending, claim=claim)
    row = await till.ledger.attempt_by_payment("demo", "pay_1")
    assert row is not None
    assert row.key == claim.key
    await till.ledger.settle(claim.key, PAID)
    settled = await till.ledger.attempt(claim.key)
    assert settled is not None
    assert (settled.status, settled.outcome, settled.business_at) == ("settled", PAID, AT)
