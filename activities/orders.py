"""Orders that a provider keeps itself: given back, and voided by others. SPEC 9, 12."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from temporalio import activity
from temporalio.exceptions import ApplicationError

from dunning.contract import ProviderFact
from dunning.domain.base import Value
from dunning.domain.commands import USED_FOR_ANOTHER, CommandResult
from dunning.ledger import Ledger
from dunning.ordering import RefundOrderInput, owner_of
from dunning.providers.base import MessageKind, PaymentProvider, ProviderRefused
from dunning.providers.orders import OrderProvider, VoidedOrder

REFUND_ORDER = "refund_order"
TAKE_VOIDED = "take_voided"
NO_ORDERS = "this merchant account's provider has no orders of its own: refund a payment of a subscription"


class RefundOrderNow(Value):
    """One order to give back, at an instant of the workflow's clock."""

    request: RefundOrderInput
    at: datetime


class TakeVoided(Value):
    """One page of what was voided since an instant."""

    account: str
    since: datetime
    page: str | None = None
    at: datetime


class VoidedTaken(Value):
    """How many orders the page held, and where the list goes on. `is_stale`: it has to be read from its beginning."""

    orders: int = 0
    next_page: str | None = None
    is_stale: bool = False


class OrderActivities:
    """One instance per worker; providers by merchant account."""

    def __init__(self, ledger: Ledger, providers: Mapping[str, PaymentProvider]) -> None:
        self._ledger = ledger
        self._providers = providers

    @activity.defn(name=REFUND_ORDER)
    async def refund_order(self, now: RefundOrderNow) -> CommandResult:
        """Give an order back, once for a command's id. An order is read first: what is done already is success.

        Raises what says that the provider could not be asked, or did not answer; it is tried again then.
        """
        asked = now.request
        begun = await self._ledger.begin_command(
            asked.account,
            owner_of(asked.order_id),
            command_id=asked.command_id,
            name=REFUND_ORDER,
            command={"name": REFUND_ORDER, "order": asked.order_id, "revoke": asked.revoke},
        )
        if begun.is_conflict:
            return CommandResult(command_id=asked.command_id, status="refused", reason=USED_FOR_ANOTHER)
        if begun.result is not None:
            return begun.result
        try:
            result = await self._refunded(asked, now.at)
        except ProviderRefused as refused:
            result = CommandResult(command_id=asked.command_id, status="refused", reason=str(refused))
        await self._ledger.conclude_command(asked.account, result)
        return result

    async def _refunded(self, asked: RefundOrderInput, at: datetime) -> CommandResult:
        provider = self._providers.get(asked.account)
        if not isinstance(provider, OrderProvider):
            return CommandResult(command_id=asked.command_id, status="refused", reason=NO_ORDERS)
        order = await provider.read_order(asked.order_id, business_at=at)
        owner = await self._ledger.find_subscription(asked.account, order.reference) if order.reference else None
        if owner is not None:
            because = f"the order is a payment of subscription {owner}: refund it there"
            return CommandResult(command_id=asked.command_id, status="refused", reason=because)
        order = await provider.refund_order(asked.order_id, revokes=asked.revoke, business_at=at)
        await self._ledger.book(asked.account, order.rows, subscription=None)
        detail = {
            "order": order.order_id,
            "refunded": str(order.refunded or order.amount),
            "currency": order.currency,
            "access": "taken away" if asked.revoke else "stays",
        }
        return CommandResult(command_id=asked.command_id, status="done", detail=detail)

    @activity.defn(name=TAKE_VOIDED)
    async def take_voided(self, request: TakeVoided) -> VoidedTaken:
        """Book one page of voided orders, and let the runs of their subscriptions read. Again changes nothing."""
        provider = self._providers.get(request.account)
        if not isinstance(provider, OrderProvider):
            message = f"merchant account {request.account!r} has no orders, or is not in this worker's settings"
            raise ApplicationError(message, type="configuration", non_retryable=True)
        try:
            page = await provider.voided(request.since, request.page)
        except ProviderRefused:
            if request.page is None:
                raise
            return VoidedTaken(is_stale=True)  # a page's token does not live long
        orders = await provider.read_orders(tuple(one.order_id for one in page.voided), business_at=request.at)
        rows = {order.order_id: order.rows for order in orders}
        for one in page.voided:
            subscription = await self._ledger.find_subscription(request.account, one.reference)
            async with self._ledger.together():
                await self._ledger.book(request.account, rows.get(one.order_id, ()), subscription=subscription)
                await self._note(request.account, one, subscription)
        return VoidedTaken(orders=len(page.voided), next_page=page.next_page)

    async def _note(self, account: str, one: VoidedOrder, subscription: str | None) -> None:
        """Like a message of the provider: stored once, and a run that it is about reads its purchase."""
        message_id = f"voided:{one.order_id}:{one.at.timestamp():.3f}"
        kind = MessageKind.PLAN if subscription is not None else MessageKind.OTHER
        fact = ProviderFact(message_id=message_id, kind=kind, occurred_at=one.at)
        await self._ledger.receive(
            account,
            message_id=message_id,
            kind=kind.value,
            raw_type=f"VOIDED ({one.because}, by {one.by}): {one.order_id}"[:200],
            reference=one.reference,
            subscription=subscription,
            fact=fact.model_dump(mode="json"),
        )
