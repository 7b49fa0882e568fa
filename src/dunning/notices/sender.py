"""One notice on all its channels, each once. SPEC 11.

Each channel is claimed in the ledger before it is sent and settled after. WhatsApp cannot recognise a repeat, so
what may have been sent is never sent again; a repeated mail has the same Message-ID, a repeated SMS the same id.
Waiting is not done here: what has to wait goes back to the core with an instant, and is handed over again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import quote

import httpx

from dunning.domain.contact import NoticeKind, kind_of
from dunning.domain.messages import PlannedNotice
from dunning.domain.quiet import is_quiet, next_allowed
from dunning.domain.terms import Channel, Contacts, Occasion
from dunning.ledger import Ledger
from dunning.ledger.notices import REACHED, NoticeClaim, NoticeToClaim
from dunning.ledger.reach import Reach
from dunning.notices.channels import BACK_OFF, UNCLEAR_FOR, Message, Tried, channels_of
from dunning.notices.mailing import MailPool
from dunning.notices.models import NoticeOutcome, SendNoticeInput
from dunning.notices.render import Brand, CannotBeWritten, Rendered, render
from dunning.notices.unsubscribing import unsubscribe_url
from dunning.settings import AccountSettings

REACHED_NOBODY = frozenset({"failed", "unclear", "skipped"})
STAND_INS = (Channel.WHATSAPP, Channel.SMS)
"""What stands in where e-mail would and its address is known to reach nobody, in this order."""

LATE = timedelta(minutes=10)
"""A notice that is sent so long after its planned instant is held against the quiet hours again."""

TELL_OF_FAILURE = frozenset(
    {Occasion.FAILED, Occasion.RETRY_REMINDER, Occasion.ACTION_REQUIRED, Occasion.ON_HOLD, Occasion.STOPPED}
)
"""What is untrue as soon as the payment is there."""


@dataclass(frozen=True)
class _Sending:
    """One notice being sent: what was asked, who gets it, and what is said (None: it could not be written)."""

    request: SendNoticeInput
    reach: Reach
    rendered: Rendered | None
    fault: str
    untrue: str | None
    unsubscribe: str | None

    @property
    def notice(self) -> PlannedNotice:
        return self.request.notice

    @property
    def zone(self) -> str:
        return self.reach.contacts.time_zone

    def place(self, channel: Channel) -> tuple[str, str, str, str]:
        return (self.request.account, self.request.subscription, self.notice.key, channel.value)


class Sender:
    """Sends the notices of one merchant account; `aclose` ends its connections."""

    def __init__(self, ledger: Ledger, account: AccountSettings, http: httpx.AsyncClient) -> None:
        self._ledger = ledger
        self._account = account
        look = account.brand
        self._brand = Brand(
            name=account.merchant_name,
            colour=look.colour,
            logo_url=look.logo_url,
            support_address=look.support_address,
        )
        self._pool = MailPool(account.smtp) if account.smtp is not None else None
        self._channels = channels_of(account, http, self._pool, self._brand)

    async def aclose(self) -> None:
        """Close what is kept open between notices."""
        if self._pool is not None:
            await self._pool.aclose()

    async def send(self, request: SendNoticeInput) -> NoticeOutcome:
        """Send on every listed channel; another stands in when none of them reached the customer."""
        sending = await self._begin(request)
        listed = request.notice.channels
        tried = {channel: await self._on(channel, sending) for channel in listed}
        if listed and all(one.status in REACHED_NOBODY for one in tried.values()):
            wait = self._wait_for_word(sending, tried)
            if wait is not None:
                return _outcome(sending, {**tried, **wait})
            await self._stand_in(sending, tried)
        return _outcome(sending, tried)

    async def _begin(self, request: SendNoticeInput) -> _Sending:
        reach = await self._ledger.reach(request.account, request.customer)
        rendered, fault, unsubscribe = None, "", None
        if kind_of(request.notice) is NoticeKind.ROUTINE and self._account.unsubscribe is not None:
            unsubscribe = unsubscribe_url(self._account.unsubscribe, request.account, request.customer)
        try:
            rendered = render(
                request.notice, reach.contacts, self._brand, link=self._link(request), unsubscribe=unsubscribe
            )
        except CannotBeWritten as failure:
            fault = str(failure)
        untrue = await self._untrue_because(request)
        return _Sending(request, reach, rendered, fault, untrue, unsubscribe)

    async def _untrue_because(self, request: SendNoticeInput) -> str | None:
        """What became untrue on the way here: between the plan and this moment a worker may have been away."""
        notice, now = request.notice, request.business_at
        announced = notice.facts.get("next_attempt_at")
        if announced and datetime.fromisoformat(str(announced)) <= now:
            return "the attempt that it announces has come in the meantime"
        due = notice.facts.get("next_due_at")
        is_ahead = notice.occasion in (Occasion.UPCOMING_CHARGE, Occasion.CARD_EXPIRING) and not notice.is_precondition
        if is_ahead and due and datetime.fromisoformat(str(due)) <= now:
            return "the charge that it announces has come in the meantime"
        if notice.obligation is not None and notice.occasion in TELL_OF_FAILURE:
            place = (request.account, request.subscription, request.generation, notice.obligation)
            if await self._ledger.has_paid(*place):
                return "paid in the meantime"
        return None

    async def _stand_in(self, sending: _Sending, tried: dict[Channel, Tried]) -> None:
        """E-mail where it is not listed; where its address is known to be dead, another channel. SPEC 11."""
        if Channel.EMAIL not in tried:
            tried[Channel.EMAIL] = await self._on(Channel.EMAIL, sending)
        is_dead = Channel.EMAIL in sending.reach.dead or tried[Channel.EMAIL].is_dead
        for channel in STAND_INS:
            if not is_dead or any(one.status not in REACHED_NOBODY for one in tried.values()):
                return
            if channel not in tried and channel in self._channels:
                tried[channel] = await self._on(channel, sending)

    def _wait_for_word(self, sending: _Sending, tried: Mapping[Channel, Tried]) -> dict[Channel, Tried] | None:
        """Nothing stands in yet for a message that may have arrived and whose channel may still say so."""
        unclear = {
            channel: one.model_copy(update={"status": "waiting"})
            for channel, one in tried.items()
            if one.status == "unclear" and one.wait is not None
        }
        return unclear if unclear and Channel.EMAIL not in tried else None

    async def _on(self, channel: Channel, sending: _Sending) -> Tried:
        """Claim, send, settle. What is settled already, or is being sent by another, is left as it is."""
        request, notice = sending.request, sending.notice
        claim = await self._ledger.claim_notice(
            NoticeToClaim(
                account=request.account,
                subscription=request.subscription,
                key=notice.key,
                channel=channel.value,
                customer=request.customer,
                occasion=notice.occasion.value,
                planned_at=notice.at,
                because=notice.because,
                business_at=request.business_at,
                time_zone=sending.zone,
                is_exempt=notice.is_precondition,
            )
        )
        if not claim.is_ours:
            return await self._not_ours(channel, sending, claim)
        tried = await self._try(channel, sending, claim)
        if tried.status == "unclear":
            tried = tried.but(wait=UNCLEAR_FOR)
        await self._remember(channel, sending, tried)
        status = await self._ledger.settle_notice(
            *sending.place(channel),
            status=tried.status,
            outcome=tried.because,
            provider_id=tried.provider_id,
            wait_until=request.business_at + tried.wait if tried.wait is not None else None,
        )
        # The channel's own word may have come in first.
        return tried if status == tried.status else _settled(status, "the channel said so at once")

    async def _not_ours(self, channel: Channel, sending: _Sending, claim: NoticeClaim) -> Tried:
        now = sending.request.business_at
        if claim.status == "sending":
            return Tried(status="planned", because="another worker has it", wait=BACK_OFF[0])
        if claim.status == "full" and claim.wait_until is not None:
            return await self._too_much(channel, sending, claim.wait_until)
        wait = claim.wait_until - now if claim.wait_until is not None and claim.wait_until > now else None
        if claim.status == "planned":
            return Tried(status="planned", because=claim.outcome or "its time has not come", wait=wait or BACK_OFF[0])
        return _settled(claim.status, claim.outcome or "settled before").but(wait=wait)

    async def _too_much(self, channel: Channel, sending: _Sending, free_at: datetime) -> Tried:
        """Another subscription of this customer took the place. What is routine is left out, the rest waits."""
        because = "the customer got enough on this channel today or this week, of all subscriptions"
        if kind_of(sending.notice) is NoticeKind.ROUTINE:
            tried = Tried(status="dropped", because=because)
        else:
            tried = Tried(status="planned", because=because, wait=free_at - sending.request.business_at)
        if sending.untrue is not None:
            tried = Tried(status="dropped", because=sending.untrue)
        wait_until = free_at if tried.status == "planned" else None
        await self._ledger.settle_notice(
            *sending.place(channel), status=tried.status, outcome=tried.because, wait_until=wait_until
        )
        return tried

    async def _try(self, channel: Channel, sending: _Sending, claim: NoticeClaim) -> Tried:
        way = self._channels.get(channel)
        if claim.is_repeat and not (way is not None and way.is_repeatable):
            return Tried(status="unclear", because="it may have been sent before; WhatsApp is never sent to twice")
        if sending.untrue is not None:
            return Tried(status="dropped", because=sending.untrue)
        if wait := _quiet_wait(sending):
            return Tried(status="planned", because="held back by the customer's quiet hours", wait=wait)
        if refused := sending.reach.why_not(channel, kind_of(sending.notice)):
            return Tried(status="skipped", because=refused)
        if sending.rendered is None:
            return Tried(status="failed", because=sending.fault, attention=sending.fault)
        if way is None:
            fault = f"{_NAMES[channel]} is not configured for this merchant account"
            return Tried(status="failed", because=fault, attention=fault)
        return await way.send(self._message(channel, sending, sending.rendered, claim))

    def _message(self, channel: Channel, sending: _Sending, rendered: Rendered, claim: NoticeClaim) -> Message:
        request, contacts = sending.request, sending.reach.contacts
        return Message(
            account=request.account,
            subscription=request.subscription,
            customer=request.customer,
            key=sending.notice.key,
            occasion=sending.notice.occasion.value,
            address=_address(contacts, channel),
            name=contacts.name,
            locale=contacts.locale,
            rendered=rendered,
            tries=claim.tries,
            is_email_listed=Channel.EMAIL in sending.notice.channels,
            unsubscribe=sending.unsubscribe,
        )

    async def _remember(self, channel: Channel, sending: _Sending, tried: Tried) -> None:
        """What a channel said about the address or the customer's will, for every later notice."""
        whom = (sending.request.account, sending.request.customer, channel)
        if tried.is_dead:
            await self._ledger.mark_dead(*whom, tried.because)
        if tried.refused is not None:
            await self._ledger.opt_out(*whom, tried.refused, source="channel")

    def _link(self, request: SendNoticeInput) -> str | None:
        """Where the customer changes the payment method: this notice's own link, or the merchant's page."""
        if own := request.notice.facts.get("link"):
            return str(own)
        page = self._account.payment_method_url
        if page is None:
            return None
        return page.format(subscription=quote(request.subscription, safe=""), customer=quote(request.customer, safe=""))


_NAMES = {Channel.WHATSAPP: "WhatsApp", Channel.EMAIL: "SMTP", Channel.SMS: "an SMS gateway"}


def _address(contacts: Contacts, channel: Channel) -> str:
    return contacts.reach(channel) or ""


def _settled(status: str, because: str) -> Tried:
    return Tried(status="sent" if status in REACHED else status, because=because)


def _quiet_wait(sending: _Sending) -> timedelta | None:
    """How long a notice that comes late has to wait for the end of the quiet hours."""
    now = sending.request.business_at
    is_late = now - sending.notice.at > LATE and is_quiet(now, sending.zone)
    if sending.notice.is_precondition or not is_late:
        return None
    return next_allowed(now, sending.zone) - now


def _outcome(sending: _Sending, tried: dict[Channel, Tried]) -> NoticeOutcome:
    waits = [one.wait for one in tried.values() if one.wait is not None and one.status in ("planned", "waiting")]
    faults = sorted({one.attention for one in tried.values() if one.attention})
    return NoticeOutcome(
        is_sent=any(one.status == "sent" for one in tried.values()),
        because="; ".join(f"{channel.value} {_shown(one)}: {one.because}" for channel, one in tried.items()),
        # The ledger keeps each channel to its own instant.
        retry_at=sending.request.business_at + min(waits) if waits else None,
        channels={channel.value: _shown(one) for channel, one in tried.items()},
        attention="; ".join(faults) or None,
    )


def _shown(tried: Tried) -> str:
    return "waiting" if tried.status == "planned" else tried.status
