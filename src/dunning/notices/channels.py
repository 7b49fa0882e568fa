"""What every channel answers, and the three channels. SPEC 11.

A channel sends one message once and says what came of it; claims, waits and stand-ins are the sender's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Protocol

import httpx

from dunning.domain.base import Value
from dunning.domain.contact import NoticeKind
from dunning.domain.terms import Channel
from dunning.notices import email, sms, whatsapp
from dunning.notices.mailing import MailPool
from dunning.notices.render import Brand, Rendered
from dunning.notices.whatsapp_codes import ErrorCode, Sent
from dunning.settings import AccountSettings, WhatsAppSettings

BACK_OFF = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(hours=12))
"""A channel that is down is tried again after so long each time (business time); after the last, e-mail. SPEC 11."""

UNCLEAR_FOR = timedelta(minutes=15)
"""So long (business time) a message that may have been sent waits for WhatsApp's word about it; then e-mail."""


class Message(Value):
    """One notice for one address.

    Attributes:
        tries: on this channel, this one included.
        unsubscribe: where one click leaves such mails out.
    """

    account: str
    subscription: str
    customer: str
    key: str
    occasion: str
    address: str
    name: str | None
    locale: str
    rendered: Rendered
    tries: int
    is_email_listed: bool
    unsubscribe: str | None = None


class Tried(Value):
    """What came of one channel.

    Attributes:
        status: sent, failed, skipped, dropped, unclear; `planned` goes with `wait`: back in the queue, for so long.
        attention: what a person has to put right.
        is_dead: the address reaches nobody.
        refused: the customer wants no such notices there.
    """

    status: str
    because: str
    provider_id: str | None = None
    wait: timedelta | None = None
    attention: str | None = None
    is_dead: bool = False
    refused: NoticeKind | None = None


class NoticeChannel(Protocol):
    """One way to a customer. `is_repeatable`: a repeat is recognised at the other end, and does no harm."""

    is_repeatable: bool

    async def send(self, message: Message) -> Tried:
        """Send once; raises nothing of the network's."""
        ...


def back_off(tries: int) -> timedelta | None:
    """How long to wait after so many tries; None when it is given up."""
    return BACK_OFF[tries - 1] if tries <= len(BACK_OFF) else None


def waits_after(row: ErrorCode, *, is_email_listed: bool) -> tuple[timedelta, ...]:
    """What an error code of WhatsApp leads to: how long before the second try, the third, ...

    A new code is tried once more. Where e-mail is listed the customer has heard already, and no day is waited.
    """
    if row.sent is Sent.TRANSIENT:
        return BACK_OFF[:1] if row.needs_attention else BACK_OFF
    if row.sent is Sent.WAIT and row.wait is not None and not is_email_listed:
        return (row.wait,)
    return ()


class WhatsAppChannel:
    """The Cloud API: it cannot recognise a repeat."""

    is_repeatable = False

    def __init__(self, settings: WhatsAppSettings, http: httpx.AsyncClient) -> None:
        self._settings, self._http = settings, http

    async def send(self, message: Message) -> Tried:
        """One template message."""
        key = f"{message.subscription}/{message.key}"
        answer = await whatsapp.send(
            self._http, self._settings, to=message.address, notice_key=key, rendered=message.rendered
        )
        if answer.sent is Sent.ACCEPTED:
            return Tried(status="sent", because=answer.because, provider_id=answer.message_id)
        if answer.sent is Sent.UNCLEAR:
            attention = answer.because if answer.needs_attention else None
            return Tried(status="unclear", because=answer.because, attention=attention)
        waits = waits_after(answer.row, is_email_listed=message.is_email_listed)
        wait = waits[message.tries - 1] if message.tries <= len(waits) else None
        return Tried(
            status="failed" if wait is None else "planned",
            because=answer.because,
            wait=wait,
            attention=answer.because if answer.needs_attention else None,
            refused=NoticeKind.ROUTINE if answer.code == whatsapp.OPTED_OUT else None,
        )


class EmailChannel:
    """SMTP: a repeat has the same Message-ID, so that a reader shows it once."""

    is_repeatable = True

    def __init__(self, pool: MailPool, brand: Brand) -> None:
        self._pool, self._brand = pool, brand

    async def send(self, message: Message) -> Tried:
        """One mail."""
        domain = self._pool.settings.from_address.rpartition("@")[2]
        identity = email.message_id(message.account, message.subscription, message.key, domain)
        try:
            mail = email.compose(
                message.rendered,
                to=message.address,
                name=message.name,
                sender=self._pool.settings.from_address,
                brand=self._brand,
                identity=identity,
                at=datetime.now(UTC),
                unsubscribe=message.unsubscribe,
            )
        except ValueError:
            # The standard library quotes the address in its message, so the message is not kept.
            return Tried(status="failed", because="an address that cannot be written in a mail")
        answer = await self._pool.send(mail)
        if answer.is_accepted:
            return Tried(status="sent", because=answer.because, provider_id=identity)
        wait = None if answer.is_final else back_off(message.tries)
        is_given_up = wait is None and not answer.is_final
        return Tried(
            status="failed" if wait is None else "planned",
            because=answer.because,
            wait=wait,
            attention=answer.because if answer.needs_attention or is_given_up else None,
            is_dead=answer.is_address_dead,
        )


class SmsChannel:
    """Your own gateway over HTTP: a repeat has the same `webhook-id`."""

    is_repeatable = True

    def __init__(self, gateway: sms.SmsGateway) -> None:
        self._gateway = gateway

    async def send(self, message: Message) -> Tried:
        """One text message."""
        place = "\x1f".join((message.account, message.subscription, message.key))
        identity = f"sms_{hashlib.sha256(place.encode()).hexdigest()[:32]}"
        answer = await self._gateway.send(
            identity,
            {
                "id": identity,
                "to": message.address,
                "text": message.rendered.short,
                "locale": message.locale,
                "occasion": message.occasion,
                "merchant_account": message.account,
                "subscription_id": message.subscription,
                "customer_id": message.customer,
            },
        )
        if answer.is_accepted:
            return Tried(status="sent", because=answer.because, provider_id=answer.message_id or identity)
        wait = None if answer.is_final else back_off(message.tries)
        is_given_up = wait is None and not answer.is_final
        attention = answer.because if answer.needs_attention or is_given_up else None
        return Tried(
            status="failed" if wait is None else "planned", because=answer.because, wait=wait, attention=attention
        )


def channels_of(
    account: AccountSettings, http: httpx.AsyncClient, pool: MailPool | None, brand: Brand
) -> Mapping[Channel, NoticeChannel]:
    """The channels that an account's settings make possible."""
    found: dict[Channel, NoticeChannel] = {}
    if account.whatsapp is not None:
        found[Channel.WHATSAPP] = WhatsAppChannel(account.whatsapp, http)
    if pool is not None:
        found[Channel.EMAIL] = EmailChannel(pool, brand)
    if account.sms is not None:
        found[Channel.SMS] = SmsChannel(sms.SmsGateway(account.sms, http))
    return found
