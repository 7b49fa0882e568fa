"""The mail catcher: real SMTP in, HTTP out."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import AsyncIterator
from email.message import EmailMessage

import httpx
import pytest

from dunning.sandbox.mail import MailCatcher

pytestmark = pytest.mark.server


@pytest.fixture
async def catcher() -> AsyncIterator[MailCatcher]:
    async with MailCatcher.start() as found:
        yield found


def _mail(subject: str = "Pembayaran gagal", text: str = "Halo Ayu,\nkartu ditolak.") -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "billing@example.com", "ayu@example.com", subject
    mail["Message-ID"] = "<notice-1@example.com>"
    mail.set_content(text)
    mail.add_alternative("<p>Halo <b>Ayu</b></p>", subtype="html")
    return mail


async def _send(catcher: MailCatcher, mail: EmailMessage) -> None:
    def talk() -> None:
        with smtplib.SMTP(catcher.smtp_host, catcher.smtp_port, timeout=10) as smtp:
            smtp.send_message(mail)

    await asyncio.to_thread(talk)


async def test_a_mail_sent_over_smtp_is_read_back_decoded(catcher: MailCatcher) -> None:
    await _send(catcher, _mail("مرحبا: الدفع", "Halo Ayu,\nkartu ditolak: é."))
    async with httpx.AsyncClient(base_url=catcher.url) as client:
        (found,) = (await client.get("/messages")).json()
    assert (found["from"], found["to"]) == ("billing@example.com", ["ayu@example.com"])
    assert found["subject"] == "مرحبا: الدفع"
    assert found["text"].splitlines() == ["Halo Ayu,", "kartu ditolak: é."]
    assert found["html"].strip() == "<p>Halo <b>Ayu</b></p>"
    assert found["headers"]["message-id"] == "<notice-1@example.com>"
    assert "multipart/alternative" in found["raw"]


async def test_the_same_mail_sent_twice_is_kept_twice_and_can_be_thrown_away(catcher: MailCatcher) -> None:
    for _ in range(2):
        await _send(catcher, _mail())
    async with httpx.AsyncClient(base_url=catcher.url) as client:
        assert len((await client.get("/messages")).json()) == 2
        assert (await client.delete("/messages")).status_code == 204
        assert (await client.get("/messages")).json() == []
        assert (await client.get("/healthz")).status_code == 200


async def test_the_page_shows_mails_as_text(catcher: MailCatcher) -> None:
    await _send(catcher, _mail(subject="<script>x</script>", text="a < b"))
    async with httpx.AsyncClient(base_url=catcher.url) as client:
        page = (await client.get("/")).text
    assert "Mail caught: 1" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "a &lt; b" in page


async def test_a_catcher_told_to_fail_refuses_for_now_and_keeps_nothing(catcher: MailCatcher) -> None:
    async with httpx.AsyncClient(base_url=catcher.url) as client:
        await client.post("/fail", params={"times": 1})
        with pytest.raises(smtplib.SMTPDataError) as refused:
            await _send(catcher, _mail())
        assert refused.value.smtp_code == 451
        await _send(catcher, _mail())
        assert len((await client.get("/messages")).json()) == 1
