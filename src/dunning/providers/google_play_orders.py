"""Orders at Google Play: read, refunded whole, and listed when somebody voided them. Sheet G.2.3, G.8."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dunning.domain import play_actions
from dunning.domain.books import RowKind
from dunning.providers.base import ProviderRefused
from dunning.providers.google_play_books import rows_of
from dunning.providers.google_play_client import VOIDED_DAYS, PlayClient, from_millis
from dunning.providers.google_play_wire import WireOrder, WireVoided
from dunning.providers.orders import OrderRead, VoidedOrder, VoidedPage

_DONE = ("REFUNDED", "PENDING_REFUND")
_REASONS = (
    "other",
    "remorse",
    "not received",
    "defective",
    "accidental purchase",
    "fraud",
    "friendly fraud",
    "chargeback",
    "not acknowledged",
)
_SOURCES = ("the customer", "the developer", "Google")
_MARGIN = timedelta(hours=1)
"""Google counts the 30 days by its own clock."""


class PlayOrders:
    """The part of the adapter that knows orders; the class that inherits has the client."""

    client: PlayClient

    async def read_order(self, order_id: str, *, business_at: datetime) -> OrderRead:
        """One order, `OrderProvider`."""
        return order_of(await self.client.order(order_id, business_at=business_at))

    async def read_orders(self, order_ids: tuple[str, ...], *, business_at: datetime) -> tuple[OrderRead, ...]:
        """Many orders, `OrderProvider`."""
        return tuple(order_of(one) for one in await self.orders_shown(list(order_ids), business_at))

    async def refund_order(self, order_id: str, *, revokes: bool, business_at: datetime) -> OrderRead:
        """Give one order back, whole and once, `OrderProvider`."""
        order = await self.client.order(order_id, business_at=business_at)
        if order.state not in _DONE:
            because = play_actions.refuses_refund(order.read(), business_at)
            if because is not None:
                raise ProviderRefused("not_offered", because)
            await self.client.refund(order_id, revokes=revokes, business_at=business_at)
            order = await self.client.order(order_id, business_at=business_at)
        return order_of(order)

    async def voided(self, since: datetime, page: str | None) -> VoidedPage:
        """Voided orders, subscriptions' included, `OrderProvider`."""
        oldest = datetime.now(UTC) - timedelta(days=VOIDED_DAYS) + _MARGIN
        found = await self.client.voided_page(max(since, oldest), page)
        following = found.token_pagination.next_page_token if found.token_pagination else None
        return VoidedPage(voided=tuple(_voided(one) for one in found.voided_purchases), next_page=following or None)

    async def orders_shown(self, ids: list[str], business_at: datetime) -> tuple[WireOrder, ...]:
        """These orders; one that Google does not show (yet) fails all of them, so then each is read alone."""
        if not ids:
            return ()
        try:
            return await self.client.orders(ids, business_at=business_at)
        except ProviderRefused:
            found = [await self.order_shown(one, business_at) for one in ids]
            return tuple(one for one in found if one is not None)

    async def order_shown(self, order_id: str, business_at: datetime) -> WireOrder | None:
        """One order; None where Google shows none."""
        try:
            return await self.client.order(order_id, business_at=business_at)
        except ProviderRefused:
            return None


def order_of(wire: WireOrder) -> OrderRead:
    """An order in our words."""
    read, rows = wire.read(), rows_of(wire)
    return OrderRead(
        order_id=wire.order_id,
        reference=wire.purchase_token,
        is_subscription=read.is_subscription,
        amount=read.total,
        refunded=sum(row.amount for row in rows if row.kind is RowKind.REFUND),
        is_refunded=wire.state in _DONE,
        currency=read.currency,
        rows=rows,
    )


def _voided(wire: WireVoided) -> VoidedOrder:
    return VoidedOrder(
        order_id=wire.order_id,
        reference=wire.purchase_token,
        at=from_millis(wire.voided_time_millis),
        because=_word(_REASONS, wire.voided_reason, "reason"),
        by=_word(_SOURCES, wire.voided_source, "source"),
    )


def _word(words: tuple[str, ...], number: int, what: str) -> str:
    return words[number] if 0 <= number < len(words) else f"{what} {number}"
