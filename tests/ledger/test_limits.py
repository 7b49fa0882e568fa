"""One charge per customer, so many per account, so many requests a second; only live leases count. SPEC 14."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from dunning.domain.attempts import OutcomeKind
from dunning.ledger import Limits
from tests.ledger.till import PAID, Till, charge, outcome, waited

pytestmark = pytest.mark.server


async def test_a_customer_has_one_charge_in_flight_over_all_subscriptions(till: Till) -> None:
    found = await asyncio.gather(*(till.admit(charge(f"sub-{n}"), f"owner-{n}") for n in range(10)))
    assert [a.claim is not None for a in found].count(True) == 1
    others = [a.outcome for a in found if a.outcome is not None]
    assert {o.kind for o in others} == {OutcomeKind.DEFERRED}
    assert all("customer" in o.because for o in others)


async def test_a_customers_next_charge_goes_once_the_first_is_settled(till: Till) -> None:
    claim = await till.send(charge("sub-1"))
    assert (await till.refusal(charge("sub-2"))).kind is OutcomeKind.DEFERRED
    await till.ledger.settle(claim.key, PAID, claim=claim)
    await till.claim(charge("sub-2"))


@pytest.mark.parametrize("kind", [OutcomeKind.PENDING, OutcomeKind.UNKNOWN])
async def test_what_is_pending_or_unknown_blocks_its_own_obligation_alone(till: Till, kind: OutcomeKind) -> None:
    claim = await till.send(charge("sub-1"))
    await till.ledger.settle(claim.key, outcome(kind), claim=claim)
    await till.claim(charge("sub-2"))
    assert (await till.refusal(charge("sub-1"))).kind is kind


async def test_an_account_has_so_many_charges_in_flight_and_no_more(till: Till) -> None:
    limits = Limits(max_in_flight=3, requests_per_second=1000)
    requests = [charge(f"sub-{n}", f"cust-{n}") for n in range(12)]
    found = await asyncio.gather(*(till.admit(r, f"o-{n}", limits) for n, r in enumerate(requests)))
    assert [a.claim is not None for a in found].count(True) == 3
    assert await till.ledger.live_leases("demo") == 3


async def test_a_dead_workers_slot_is_free_when_its_lease_ends(till: Till) -> None:
    limits = Limits(max_in_flight=1, requests_per_second=1000)
    claim = await till.send(charge("sub-1", "cust-1"), limits=limits)
    assert (await till.refusal(charge("sub-2", "cust-2"), limits=limits)).kind is OutcomeKind.DEFERRED
    await till.end_lease(claim.key)
    await till.claim(charge("sub-2", "cust-2"), limits=limits)


async def test_accounts_do_not_share_slots(till: Till) -> None:
    limits = Limits(max_in_flight=1, requests_per_second=1000)
    await till.claim(charge("sub-1"), limits=limits)
    await till.claim(charge("sub-9", account="other"), limits=limits)


async def test_the_bucket_empties_and_fills_by_the_databases_clock(till: Till) -> None:
    limits = Limits(max_in_flight=100, requests_per_second=0.01)
    await till.claim(charge("sub-1", "cust-1"), limits=limits)
    refused = await till.refusal(charge("sub-2", "cust-2"), limits=limits)
    assert "requests a second" in refused.because
    assert timedelta(seconds=90) < waited(refused) <= timedelta(seconds=100)
    await till.sql("update account_gates set refilled_at = refilled_at - interval '101 seconds'")
    await till.claim(charge("sub-2", "cust-2"), limits=limits)
    assert (await till.refusal(charge("sub-3", "cust-3"), limits=limits)).kind is OutcomeKind.DEFERRED


async def test_a_quiet_day_saves_no_more_than_one_burst(till: Till) -> None:
    limits = Limits(max_in_flight=100, requests_per_second=2)
    await till.claim(charge("sub-0", "cust-0"), limits=limits)
    day = "update account_gates set refilled_at = clock_timestamp() - interval '1 day'"
    await till.sql(day)
    await till.claim(charge("sub-1", "cust-1"), limits=limits)
    left = await till.sql("select tokens from account_gates")
    assert left == [(1.0,)]


async def test_what_was_deferred_used_no_request_of_the_bucket(till: Till) -> None:
    limits = Limits(max_in_flight=100, requests_per_second=1000)
    await till.claim(charge("sub-1"), limits=limits)
    before = await till.sql("select tokens from account_gates")
    await till.refusal(charge("sub-2"), limits=limits)
    assert await till.sql("select tokens from account_gates") == before
