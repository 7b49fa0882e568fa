"""A sender with everything around it: a real ledger, the sandbox's WhatsApp over HTTP, a real SMTP server."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import text

from dunning.contract import NoticeHeard
from dunning.domain.messages import PlannedNotice
from dunning.domain.terms import Channel, Occasion
from dunning.gateway.app import create_app
from dunning.gateway.dispatcher import Dispatcher
from dunning.intake import parse_subscription
from dunning.ledger import Ledger
from dunning.ledger.models import StoredNotice
from dunning.ledger.schema import metadata
from dunning.notices.models import NoticeOutcome, SendNoticeInput
from dunning.notices.sender import Sender
from dunning.sandbox import SandboxServer
from dunning.sandbox.mail import MailCatcher
from dunning.sandbox.serving import serving
from dunning.settings import (
    AccountSettings,
    BrandSettings,
    SmsSettings,
    SmtpSettings,
    UnsubscribeSettings,
    WhatsAppSettings,
)
from tests.builders import at, subscription_data
from tests.gateway.house import PostBox

NOW = at("2026-03-05T13:10")
KEY = "1/1/1/failed"
APP_SECRET = "app-secret-for-tests"
SMS_SECRET = "whsec_c21zLXNlY3JldC1mb3ItdGVzdHM="
FACTS: dict[str, str | int] = {
    "amount": 2_500,
    "currency": "USD",
    "description": "Pro plan",
    "reason_key": "insufficient_funds",
    "next_attempt_at": "2026-03-08T13:10:00+00:00",
}


class House:
    """Sends notices of the subscription `sub-1` of the customer `cust-1`."""

    def __init__(self, ledger: Ledger, account: AccountSettings, sandbox: SandboxServer, mail: MailCatcher) -> None:
        self.ledger, self.account, self.sandbox, self.mail = ledger, account, sandbox, mail
        self.http = httpx.AsyncClient(timeout=5)
        self.clock = NOW
        self.senders = [Sender(ledger, account, self.http)]

    async def send(
        self,
        *channels: Channel,
        key: str = KEY,
        occasion: Occasion = Occasion.FAILED,
        facts: dict[str, str | int] | None = None,
        business_at: datetime | None = None,
        obligation: str | None = None,
        is_precondition: bool = False,
        subscription: str = "sub-1",
        **account: Any,
    ) -> NoticeOutcome:
        """Send one notice when the last one is to be sent again; `account` replaces settings of the account."""
        notice = PlannedNotice(
            key=key,
            occasion=occasion,
            channels=channels,
            at=NOW,
            because="attempt 1 was declined",
            facts=FACTS if facts is None else facts,
            obligation=obligation,
            is_precondition=is_precondition,
        )
        request = SendNoticeInput(
            account="demo", subscription=subscription, generation=1, customer="cust-1",
            notice=notice, description="Pro plan", business_at=business_at or self.clock,
        )  # fmt: skip
        settings = self.account.model_copy(update=account)
        if account:
            self.senders.append(Sender(self.ledger, settings, self.http))
        outcome = await self.senders[-1 if account else 0].send(request)
        if business_at is None and outcome.retry_at is not None:
            self.clock = outcome.retry_at
        return outcome

    async def messages(self) -> list[dict[str, Any]]:
        """What WhatsApp accepted; what was sent twice stands there twice."""
        answer = (await self.http.get(f"{self.sandbox.url}/_sandbox/messages")).json()
        return list(answer["messages"])

    async def control(self, path: str, body: Any) -> None:
        """Tell the sandbox something."""
        (await self.http.post(f"{self.sandbox.url}/_sandbox/{path}", json=body)).raise_for_status()

    async def whatsapp_answers(self, code: int | None) -> None:
        """From now on the customer's number meets this error code, or none."""
        await self.control("whatsapp", {"recipients": {} if code is None else {"6281234567890": code}})

    async def rows(self) -> dict[str, StoredNotice]:
        """The ledger's rows by channel."""
        return {row.channel: row for row in await self.ledger.notices_of("demo", "sub-1")}

    async def texts(self) -> list[dict[str, Any]]:
        """What the SMS gateway took, each id once."""
        answer = (await self.http.get(f"{self.sandbox.url}/_sandbox/sms")).json()
        return list(answer["messages"])

    async def consent(self, **channels: bool) -> None:
        """The backend writes the customer's consent again."""
        await self.contacts(opt_in=channels)

    async def contacts(self, **customer: Any) -> None:
        """The backend writes the customer's contacts again, with another subscription."""
        known = subscription_data()["customer"]
        name = f"sub-{len(await self.ledger.list_subscriptions('demo')) + 1}"
        known = {**known, **customer}
        channel = next(one for one in ("EMAIL", "WHATSAPP", "SMS") if known["opt_in"].get(one))
        data = subscription_data(id=name, customer=known, notifications={"failed": [channel]})
        await self.ledger.create_subscription(parse_subscription(data), now=NOW)

    async def forget_settlement(self, *channels: Channel) -> None:
        """As if the worker had died between a channel's acceptance and the ledger's commit, and its lease were over."""
        async with self.ledger._begin() as connection:
            for channel in channels:
                done = await connection.execute(
                    text("update notices set status = 'sending', lease_until = clock_timestamp() where channel = :c"),
                    {"c": channel.value},
                )
                assert done.rowcount == 1


@asynccontextmanager
async def house_of(
    ledger_url: str, notifications: dict[str, list[str]] | None = None, **customer: Any
) -> AsyncIterator[House]:
    """A house; `customer` replaces fields of the customer."""
    ledger = await Ledger.open(ledger_url)
    data = subscription_data(customer={**subscription_data()["customer"], **customer})
    data["notifications"] = notifications or data["notifications"]
    await ledger.create_subscription(parse_subscription(data), now=NOW)
    async with SandboxServer.start() as sandbox, MailCatcher.start() as mail:
        account = AccountSettings(
            provider="dodo",
            mode="test",
            api_key=SecretStr("dodo_test_key"),
            merchant_name="Kopi Harian",
            brand=BrandSettings(colour="#7a4a21", support_address="help@kopi.example"),
            payment_method_url="https://kopi.example/billing?s={subscription}&c={customer}",
            whatsapp=WhatsAppSettings(
                base_url=sandbox.url,
                phone_number_id="106540352242922",
                token=SecretStr("wa-token"),
                app_secret=SecretStr(APP_SECRET),
                verify_token=SecretStr("verify-me"),
            ),
            sms=SmsSettings(url=f"{sandbox.url}/_sandbox/sms/messages", secret=SecretStr(SMS_SECRET)),
            unsubscribe=UnsubscribeSettings(base_url="https://pay.kopi.example/", secret=SecretStr("u" * 20)),
            smtp=SmtpSettings(
                host=mail.smtp_host, port=mail.smtp_port, from_address="billing@kopi.example", tls="none"
            ),
        )
        house = House(ledger, account, sandbox, mail)
        await house.control("configure", {"sms_secret": SMS_SECRET})
        yield house
        for sender in house.senders:
            await sender.aclose()
        await house.http.aclose()
    await ledger.aclose()


class Street(House):
    """A house with a gateway before it, whose doors channels and customers use."""

    base: str
    data: dict[str, Any]
    box: PostBox
    dispatcher: Dispatcher

    async def sweep(self) -> None:
        """As new: an empty ledger but for the subscription, nothing sent, nothing asked of the sandbox."""
        async with self.ledger._begin() as connection:
            names = ", ".join(table.name for table in metadata.sorted_tables)
            await connection.execute(text(f"truncate {names}"))
        await self.control("reset", {})
        await self.control("configure", {"whatsapp_webhook_url": None, "whatsapp_statuses": []})
        await self.ledger.create_subscription(parse_subscription(self.data), now=NOW)
        self.mail.mails.clear()
        self.mail.fail_next = 0
        self.box.got.clear()
        self.clock = NOW

    async def meta(self, *statuses: dict[str, Any], secret: str = APP_SECRET, **outer: Any) -> httpx.Response:
        """Statuses as Meta sends them: signed over the bytes, everything beyond ASCII escaped."""
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550783881", "phone_number_id": "106540352242922"},
            "statuses": list(statuses),
        }
        change = {"field": "messages", "value": value, **outer}
        payload = {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}
        return await self.meta_raw(json.dumps(payload).encode(), secret)

    async def meta_raw(self, body: bytes, secret: str = APP_SECRET) -> httpx.Response:
        """Any bytes, signed."""
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return await self.http.post(
            f"{self.base}/webhooks/whatsapp/demo", content=body, headers={"X-Hub-Signature-256": signature}
        )

    async def told(self) -> list[NoticeHeard]:
        """What workflows were told since the last time."""
        await self.dispatcher.drain()
        found = [fact.notice for fact in self.box.facts if fact.notice is not None]
        self.box.got.clear()
        return found

    async def row(self, channel: Channel = Channel.WHATSAPP) -> StoredNotice:
        return (await self.rows())[channel.value]


@asynccontextmanager
async def street_of(ledger_url: str, **customer: Any) -> AsyncIterator[Street]:
    async with house_of(ledger_url, **customer) as house:
        street = Street(house.ledger, house.account, house.sandbox, house.mail)
        street.data = subscription_data()
        street.box = PostBox()
        street.dispatcher = Dispatcher(house.ledger, street.box.signal)

        async def is_well() -> bool:
            return True

        app = create_app(
            {}, house.ledger, street.dispatcher, is_temporal_well=is_well, accounts={"demo": house.account}
        )
        async with serving(app) as base:
            street.base = base
            yield street
        for sender in street.senders:
            await sender.aclose()
        await street.http.aclose()
