"""Customers and their cards at Omise: who may be charged with which card. Sheet B2.1. SPEC 12.

A token is good for one use. What it became is noted in the customer's metadata, so that later attempts under the
same token find the card. Metadata are sent whole: whether Omise merges or replaces them is not published.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from dunning.providers.base import Mandate, MandateRequest, MandateStatus, ProviderRefused, ProviderUnavailable
from dunning.providers.omise_client import OmiseClient, read, required
from dunning.providers.omise_requests import customer_body, options_of, wire_instant
from dunning.providers.omise_wire import (
    ACCOUNT,
    CARD_OF,
    ENDED,
    SUBSCRIPTION,
    TOKEN,
    WireCard,
    WireCustomer,
    mandate_of,
    text_in,
)

TOKEN_PREFIX = "tokn_"  # noqa: S105 - what a token begins with
LOST_FOR = timedelta(days=8)
"""How far back a customer is searched for whose making was answered too late: longer than an activation may take."""
_SPENT = ("used_token", "invalid_card_token")
MISSING_CARD = "missing_card"
EXPIRED_CARD = "expired_card"


class Customers:
    """One account's customers."""

    def __init__(self, client: OmiseClient) -> None:
        self._client = client

    async def read(self, customer_id: str) -> WireCustomer:
        """A customer; raises `ProviderUnavailable` or `ProviderRefused`."""
        return read(WireCustomer, required(await self._client.get(_path(customer_id))))

    async def authorise(self, request: MandateRequest) -> Mandate:
        """The customer of these terms, with a card that may be charged.

        Raises:
            ProviderUnavailable: Omise could not be asked.
            ProviderRefused: there is no usable card, or what was given is spent, wrong or missing.
        """
        options = options_of(request)
        if options.card_token is not None and options.customer_id is None:
            made = await self._make(request, options.card_token)
        elif options.customer_id is not None:
            made = await self._adopt(options.customer_id, options.card_token)
        else:
            raise ProviderRefused(MISSING_CARD, "neither a card's token nor a customer was given")
        await self._require_usable(made, request.business_at)
        return mandate_of(made)

    async def card_for(self, customer_id: str, token: str) -> str:
        """The card to charge: a card's id as it is, a token by attaching it unless it was attached before.

        Raises:
            ProviderUnavailable: Omise could not be asked; nothing was charged.
            ProviderRefused: the token is spent or wrong, or the customer unknown.
        """
        if not token.startswith(TOKEN_PREFIX):
            return token
        customer = await self.read(customer_id)
        return customer.card_of(token) or await self._attach(customer, token)

    async def make_default(self, customer_id: str, token: str) -> str:
        """Make a card, or a token's card, the default one; gives the card's id."""
        card = await self.card_for(customer_id, token)
        await self._patch(customer_id, {"default_card": card})
        return card

    async def end(self, customer_id: str, reason: str) -> None:
        """Note that nothing may be charged any more."""
        try:
            customer = await self.read(customer_id)
        except ProviderRefused:
            return  # gone is ended
        if mandate_of(customer).status is not MandateStatus.ENDED:
            await self._patch(customer_id, {"metadata": {**customer.metadata, ENDED: reason or "ended"}})

    async def _make(self, request: MandateRequest, token: str) -> WireCustomer:
        reply = await self._client.send("POST", "/customers", customer_body(request, token))
        try:
            return read(WireCustomer, required(reply))
        except ProviderRefused as refused:
            # A spent token may have been spent by an earlier try of ours whose answer was lost.
            lost = await self._made_before(request, token) if refused.code in _SPENT else None
            if lost is None:
                raise
            return lost

    async def _made_before(self, request: MandateRequest, token: str) -> WireCustomer | None:
        wanted = {SUBSCRIPTION: request.subscription, ACCOUNT: request.account, TOKEN: token}
        since = wire_instant(datetime.now(UTC) - LOST_FOR)
        query = {"from": since, "order": "reverse_chronological"}
        async for one in self._client.rows("/customers", WireCustomer, **query):
            is_ours = all(one.metadata.get(name) == value for name, value in wanted.items())
            if is_ours and mandate_of(one).status is MandateStatus.AUTHORIZED:
                return one
        return None

    async def _adopt(self, customer_id: str, token: str | None) -> WireCustomer:
        """An existing customer, taken on again should we have ended with them before."""
        customer = await self.read(customer_id)
        if customer.deleted:
            raise ProviderRefused("not_found", f"customer {customer_id} was deleted")
        if text_in(customer.metadata, ENDED) is not None:
            customer = await self._patch(customer_id, {"metadata": {**customer.metadata, ENDED: ""}})
        if token is None:
            return customer
        await self.make_default(customer_id, token)
        return await self.read(customer_id)

    async def _attach(self, customer: WireCustomer, token: str) -> str:
        """Attach a token; which card it became shows only in the list of cards."""
        before = await self._cards(customer.id)
        await self._patch(customer.id, {"card": token})
        new = await self._cards(customer.id) - before
        if len(new) != 1:
            raise ProviderUnavailable("it cannot be told which card the token became")
        card = new.pop()
        # Read again: the note must not undo what somebody else wrote meanwhile.
        metadata = (await self.read(customer.id)).metadata
        await self._patch(customer.id, {"metadata": {**metadata, CARD_OF + token: card}})
        return card

    async def _cards(self, customer_id: str) -> set[str]:
        return {one.id async for one in self._client.rows(f"{_path(customer_id)}/cards", WireCard) if not one.deleted}

    async def _patch(self, customer_id: str, body: dict[str, Any]) -> WireCustomer:
        return read(WireCustomer, required(await self._client.send("PATCH", _path(customer_id), body)))

    async def _require_usable(self, customer: WireCustomer, at: datetime) -> None:
        if customer.default_card is None:
            raise ProviderRefused(MISSING_CARD, f"customer {customer.id} has no default card")
        card = customer.stored(customer.default_card)
        if card is None:
            path = f"{_path(customer.id)}/cards/{quote(customer.default_card, safe='')}"
            card = read(WireCard, required(await self._client.get(path)))
        if card.deleted:
            raise ProviderRefused(MISSING_CARD, f"the default card of customer {customer.id} was deleted")
        if card.is_expired(at):
            raise ProviderRefused(EXPIRED_CARD, f"the default card of customer {customer.id} has expired")


def _path(customer_id: str) -> str:
    """An id that came from outside never becomes a path of its own."""
    return f"/customers/{quote(customer_id, safe='')}"
