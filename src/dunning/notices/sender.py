"""One notice on all its channels, each once. SPEC 11.

Each channel is claimed in the ledger before it is sent and settled after. WhatsApp cannot recognise a repeat, so
what may have been sent is never sent again; a repeated mail has the same Message-ID.
"""

from __future__ import annotations

from datetime import timedelta

import aiosmtplib
import httpx

from dunning.domain.terms import Channel, Contacts
from dunning.ledger import Ledger
from dunning.notices import email, whatsapp
from dunning.notices.models import NoticeOutcome, SendNoticeInput
from dunning.notices.render import Brand, Rendered, render
from dunning.notices.whatsapp import Sent
from dunning.settings import AccountSettings

RETRY_AFTER = timedelta(minutes=15)
"""A channel that is down is tried again on planned instants (business time)."""


class Sender:
    """Sends the notices of one merchant account."""

    def __init__(self, ledger: Ledger, account: AccountSettings, http: httpx.AsyncClient) -> None:
        self._ledger = ledger
        self._account = account
        self._http = http
        brand = account.brand
        self._brand = Brand(name=account.merchant_name, colour=brand.colour, logo_url=brand.logo_url)

    async def send(self, request: SendNoticeInput) -> NoticeOutcome:
        """Send on every listed channel; e-mail stands in where WhatsApp cannot reach and e-mail is not listed."""
        contacts = await self._ledger.contacts(request.account, request.customer)
        rendered = render(request.notice, contacts, self._brand, link=_link(request))
        results: dict[str, str] = {}
        for channel in request.notice.channels:
            results[channel.value] = await self._on(channel, request, contacts, rendered)
        listed = set(request.notice.channels)
        if Channel.EMAIL not in listed and any(r in ("failed", "unclear") for r in results.values()):
            results["EMAIL"] = await self._on(Channel.EMAIL, request, contacts, rendered)
        return _outcome(request, results)

    async def _on(self, channel: Channel, request: SendNoticeInput, contacts: Contacts, rendered: Rendered) -> str:
        notice = request.notice
        place = (request.account, request.subscription, notice.key, channel.value)
        claim = await self._ledger.claim_notice(
            *place, occasion=notice.occasion.value, planned_at=notice.at, because=notice.because
        )
        if not claim.is_ours:
            return "waiting" if claim.status == "sending" else claim.status
        if contacts.reach(channel) is None:
            return await self._settle(place, "skipped", "no address, or no consent, for this channel")
        if channel is Channel.WHATSAPP:
            return await self._whatsapp(place, request, contacts, rendered, is_repeat=claim.is_repeat)
        if channel is Channel.EMAIL:
            return await self._email(place, request, contacts, rendered)
        return await self._settle(place, "failed", "no SMS gateway is configured")

    async def _whatsapp(
        self, place: tuple[str, str, str, str], request: SendNoticeInput, contacts: Contacts, rendered: Rendered,
        *, is_repeat: bool,
    ) -> str:  # fmt: skip
        settings = self._account.whatsapp
        if settings is None or contacts.phone is None:
            return await self._settle(place, "failed", "WhatsApp is not configured, or the phone number is missing")
        if is_repeat:
            return await self._settle(place, "unclear", "it may have been sent before: never sent twice")
        answer = await whatsapp.send(
            self._http, settings, to=contacts.phone, notice_key=f"{request.subscription}/{request.notice.key}",
            rendered=rendered,
        )  # fmt: skip
        if answer.sent is Sent.ACCEPTED:
            return await self._settle(place, "sent", "accepted", answer.message_id)
        if answer.sent is Sent.TRANSIENT:
            return await self._settle(place, "planned", answer.because)
        status = "unclear" if answer.sent is Sent.UNCLEAR else "failed"
        return await self._settle(place, status, answer.because)

    async def _email(
        self, place: tuple[str, str, str, str], request: SendNoticeInput, contacts: Contacts, rendered: Rendered
    ) -> str:
        settings = self._account.smtp
        if settings is None or contacts.email is None:
            return await self._settle(place, "failed", "SMTP is not configured, or the e-mail address is missing")
        domain = settings.from_address.rpartition("@")[2]
        identity = email.message_id(request.account, request.subscription, request.notice.key, domain)
        mail = email.compose(
            rendered,
            to=contacts.email,
            name=contacts.name,
            sender=settings.from_address,
            brand=self._brand,
            identity=identity,
        )
        try:
            await email.send(settings, mail)
        except aiosmtplib.SMTPRecipientsRefused:
            return await self._settle(place, "failed", "the mail server refused the recipient")
        except (aiosmtplib.SMTPException, OSError) as failure:
            return await self._settle(place, "planned", f"the mail server: {type(failure).__name__}")
        return await self._settle(place, "sent", "accepted", identity)

    async def _settle(
        self, place: tuple[str, str, str, str], status: str, outcome: str, provider_id: str | None = None
    ) -> str:
        await self._ledger.settle_notice(*place, status=status, outcome=outcome, provider_id=provider_id)
        return "waiting" if status == "planned" else status


def _link(request: SendNoticeInput) -> str | None:
    found = request.notice.facts.get("link")
    return str(found) if found else None


def _outcome(request: SendNoticeInput, results: dict[str, str]) -> NoticeOutcome:
    said = ", ".join(f"{channel} {status}" for channel, status in results.items())
    if "waiting" in results.values():
        retry_at = request.business_at + RETRY_AFTER
        return NoticeOutcome(is_sent=False, because=said, retry_at=retry_at, channels=results)
    return NoticeOutcome(is_sent="sent" in results.values(), because=said, channels=results)
