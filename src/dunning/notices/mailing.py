"""Connections to an account's mail server, kept open between mails."""

from __future__ import annotations

import asyncio
import contextlib
import time
from email.message import EmailMessage

import aiosmtplib

from dunning.notices.email import MailAnswer, refusal
from dunning.settings import SmtpSettings

IDLE_SECONDS = 30.0
"""A connection that was quiet for longer is not trusted: servers close them."""


class MailPool:
    """At most `connections` at once; a broken one is thrown away, never used for the next mail."""

    def __init__(self, settings: SmtpSettings) -> None:
        self.settings = settings
        self._slots = asyncio.Semaphore(settings.connections)
        self._idle: list[tuple[aiosmtplib.SMTP, float]] = []

    async def send(self, mail: EmailMessage) -> MailAnswer:
        """Hand one mail to the server. Raises nothing of the network's or the server's."""
        async with self._slots:
            try:
                client = await self._connected()
            except (aiosmtplib.SMTPException, OSError) as failure:
                return refusal(failure)
            try:
                await client.send_message(mail)
            except (aiosmtplib.SMTPException, OSError) as failure:
                await _closed(client)
                return refusal(failure)
            except BaseException:
                client.close()
                raise
            self._idle.append((client, time.monotonic()))
        return MailAnswer(is_accepted=True, because="accepted by the mail server")

    async def aclose(self) -> None:
        """Say goodbye on every open connection."""
        while self._idle:
            client, _ = self._idle.pop()
            await _closed(client)

    async def _connected(self) -> aiosmtplib.SMTP:
        while self._idle:
            client, since = self._idle.pop()
            if time.monotonic() - since < IDLE_SECONDS and await _answers(client):
                return client
            await _closed(client)
        return await self._connect()

    async def _connect(self) -> aiosmtplib.SMTP:
        settings = self.settings
        password = settings.password.get_secret_value() if settings.password is not None else None
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            port=settings.port,
            username=settings.username,
            password=password,
            use_tls=settings.tls == "tls",
            # Required, not tried: a server that offers no encryption gets neither password nor mail.
            start_tls=settings.tls == "starttls",
            # Not this machine's name, which is nobody's business and may take long to look up.
            local_hostname=settings.from_address.rpartition("@")[2],
            timeout=settings.timeout_seconds,
        )
        try:
            await client.connect()
        except BaseException:
            client.close()
            raise
        return client


async def _answers(client: aiosmtplib.SMTP) -> bool:
    try:
        await client.noop()
    except (aiosmtplib.SMTPException, OSError):
        return False
    return True


async def _closed(client: aiosmtplib.SMTP) -> None:
    with contextlib.suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
        await client.quit(timeout=2)
    client.close()
