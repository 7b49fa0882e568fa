"""Notices leave once, on every listed channel: read back from a real SMTP server and the sandbox's WhatsApp."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from dunning.domain.messages import PlannedNotice
from dunning.domain.terms import Channel, Occasion
from dunning.intake import parse_subscription
from dunning.ledger import Ledger
from dunning.notices.models import NoticeOutcome, SendNoticeInput
from dunning.notices.sender import Sender
from dunning.notices.whatsapp import CLASS_OF, Sent
from dunning.sandbox import SandboxServer
from dunning.sandbox.mail import MailCatcher
from dunning.settings import AccountSettings, SmtpSettings, WhatsAppSettings
from tests.builders import subscription_data

pytestmark = pytest.mark.server
NOW = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)


class House:
    """A sender with everything around it."""

    def __init__(self, ledger: Ledger, sender: Sender, sandbox: SandboxServer, mail: MailCatcher) -> None:
        self.ledger, self.sender, self.sandbox, self.mail = ledger, sender, sandbox, mail

    async def send(self, *channels: Channel, key: str = "1/1/1/failed") -> NoticeOutcome:
        notice = PlannedNotice(
            key=key,
            occasion=Occasion.FAILED,
            channels=channels,
            at=NOW,
            because="attempt 1 was declined",
            facts={"amount": 2_500, "currency": "USD", "description": "Pro", "reason_key": "insufficient_funds"},
        )
        request = SendNoticeInput(
            account="demo", subscription="sub-1", generation=1, customer="cust-1",
            notice=notice, description="Pro", business_at=NOW,
        )  # fmt: skip
        return await self.sender.send(request)

    async def messages(self) -> list[dict[str, Any]]:
        async with httpx.AsyncClient() as http:
            answer = (await http.get(f"{self.sandbox.url}/_sandbox/messages")).json()
        return list(answer["messages"] if isinstance(answer, dict) else answer)

    async def forget_settlement(self, channel: Channel) -> None:
        """As if the worker had died between the channel's acceptance and the ledger's commit."""
        async with self.ledger._begin() as connection:
            await connection.execute(
                text("update notices set status = 'sending', lease_until = clock_timestamp() where channel = :c"),
                {"c": channel.value},
            )


@pytest.fixture
async def house(ledger_url: str) -> AsyncIterator[House]:
    ledger = await Ledger.open(ledger_url)
    await ledger.create_subscription(parse_subscription(subscription_data()), now=NOW)
    async with (
        SandboxServer.start() as sandbox,
        MailCatcher.start() as mail,
        httpx.AsyncClient(timeout=10) as http,
    ):
        account = AccountSettings(
            provider="dodo",
            mode="test",
            api_key=SecretStr("dodo_test_key"),
            merchant_name="Kopi Harian",
            whatsapp=WhatsAppSettings(
                base_url=sandbox.url, phone_number_id="106540352242922", token=SecretStr("wa-token")
            ),
            smtp=SmtpSettings(host=mail.smtp_host, port=mail.smtp_port, from_address="billing@example.com", tls="none"),
        )
        yield House(ledger, Sender(ledger, account, http), sandbox, mail)
    await ledger.aclose()


async def test_a_notice_goes_out_on_all_listed_channels(house: House) -> None:
    outcome = await house.send(Channel.WHATSAPP, Channel.EMAIL)

    assert outcome.is_sent
    assert outcome.channels == {"WHATSAPP": "sent", "EMAIL": "sent"}
    (mail,) = house.mail.mails
    row = mail.row()
    assert row["to"] == ["ayu@example.com"]
    assert row["subject"] == "Your payment to Kopi Harian did not go through"
    assert "$25.00" in row["text"]
    assert "$25.00" in row["html"]
    (message,) = await house.messages()
    assert "dunning_failed" in str(message)


async def test_sending_the_same_notice_again_sends_nothing(house: House) -> None:
    await house.send(Channel.WHATSAPP, Channel.EMAIL)
    again = await house.send(Channel.WHATSAPP, Channel.EMAIL)

    assert again.is_sent
    assert len(house.mail.mails) == 1
    assert len(await house.messages()) == 1


async def test_whatsapp_is_never_repeated_after_a_crash_and_a_repeated_mail_has_the_same_id(house: House) -> None:
    await house.send(Channel.WHATSAPP, Channel.EMAIL)
    await house.forget_settlement(Channel.WHATSAPP)
    await house.forget_settlement(Channel.EMAIL)

    outcome = await house.send(Channel.WHATSAPP, Channel.EMAIL)

    assert outcome.channels["WHATSAPP"] == "unclear"
    assert len(await house.messages()) == 1
    ids = {mail.row()["headers"]["message-id"] for mail in house.mail.mails}
    assert len(house.mail.mails) == 2
    assert len(ids) == 1


async def test_a_mail_server_that_is_away_is_tried_again_later(house: House) -> None:
    house.mail.fail_next = 1
    first = await house.send(Channel.EMAIL)
    second = await house.send(Channel.EMAIL)

    assert first.retry_at is not None
    assert first.retry_at > NOW
    assert (second.is_sent, len(house.mail.mails)) == (True, 1)


async def test_e_mail_stands_in_where_whatsapp_cannot_reach(house: House) -> None:
    async with httpx.AsyncClient() as http:
        body = {"recipients": {"6281234567890": 131026}}
        (await http.post(f"{house.sandbox.url}/_sandbox/whatsapp", json=body)).raise_for_status()

    outcome = await house.send(Channel.WHATSAPP)

    assert outcome.channels == {"WHATSAPP": "failed", "EMAIL": "sent"}


def test_error_codes_of_the_sheet_are_classified_once() -> None:
    assert CLASS_OF[131026] is Sent.RECIPIENT
    assert CLASS_OF[131056] is Sent.TRANSIENT
    assert CLASS_OF[131049] is Sent.WAIT
    assert 132001 not in CLASS_OF  # our configuration
