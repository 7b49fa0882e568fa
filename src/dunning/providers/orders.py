"""Orders of a provider that keeps them itself, of subscriptions and one-time: refunded, voided. SPEC 9, 12."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol, runtime_checkable

from dunning.domain.base import Value
from dunning.domain.books import BookRow


class OrderRead(Value):
    """An order as it was read. Minor units.

    Attributes:
        reference: the provider's id of the purchase that it belongs to.
        refunded: what was given back of it so far.
        rows: for the books.
    """

    order_id: str
    reference: str | None = None
    is_subscription: bool = False
    amount: int
    refunded: int = 0
    is_refunded: bool = False
    currency: str
    rows: tuple[BookRow, ...] = ()


class VoidedOrder(Value):
    """An order that was voided, by whomever: refunded, charged back, canceled. `because`, `by`: in words."""

    order_id: str
    reference: str
    at: datetime
    because: str
    by: str


class VoidedPage(Value):
    """Some of the voided orders, oldest question first; `next_page`: where the list goes on."""

    voided: tuple[VoidedOrder, ...] = ()
    next_page: str | None = None


@runtime_checkable
class OrderProvider(Protocol):
    """An adapter whose provider has orders of its own; beside `PaymentProvider`.

    Every method raises `ProviderUnavailable` (surely nothing changed) or `ProviderRefused` (asking again is useless);
    `refund_order` also `PlanUnclear` (perhaps it took effect: read it).
    """

    async def read_order(self, order_id: str, *, business_at: datetime) -> OrderRead:
        """One order."""
        ...

    async def read_orders(self, order_ids: tuple[str, ...], *, business_at: datetime) -> tuple[OrderRead, ...]:
        """Many; what the provider does not show is left out."""
        ...

    async def refund_order(self, order_id: str, *, revokes: bool, business_at: datetime) -> OrderRead:
        """Give the whole order back and read it; one that was given back already is success.

        `revokes`: what it bought is taken away too; a subscription's only by its latest order.
        """
        ...

    async def voided(self, since: datetime, page: str | None) -> VoidedPage:
        """Orders that were voided since then, a page at a time; `since` may be 30 days back."""
        ...
