"""What the contracts of all adapters ask with: a rig, an order, a look-up, a mandate."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from dunning.domain.terms import Subscription
from dunning.providers.base import ChargeRequest, Mandate, MandateRequest, PaymentProvider, PaymentQuery
from tests.builders import subscription

AT = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
"""Business time of these stories; the provider's machine clock is wherever it is."""


@dataclass(frozen=True)
class Delivery:
    """A message as the provider sent it."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Row:
    """One line of the provider's own charge book."""

    payment_id: str
    key: str | None
    status: str
    amount: int
    metadata: dict[str, Any] = field(default_factory=dict)


class Rig(Protocol):
    """One adapter against its sandbox."""

    provider: PaymentProvider
    soft_code: str
    secret: str

    async def agree(self, *outcomes: str, dues: str = "", on_hold: bool = False) -> str:
        """An authorised subscription of "ours-1" whose charges end so; gives the provider's reference."""
        ...

    async def fault(self, kind: str, on: str = "charge", **more: Any) -> None:
        """The next matching requests meet this fault."""
        ...

    async def no_faults(self) -> None:
        """The faults that are still to come are taken back."""
        ...

    async def book(self) -> list[Row]:
        """Every charge that the provider knows."""
        ...

    async def quiet(self) -> None:
        """Nothing is on its way any more."""
        ...

    def mandate_request(self, **changes: Any) -> MandateRequest:
        """What `create_mandate` is asked for "ours-1"."""
        ...

    async def authorise(self) -> Mandate:
        """A new mandate of "ours-1" for which product and customer have done all that they have to."""
        ...

    async def pay_by_link(self, reference: str, amount: int) -> None:
        """A payment without our key."""
        ...

    def unreachable(self) -> PaymentProvider:
        """The same adapter where nobody listens."""
        ...

    def deliveries(self) -> list[Delivery]:
        """The messages that came in so far, oldest first."""
        ...


def order(reference: str, key: str = "at_1", amount: int = 100_000, **changes: Any) -> ChargeRequest:
    fields: dict[str, Any] = {
        "reference": reference,
        "key": key,
        "amount": amount,
        "currency": "IDR",
        "description": "Pro plan",
        "method_token": "pm_1",
        "retry_attempt": 0,
        "planned_at": AT,
        "business_at": AT + timedelta(seconds=4),
        "subscription": "ours-1",
        "obligation": "1",
        "metadata": {"campaign": "spring"},
    }
    return ChargeRequest(**{**fields, **changes})


def asking(reference: str, key: str = "at_1", amount: int = 100_000, **changes: Any) -> PaymentQuery:
    fields: dict[str, Any] = {
        "reference": reference,
        "key": key,
        "amount": amount,
        "currency": "IDR",
        "since": datetime.now(UTC),
    }
    return PaymentQuery(**{**fields, **changes})


def mandate_request(given: Subscription | None = None, **changes: Any) -> MandateRequest:
    options = {"country": "ID", "product_id": "pdt_1"}
    given = given or subscription(id="ours-1", payment_methods=[], provider_options=options)
    fields: dict[str, Any] = {
        "subscription": "ours-1",
        "account": "demo",
        "terms": given.terms(),
        "contacts": given.contacts(),
        "business_at": AT,
    }
    return MandateRequest(**{**fields, **changes})
