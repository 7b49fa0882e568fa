"""A process that is frozen between `sent_at` and its first byte sends nothing when it wakes too late. SPEC 13."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from dunning.domain.attempts import OutcomeKind, Trigger
from dunning.ledger import Ledger, attempts
from dunning.ledger.models import Admission, ChargeInput, Claim
from dunning.providers import sending
from tests.charging.test_charging import Shop, shop
from tests.ledger.till import attempt, charge

__all__ = ["shop"]
pytestmark = pytest.mark.server
LEASE = attempts.LEASE.total_seconds()


class Frozen:
    """Right after `sent_at` is committed, the holder's clock jumps; `meanwhile` is what others do in that time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.at, self.is_over = 1000.0, False
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        mark_sent = Ledger.mark_sent

        async def stall(ledger: Ledger, claim: Claim) -> None:
            await mark_sent(ledger, claim)
            if not self.is_over:
                self.is_over = True
                self.at += seconds
                if self.meanwhile is not None:
                    await self.meanwhile()

        monkeypatch.setattr(Ledger, "mark_sent", stall)
        monkeypatch.setattr(sending, "now", lambda: self.at)


async def end_lease(shop: Shop) -> None:
    await shop.rows("update attempts set lease_until = clock_timestamp() returning key")


async def test_who_wakes_after_the_lease_sends_nothing_and_the_same_key_goes_later(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.agree("SUCCEEDED")
    Frozen(monkeypatch, LEASE)
    found = await shop.charge()
    assert (found.kind, await shop.book()) == (OutcomeKind.OUTAGE, [])
    assert (await shop.charge()).kind is OutcomeKind.SUCCEEDED
    assert await shop.book() == ["succeeded"]


async def test_who_wakes_within_the_lease_sends(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    await shop.agree("SUCCEEDED")
    Frozen(monkeypatch, LEASE - 1)
    assert (await shop.charge()).kind is OutcomeKind.SUCCEEDED


def repeated() -> ChargeInput:
    """The attempt that follows one which was closed as absent."""
    return charge(attempt=attempt(number=2, trigger=Trigger.DUE, retry_of=1), known_payments=())


async def test_who_wakes_after_its_attempt_was_closed_as_absent_adds_no_second_charge(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.agree("SUCCEEDED", "SUCCEEDED")
    frozen = Frozen(monkeypatch, 26 * 3600)
    told: list[OutcomeKind] = []

    async def others_go_on() -> None:
        await end_lease(shop)
        told.append((await shop.look_up(after=timedelta(hours=25), may_close_absent=True)).kind)
        told.append((await shop.charge(repeated())).kind)

    frozen.meanwhile = others_go_on
    await shop.charge()
    assert told == [OutcomeKind.ABSENT, OutcomeKind.SUCCEEDED]
    assert await shop.book() == ["succeeded"]
    first, second = await shop.ledger.attempts_of("demo", "sub-1")
    assert (first.number, first.outcome and first.outcome.kind) == (1, OutcomeKind.ABSENT)
    assert (second.number, second.outcome and second.outcome.kind) == (2, OutcomeKind.SUCCEEDED)


async def test_the_holder_counts_from_before_it_asked_so_its_lease_never_outlives_the_ledgers(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.agree("SUCCEEDED")
    clock = [1000.0]
    monkeypatch.setattr(sending, "now", lambda: clock[0])
    admit = Ledger.admit

    async def slowly(ledger: Ledger, *args: Any, **kwargs: Any) -> Admission:
        clock[0] += LEASE
        return await admit(ledger, *args, **kwargs)

    monkeypatch.setattr(Ledger, "admit", slowly)
    assert (await shop.charge()).kind is OutcomeKind.OUTAGE
    assert await shop.book() == []


async def test_a_change_of_method_that_could_collect_is_held_back_too(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.agree("INSUFFICIENT_FUNDS", "SUCCEEDED", on_hold_after_failure=True)
    assert (await shop.charge()).kind is OutcomeKind.DECLINED
    Frozen(monkeypatch, LEASE)
    made = attempt(number=2, method="pm_2", trigger=Trigger.PAYMENT_METHOD_UPDATED)
    found = await shop.charge(charge(attempt=made, is_method_attached=False))
    assert found.kind is OutcomeKind.UNKNOWN
    assert await shop.book() == ["failed"]
