"""Attempts to admit, claims made of them, and the database's clock moved by SQL instead of waiting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from dunning.domain.attempts import Attempt, Outcome, OutcomeKind, Trigger, attempt_key
from dunning.domain.declines import DeclineClass
from dunning.ledger import Ledger, Limits, Resending
from dunning.ledger.models import Admission, ChargeInput, Claim

AT = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
WIDE = Limits(max_in_flight=1000, requests_per_second=1000)


def attempt(obligation: str = "1", number: int = 1, subscription: str = "sub-1", **changes: Any) -> Attempt:
    """One try as the core plans it."""
    key = attempt_key("demo", subscription, 1, obligation, number)
    values = {"trigger": Trigger.DUE, "method": "pm_1", "planned_at": AT, "because": "it is due", **changes}
    return Attempt(number=number, key=key, **values)


def charge(subscription: str = "sub-1", customer: str = "cust-1", **changes: Any) -> ChargeInput:
    """The input of an admission; `obligation` and `attempt` may be among the changes."""
    obligation = changes.pop("obligation", "1")
    values: dict[str, Any] = {
        "account": "demo",
        "generation": 1,
        "attempt": attempt(obligation, subscription=subscription),
        "amount": 100_000,
        "currency": "IDR",
        "description": "Pro plan",
        "reference": f"sub_{subscription}",
        "business_at": AT,
        **changes,
    }
    return ChargeInput(subscription=subscription, customer=customer, obligation=obligation, **values)


def outcome(kind: OutcomeKind, **changes: Any) -> Outcome:
    """What an attempt came to."""
    return Outcome(kind=kind, at=AT, **changes)


PAID = outcome(OutcomeKind.SUCCEEDED, provider_payment_id="pay_1")
POOR = outcome(OutcomeKind.DECLINED, raw_code="INSUFFICIENT_FUNDS", klass=DeclineClass.SOFT)
STOLEN = outcome(OutcomeKind.DECLINED, raw_code="STOLEN_CARD", klass=DeclineClass.HARD)


class Till:
    """A ledger with short words, and the hands of the database's clock."""

    def __init__(self, ledger: Ledger, url: str) -> None:
        self.ledger = ledger
        self.url = url

    async def admit(
        self,
        request: ChargeInput,
        owner: str = "one",
        limits: Limits = WIDE,
        resending: Resending | None = None,
    ) -> Admission:
        return await self.ledger.admit(request, owner=owner, limits=limits, resending=resending)

    async def claim(self, request: ChargeInput, owner: str = "one", **more: Any) -> Claim:
        """Admit what must be admitted."""
        found = (await self.admit(request, owner, **more)).claim
        assert found is not None
        return found

    async def refusal(self, request: ChargeInput, owner: str = "two", **more: Any) -> Outcome:
        """Admit what must not be admitted."""
        found = await self.admit(request, owner, **more)
        assert found.claim is None
        assert found.outcome is not None
        return found.outcome

    async def send(self, request: ChargeInput, owner: str = "one", **more: Any) -> Claim:
        """Claim it, and pass the moment before the first byte."""
        claim = await self.claim(request, owner, **more)
        await self.ledger.mark_sent(claim)
        return claim

    async def end_lease(self, key: str) -> None:
        """As if the lease had run out a second ago."""
        await self.sql("update attempts set lease_until = clock_timestamp() - interval '1 second' where key = %s", key)

    async def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement beside the ledger."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall() if cursor.description else []

    async def events(self, subscription: str = "sub-1") -> list[tuple[int, str]]:
        """(sequence, type) of a subscription's events."""
        return [(e["sequence"], e["type"]) for e in await self.ledger.events_of("demo", subscription)]


def waited(found: Outcome) -> timedelta:
    """How long a deferred attempt is put off."""
    assert found.until is not None
    return found.until - AT
