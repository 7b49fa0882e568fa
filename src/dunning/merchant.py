"""The verbs of the HTTP API, for a backend in Python that speaks to Temporal and the ledger itself. SPEC 3, 9.

A `Merchant` is one merchant account, seen by nobody else, with the same verbs and the same meaning as `/v1`:

    dunning = DunningClient(await connect(), await Ledger.open(url))
    shop = dunning.merchant("demo")
    started = await shop.create(subscription)
    result = await shop.command("sub-4711", Pause(command_id="support-1"))

Everything that changes something may be asked again: `create` by its id and terms, a command by its `command_id`.
Amounts are integers in minor units, instants aware UTC datetimes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx

from dunning.domain.commands import Command, CommandResult
from dunning.domain.contact import NoticeKind
from dunning.domain.event_catalogue import CATALOGUE, EventKind
from dunning.domain.messages import EventType
from dunning.domain.occurrences import Occurrence, occurrences
from dunning.domain.outcomes import parse_outcomes
from dunning.domain.preview import Foretold
from dunning.domain.script import Script
from dunning.domain.terms import Channel, Subscription
from dunning.errors import ConfigurationError, Fault, InvalidInput, NotFound
from dunning.ledger.models import Stored, StoredAttempt, StoredNotice
from dunning.ledger.outbox import UndeliveredEvent
from dunning.ledger.pages import StoredCommand, StoredEvent, Wanted
from dunning.ledger.reach import Reach
from dunning.outgoing import Delivered, endpoint_of, example_envelope, post_event
from dunning.portal import portal_link
from dunning.previewing import CYCLES, foretell
from dunning.providers.registry import provider_for
from dunning.standing import Standing, standing_in_ledger, standing_of

if TYPE_CHECKING:
    from dunning.client import DunningClient, Started
    from dunning.settings import AccountSettings

PAGE = 50


class Merchant:
    """One merchant account. Made by `DunningClient.merchant`."""

    def __init__(self, dunning: DunningClient, account: str, settings: AccountSettings | None = None) -> None:
        self._dunning = dunning
        self._settings = settings
        self.account = account

    # --- subscriptions --------------------------------------------------------------------------------

    async def create(self, subscription: Subscription, *, restart: bool = False) -> Started:
        """Write a subscription down and start it; the same one again changes nothing.

        Args:
            restart: begin a failed or inactive one anew, with these terms.

        Raises:
            InvalidInput: it belongs to another merchant account.
            Conflict: the id exists with other terms, or cannot be restarted.
        """
        self._require_ours(subscription)
        return await self._dunning.start(subscription, restart=restart)

    async def create_and(
        self, subscription: Subscription, command: Command, *, restart: bool = False
    ) -> tuple[Started, CommandResult]:
        """The same, with a first command that the run takes up before it does anything else.

        Sent after `create`, the command would race with the first charge. Here both are one request to Temporal
        (update-with-start). Raises as `create` does.
        """
        self._require_ours(subscription)
        return await self._dunning.start_with(subscription, command, restart=restart)

    async def read(self, subscription: str, *, from_ledger: bool = False) -> Standing:
        """State, business time and what happens next: the run's own word, or the ledger's where none answers.

        Raises:
            NotFound: this account has no such subscription.
        """
        stored = await self._stored(subscription)
        return standing_in_ledger(stored) if from_ledger else await standing_of(self._dunning, stored)

    async def list(self, wanted: Wanted | None = None, *, after: str | None = None, limit: int = PAGE) -> list[Stored]:
        """Subscriptions by id; `after` is the last id of the page before."""
        return await self._dunning.ledger.page_of_subscriptions(
            self.account, wanted or Wanted(), after=after, limit=limit
        )

    async def occurrences(self, subscription: str, count: int = 12) -> Sequence[Occurrence]:
        """The next cycles, as the calendar stands now; none before the authorisation. Raises `NotFound`."""
        return occurrences((await self.read(subscription)).state, count)

    def preview(self, subscription: Subscription, outcomes: Sequence[str] = (), *, cycles: int = CYCLES) -> Foretold:
        """The exact future; nothing is written, nobody is asked. `outcomes`: one word for each attempt."""
        created = subscription.created_at or datetime.now(UTC).replace(microsecond=0)
        given = parse_outcomes(list(outcomes))
        return foretell(subscription, Script(), created_at=created, outcomes=given, cycles=cycles)

    # --- commands -------------------------------------------------------------------------------------

    async def command(self, subscription: str, command: Command) -> CommandResult:
        """Carry out a command: done, refused with the reason, or accepted and waiting for a charge on its way.

        Raises:
            NotFound: this account has no such subscription.
        """
        return await self._dunning.command(self.account, subscription, command)

    async def refund_order(self, order_id: str, *, command_id: str, revoke: bool = False) -> CommandResult:
        """Give a whole order back that is no payment of a subscription: done, refused with the reason, or accepted.

        Args:
            order_id: the provider's.
            revoke: what it bought is taken away as well.
        """
        return await self._dunning.orders(self.account).refund(order_id, command_id=command_id, revoke=revoke)

    async def command_result(self, subscription: str, command_id: str) -> StoredCommand:
        """What came of a command; its `result` is None while it waits. Raises `NotFound`."""
        found = await self._dunning.ledger.stored_command(self.account, command_id)
        if found is None or found.subscription != subscription:
            raise NotFound(f"no command {command_id!r} of subscription {subscription!r}")
        return found

    # --- customers ------------------------------------------------------------------------------------

    async def reach(self, customer: str) -> Reach:
        """What reaches a customer on which channels, and what is not wanted there. Raises `NotFound`."""
        return await self._dunning.ledger.reach(self.account, customer)

    async def replace_opt_outs(self, customer: str, opt_outs: Set[tuple[Channel, NoticeKind]]) -> Reach:
        """Make these a customer's opt-outs, each for a channel and a kind of notice. Raises `NotFound`."""
        ledger = self._dunning.ledger
        before = (await ledger.reach(self.account, customer)).refused
        for channel, kind in opt_outs - before:
            await ledger.opt_out(self.account, customer, channel, kind, source="client")
        for channel, kind in before - opt_outs:
            await ledger.opt_in(self.account, customer, channel, kind)
        return await ledger.reach(self.account, customer)

    # --- what happened --------------------------------------------------------------------------------

    async def attempts(self, subscription: str) -> Sequence[StoredAttempt]:
        """Every attempt ever made, oldest first. Raises `NotFound`."""
        await self._stored(subscription)
        return await self._dunning.ledger.attempts_of(self.account, subscription)

    async def notices(self, subscription: str) -> Sequence[StoredNotice]:
        """Every notice to the customer, by channel. Raises `NotFound`."""
        await self._stored(subscription)
        return await self._dunning.ledger.notices_of(self.account, subscription)

    async def events(self, subscription: str, *, after: int | None = None, limit: int = PAGE) -> Sequence[StoredEvent]:
        """Events to the backend in order; `after` is the last `sequence` of the page before. Raises `NotFound`."""
        await self._stored(subscription)
        position = None if after is None else (after,)
        return await self._dunning.ledger.page_of_events(self.account, subscription, after=position, limit=limit)

    # --- events ---------------------------------------------------------------------------------------

    def event_types(self) -> Mapping[EventType, EventKind]:
        """Every kind of event, with the model of its `data` and an example."""
        return CATALOGUE

    async def undelivered(
        self, *, after: tuple[datetime, str] | None = None, limit: int = PAGE
    ) -> Sequence[UndeliveredEvent]:
        """Events that were given up; `after` is (`undelivered_at`, `id`) of the last one of the page before."""
        return await self._dunning.ledger.page_of_undelivered(self.account, after=after, limit=limit)

    async def redeliver(self, event_id: str) -> None:
        """Deliver one event again. Raises `NotFound`."""
        if not await self._dunning.ledger.redeliver_event(self.account, event_id):
            raise NotFound(f"no event {event_id!r} in account {self.account!r}")

    async def redeliver_since(
        self, since: datetime, *, subscription: str | None = None, is_undelivered: bool = False
    ) -> int:
        """Deliver again what was written since then (machine clock); returns how many events that is."""
        return await self._dunning.ledger.redeliver_since(
            self.account, since, subscription=subscription, is_undelivered=is_undelivered
        )

    async def send_test_event(self) -> Delivered:
        """Send a signed `endpoint.test` to the account's endpoint now, and say what it answered.

        Raises:
            ConfigurationError: the client was made without the account's settings, or they name no endpoint.
        """
        endpoint = endpoint_of(self._settings)
        if endpoint is None:
            raise ConfigurationError(f"account {self.account!r} has no backend_url here: its events go nowhere")
        async with httpx.AsyncClient() as http:
            return await post_event(http, endpoint, example_envelope(self.account, datetime.now(UTC)))

    async def portal_link(self, subscription: str, *, return_url: str | None = None) -> str:
        """A fresh link to the customer's own page at the provider; the client has to know the account's settings.

        Raises:
            NotFound: this account has no such subscription.
            ConfigurationError: the client was made without the account's settings.
            ProviderRefused: the provider has no such page, or nobody has authorised charging yet.
            ProviderUnavailable: the provider could not be asked.
        """
        stored = await self._stored(subscription)
        if self._settings is None:
            raise ConfigurationError("the customer's page needs the account's settings: give them to `merchant(...)`")
        provider = provider_for(self._settings)
        try:
            return await portal_link(provider, stored, return_url=return_url)
        finally:
            await provider.aclose()

    async def _stored(self, subscription: str) -> Stored:
        return await self._dunning.ledger.read_subscription(self.account, subscription)

    def _require_ours(self, subscription: Subscription) -> None:
        if subscription.merchant_account != self.account:
            rule = f"must be {self.account!r}, the account of this client"
            raise InvalidInput([Fault("merchant_account", rule, subscription.merchant_account)])
