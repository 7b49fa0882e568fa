"""What every channel keeps to, in one suite; then what only some of them can. SPEC 11."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dunning.domain.terms import Channel
from dunning.notices.channels import BACK_OFF
from dunning.notices.registry import registry
from dunning.settings import SmsSettings
from tests.notices.house import FACTS, NOW, SMS_SECRET, House
from tests.servers import free_port

pytestmark = pytest.mark.server
WHATSAPP, EMAIL, SMS = Channel.WHATSAPP, Channel.EMAIL, Channel.SMS
OPEN = {**FACTS, "next_attempt_at": ""}
ALL = {"WHATSAPP": True, "EMAIL": True, "SMS": True}
every_channel = pytest.mark.parametrize("channel", list(Channel))


@pytest.fixture(autouse=True)
async def everything_is_allowed(house: House) -> None:
    await house.consent(**ALL)


class Face:
    """One channel as its other end sees it."""

    def __init__(self, house: House, channel: Channel) -> None:
        self.house, self.channel = house, channel

    async def taken(self) -> int:
        if self.channel is EMAIL:
            return len(self.house.mail.mails)
        return len(await (self.house.messages() if self.channel is WHATSAPP else self.house.texts()))

    async def is_away_once(self) -> None:
        if self.channel is EMAIL:
            self.house.mail.fail_next = 1
        elif self.channel is WHATSAPP:
            await self.house.control("faults", {"on": "whatsapp", "kind": "429"})
        else:
            await self.house.control("sms", {"fail_times": 1, "fail_status": 503})

    def unset(self) -> dict[str, Any]:
        return {{EMAIL: "smtp", WHATSAPP: "whatsapp", SMS: "sms"}[self.channel]: None}


@every_channel
async def test_a_notice_goes_out_once_and_its_row_has_the_channels_id(house: House, channel: Channel) -> None:
    for _ in range(2):
        outcome = await house.send(channel, facts=OPEN)

    assert (outcome.channels, outcome.retry_at, outcome.attention) == ({channel.value: "sent"}, None, None)
    assert await Face(house, channel).taken() == 1
    assert (await house.rows())[channel.value].provider_id


@every_channel
async def test_a_channel_that_is_away_is_tried_again_when_its_time_has_come(house: House, channel: Channel) -> None:
    face = Face(house, channel)
    await face.is_away_once()

    first = await house.send(channel, facts=OPEN)
    early = await house.send(channel, facts=OPEN, business_at=NOW + BACK_OFF[0] - timedelta(seconds=1))
    second = await house.send(channel, facts=OPEN)

    assert (first.channels, first.retry_at) == ({channel.value: "waiting"}, NOW + BACK_OFF[0])
    assert (early.channels, early.retry_at) == ({channel.value: "waiting"}, NOW + BACK_OFF[0])
    assert (second.channels, await face.taken()) == ({channel.value: "sent"}, 1)


@every_channel
async def test_a_worker_that_dies_after_sending_is_never_heard_twice(house: House, channel: Channel) -> None:
    """WhatsApp is not asked again; a mail has the same Message-ID, an SMS call the same id."""
    await house.send(channel, facts=OPEN)
    await house.forget_settlement(channel)
    await house.send(channel, facts=OPEN)

    heard = {mail.row()["headers"]["message-id"] for mail in house.mail.mails}
    if channel is not EMAIL:
        assert await Face(house, channel).taken() == 1
    assert len(heard) == (1 if channel is EMAIL else 0)


@every_channel
async def test_a_channel_that_is_not_configured_asks_for_a_person(house: House, channel: Channel) -> None:
    outcome = await house.send(channel, facts=OPEN, **Face(house, channel).unset())

    assert outcome.channels[channel.value] == "failed"
    assert outcome.attention is not None
    assert "is not configured" in outcome.attention


@every_channel
async def test_without_consent_a_channel_is_left_alone(house: House, channel: Channel) -> None:
    await house.consent(**{**ALL, channel.value: False})

    outcome = await house.send(channel, facts=OPEN)

    assert outcome.channels[channel.value] == "skipped"
    assert await Face(house, channel).taken() == 0


# --- SMS ---------------------------------------------------------------------------------------------


async def test_an_sms_is_the_short_text_signed_so_that_the_gateway_can_verify_it(house: House) -> None:
    await house.send(SMS)

    (message,) = await house.texts()
    assert message["to"] == "+6281234567890"
    assert message["text"].replace("\xa0", " ").startswith("Hello Ayu, we could not collect $25.00 for Pro plan:")
    assert (message["locale"], message["occasion"], message["subscription_id"]) == ("en", "failed", "sub-1")


async def test_a_call_that_is_signed_with_another_secret_is_refused_and_told_to_a_person(house: House) -> None:
    other = house.account.sms
    assert other is not None
    outcome = await house.send(SMS, sms=SmsSettings(url=other.url, secret="whsec_b3RoZXItc2VjcmV0LTEyMzQ1Ng=="))

    assert outcome.channels == {"SMS": "failed", "EMAIL": "sent"}
    assert outcome.attention == "the SMS gateway answered 401"


async def test_a_number_that_the_gateway_refuses_goes_by_e_mail_and_bothers_nobody(house: House) -> None:
    await house.control("sms", {"recipients": {"+6281234567890": 422}})

    outcome = await house.send(SMS)

    assert (outcome.channels, outcome.attention) == ({"SMS": "failed", "EMAIL": "sent"}, None)


async def test_an_sms_gateway_that_is_not_there_is_tried_again(house: House) -> None:
    nobody = SmsSettings(url=f"http://127.0.0.1:{free_port()}/sms", secret=SMS_SECRET)

    assert (await house.send(SMS, sms=nobody)).channels == {"SMS": "waiting"}


# --- WhatsApp: the request against the published schema ------------------------------------------------

TEXT = {"type": "object", "required": ["type", "text"], "additionalProperties": False,
        "properties": {"type": {"const": "text"}, "text": {"type": "string", "minLength": 1}}}  # fmt: skip
REQUEST_SCHEMA = {
    "type": "object",
    "required": ["messaging_product", "recipient_type", "to", "type", "template"],
    "additionalProperties": False,
    "properties": {
        "messaging_product": {"const": "whatsapp"},
        "recipient_type": {"enum": ["individual"]},
        "to": {"type": "string", "pattern": "^[1-9][0-9]{6,14}$"},
        "type": {"const": "template"},
        "biz_opaque_callback_data": {"type": "string", "minLength": 1, "maxLength": 512},
        "template": {
            "type": "object",
            "required": ["name", "language", "components"],
            "additionalProperties": False,
            "properties": {
                "name": {"enum": sorted({one.name for one in registry()})},
                "language": {
                    "type": "object",
                    "required": ["policy", "code"],
                    "properties": {"policy": {"const": "deterministic"}, "code": {"enum": ["en", "id", "ar", "th"]}},
                },
                "components": {
                    "type": "array", "minItems": 1, "maxItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["type", "parameters"],
                        "additionalProperties": False,
                        "properties": {"type": {"const": "body"}, "parameters": {"type": "array", "items": TEXT}},
                    },
                },
            },
        },
    },
}  # fmt: skip
"""The sheet's W.2, narrowed to what we send: template messages with text parameters to one person."""
