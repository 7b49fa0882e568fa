"""One notice on all its channels, each once. SPEC 11.

Each channel is claimed in the ledger before it is sent and settled after. WhatsApp cannot recognise a repeat, so
what may have been sent is never sent again; a repeated mail has the same Message-ID.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx

from dunning.domain.base import Value
from dunning.domain.messages import PlannedNotice
from dunning.domain.terms import Channel, Contacts
from dunning.ledger import Ledger
from dunning.ledger.messages import NoticeClaim
from dunning.notices import email, whatsapp
from dunning.notices.models import NoticeOutcome, SendNoticeInput
from dunning.notices.render import Brand, CannotBeWritten, Rendered, render
from dunning.notices.whatsapp_codes import Sent
from dunning.settings import AccountSettings

BACK_OFF = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(hours=12))
"""A channel that is down is tried again after so long each time (business time); after the last, e-mail. SPEC 11."""

REACHED_NOBODY = frozenset({"failed", "unclear", "skipped"})


class _Tried(Value):
    """What came of one channel. `wait` goes with status `planned`: back in the queue, for so long."""

    status: str
    because: str
    provider_id: str | None = None
    wait: timedelta | None = None
    attention: str | None = None


@dataclass(frozen=True)
class _Sending:
    """One notice being sent: what was asked, who gets it, and what is said (None: it could not be written)."""

    request: SendNoticeInput
    contacts: Contacts
    rendered: Rendered | None
    fault: str

    @property
    def notice(self) -> PlannedNotice:
        return self.request.notice


class Sender:
    """Sends the notices of one merchant account."""

    def __init__(self, ledger: Ledger, account: AccountSettings, http: httpx.AsyncClient) -> None:
        self._ledger = ledger
        self._account = account
        self._http = http
        look = account.brand
        self._brand = Brand(
            name=account.merchant_name,
            colour=look.colour,
            logo_url=look.logo_url,
            support_address=look.support_address,
        )

    async def send(self, request: SendNoticeInput) -> NoticeOutcome:
        """Send on every listed channel; e-mail stands in when none of them reached the customer."""
        contacts = await self._ledger.contacts(request.account, request.customer)
        rendered, fault = None, ""
        try:
            rendered = render(request.notice, contacts, self._brand, link=self._link(request))
        except CannotBeWritten as failure:
            fault = str(failure)
        sending = _Sending(request, contacts, rendered, fault)
        channels = request.notice.channels
        tried = {channel: await self._on(channel, sending) for channel in channels}
        is_unheard = all(one.status in REACHED_NOBODY for one in tried.values())
        if Channel.EMAIL not in channels and channels and is_unheard:
            tried[Channel.EMAIL] = await self._on(Channel.EMAIL, sending)
        return _outcome(sending, tried)

    async def _on(self, channel: Channel, sending: _Sending) -> _Tried:
        """Claim, send, settle. What is settled already, or is being sent by another, is left as it is."""
        request, notice = sending.request, sending.notice
        place = (request.account, request.subscription, notice.key, channel.value)
        claim = await self._ledger.claim_notice(
            *place, occasion=notice.occasion.value, planned_at=notice.at, because=notice.because
        )
        if not claim.is_ours:
            is_elsewhere = claim.status == "sending"
            return _Tried(
                status="planned" if is_elsewhere else claim.status,
                because="another worker has it" if is_elsewhere else "settled before",
                wait=BACK_OFF[0] if is_elsewhere else None,
            )
        tried = await self._try(channel, sending, claim)
        await self._ledger.settle_notice(
            *place, status=tried.status, outcome=tried.because, provider_id=tried.provider_id
        )
        return tried

    async def _try(self, channel: Channel, sending: _Sending, claim: NoticeClaim) -> _Tried:
        if channel is Channel.WHATSAPP and claim.is_repeat:
            return _Tried(status="unclear", because="it may have been sent before; WhatsApp is never sent to twice")
        if untrue := _untrue_because(sending.notice, sending.request.business_at):
            return _Tried(status="dropped", because=untrue)
        address = sending.contacts.reach(channel)
        if address is None:
            return _Tried(status="skipped", because="no address, or no consent, for this channel")
        if sending.rendered is None:
            return _Tried(status="failed", because=sending.fault, attention=sending.fault)
        if channel is Channel.WHATSAPP:
            return await self._whatsapp(sending, sending.rendered, address, claim.tries)
        if channel is Channel.EMAIL:
            return await self._email(sending, sending.rendered, address, claim.tries)
        return _Tried(status="failed", because="no SMS gateway is configured")

    async def _whatsapp(self, sending: _Sending, rendered: Rendered, phone: str, tries: int) -> _Tried:
        settings = self._account.whatsapp
        if settings is None:
            return _unset("WhatsApp is not configured for this merchant account")
        key = f"{sending.request.subscription}/{sending.notice.key}"
        answer = await whatsapp.send(self._http, settings, to=phone, notice_key=key, rendered=rendered)
        if answer.sent is Sent.ACCEPTED:
            return _Tried(status="sent", because=answer.because, provider_id=answer.message_id)
        attention = answer.because if answer.needs_attention else None
        status, wait = "unclear" if answer.sent is Sent.UNCLEAR else "failed", None
        if answer.sent is Sent.TRANSIENT and not (answer.needs_attention and tries > 1):
            wait = _wait(tries)
        elif answer.sent is Sent.WAIT and Channel.EMAIL not in sending.notice.channels and tries == 1:
            # Where e-mail is listed, the customer has heard already; else once more, and then e-mail.
            wait = answer.wait
        return _Tried(
            status=status if wait is None else "planned", because=answer.because, wait=wait, attention=attention
        )

    async def _email(self, sending: _Sending, rendered: Rendered, address: str, tries: int) -> _Tried:
        settings = self._account.smtp
        if settings is None:
            return _unset("SMTP is not configured for this merchant account")
        request = sending.request
        domain = settings.from_address.rpartition("@")[2]
        identity = email.message_id(request.account, request.subscription, request.notice.key, domain)
        try:
            mail = email.compose(
                rendered,
                to=address,
                name=sending.contacts.name,
                sender=settings.from_address,
                brand=self._brand,
                identity=identity,
                at=datetime.now(UTC),
            )
            answer = await email.send(settings, mail)
        except ValueError:
            # The standard library quotes the address in its message, so the message is not kept.
            return _Tried(status="failed", because="an address that cannot be written in a mail")
        if answer.is_accepted:
            return _Tried(status="sent", because=answer.because, provider_id=identity)
        wait = None if answer.is_final else _wait(tries)
        is_given_up = wait is None and not answer.is_final
        attention = answer.because if answer.needs_attention or is_given_up else None
        return _Tried(
            status="failed" if wait is None else "planned", because=answer.because, wait=wait, attention=attention
        )

    def _link(self, request: SendNoticeInput) -> str | None:
        """Where the customer changes the payment method: this notice's own link, or the merchant's page."""
        if own := request.notice.facts.get("link"):
            return str(own)
        page = self._account.payment_method_url
        if page is None:
            return None
        return page.format(subscription=quote(request.subscription, safe=""), customer=quote(request.customer, safe=""))


def _unset(because: str) -> _Tried:
    return _Tried(status="failed", because=because, attention=because)


def _wait(tries: int) -> timedelta | None:
    """How long to wait after so many tries; None when it is given up."""
    return BACK_OFF[tries - 1] if tries <= len(BACK_OFF) else None


def _untrue_because(notice: PlannedNotice, now: datetime) -> str | None:
    """A notice that announces an instant which has passed while it waited says something untrue."""
    announced = notice.facts.get("next_attempt_at")
    if announced and datetime.fromisoformat(str(announced)) <= now:
        return "the attempt that it announces has come in the meantime"
    return None


def _outcome(sending: _Sending, tried: dict[Channel, _Tried]) -> NoticeOutcome:
    waits = [one.wait for one in tried.values() if one.wait is not None]
    retry_at = None
    if waits:
        # The longest, so that no channel is asked before its time.
        retry_at = sending.request.business_at + max(waits)
    faults = sorted({one.attention for one in tried.values() if one.attention})
    return NoticeOutcome(
        is_sent=any(one.status == "sent" for one in tried.values()),
        because="; ".join(f"{channel.value} {_shown(one)}: {one.because}" for channel, one in tried.items()),
        retry_at=retry_at,
        channels={channel.value: _shown(one) for channel, one in tried.items()},
        attention="; ".join(faults) or None,
    )


def _shown(tried: _Tried) -> str:
    return "waiting" if tried.status == "planned" else tried.status
