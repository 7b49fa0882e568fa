"""Notices leave once, on every listed channel: read back from a real SMTP server and the sandbox's WhatsApp."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from pydantic import SecretStr

from dunning.domain.terms import Channel, Occasion
from dunning.notices.channels import BACK_OFF, UNCLEAR_FOR
from dunning.notices.texts import texts
from dunning.settings import WhatsAppSettings
from tests.builders import TOLD
from tests.notices.house import FACTS, KEY, NOW, House, house_of
from tests.servers import free_port

pytestmark = pytest.mark.server
WHATSAPP, EMAIL, SMS = Channel.WHATSAPP, Channel.EMAIL, Channel.SMS


async def test_a_notice_goes_out_on_all_listed_channels(house: House) -> None:
    outcome = await house.send(WHATSAPP, EMAIL)

    assert (outcome.is_sent, outcome.retry_at, outcome.attention) == (True, None, None)
    assert outcome.channels == {"WHATSAPP": "sent", "EMAIL": "sent"}
    (mail,) = house.mail.mails
    (message,) = await house.messages()
    rows = await house.rows()
    assert rows["WHATSAPP"].provider_id == message["wamid"]
    assert rows["EMAIL"].provider_id == mail.row()["headers"]["message-id"]
    assert all(row.sent_at is not None and row.because == "attempt 1 was declined" for row in rows.values())


async def test_whatsapp_gets_the_template_its_parameters_and_the_notices_key(house: House) -> None:
    await house.send(WHATSAPP)

    (message,) = await house.messages()
    assert message["to"].lstrip("+") == "6281234567890"
    assert (message["template"], message["language"]) == ("dunning_failed", "en")
    assert message["biz_opaque_callback_data"] == f"sub-1/{KEY}"
    assert [p.replace("\xa0", " ") for p in message["parameters"]] == [
        "Ayu",
        "$25.00",
        "Pro plan",
        "there was not enough money in the account",
        "You do not have to do anything: we will try again on 8 March 2026, 13:10 UTC.",
    ]


async def test_whatsapp_accepts_every_template_of_the_registry(house: House) -> None:
    registry = {f"dunning_{o.value}": {"en": len(texts("en").occasions[o].whatsapp.parameters)} for o in Occasion}
    await house.control("whatsapp", {"templates": registry})

    for weeks, occasion in enumerate(Occasion):
        facts = {**FACTS, "expires": "2026-12", "old_amount": 2_000, "next_attempt_at": ""}
        when = NOW + timedelta(weeks=weeks)
        key = f"1/1/1/{occasion.value}"
        outcome = await house.send(WHATSAPP, occasion=occasion, key=key, facts=facts, business_at=when)
        assert outcome.channels == {"WHATSAPP": "sent"}

    assert len(await house.messages()) == len(Occasion)


async def test_the_link_leads_to_the_merchants_page_for_this_customer(house: House) -> None:
    await house.send(EMAIL)

    assert "https://kopi.example/billing?s=sub-1&c=cust-1" in house.mail.mails[0].row()["text"]


# --- once ------------------------------------------------------------------------------------------


async def test_sending_the_same_notice_again_sends_nothing(house: House) -> None:
    await house.send(WHATSAPP, EMAIL)
    again = await house.send(WHATSAPP, EMAIL)

    assert again.is_sent
    assert len(house.mail.mails) == 1
    assert len(await house.messages()) == 1


async def test_two_workers_at_once_send_once(house: House) -> None:
    outcomes = await asyncio.gather(*(house.send(WHATSAPP, EMAIL) for _ in range(8)))

    assert len(house.mail.mails) == 1
    assert len(await house.messages()) == 1
    assert all(one.is_sent or one.retry_at is not None for one in outcomes)


async def test_after_a_crash_whatsapp_is_not_repeated_and_a_repeated_mail_has_the_same_id(house: House) -> None:
    await house.send(WHATSAPP, EMAIL)
    await house.forget_settlement(WHATSAPP, EMAIL)

    outcome = await house.send(WHATSAPP, EMAIL)

    assert outcome.channels == {"WHATSAPP": "unclear", "EMAIL": "sent"}
    assert len(await house.messages()) == 1
    assert len(house.mail.mails) == 2
    assert len({mail.row()["headers"]["message-id"] for mail in house.mail.mails}) == 1


async def test_after_a_crash_e_mail_stands_in_for_a_whatsapp_that_may_have_been_sent(house: House) -> None:
    await house.send(WHATSAPP)
    await house.forget_settlement(WHATSAPP)

    first = await house.send(WHATSAPP)
    for _ in range(2):
        outcome = await house.send(WHATSAPP)

    assert (first.channels, first.retry_at) == ({"WHATSAPP": "waiting"}, NOW + UNCLEAR_FOR)
    assert outcome.channels == {"WHATSAPP": "unclear"} | {"EMAIL": "sent"}
    assert len(await house.messages()) == 1
    assert len(house.mail.mails) == 1


@pytest.mark.parametrize("kind", ["drop_after_commit", "http_500_after_commit"])
async def test_a_lost_answer_of_whatsapp_is_unclear_and_never_repeated(house: House, kind: str) -> None:
    await house.control("faults", {"on": "whatsapp", "kind": kind})

    first = await house.send(WHATSAPP, EMAIL)
    second = await house.send(WHATSAPP, EMAIL)

    assert first.channels == second.channels == {"WHATSAPP": "unclear", "EMAIL": "sent"}
    assert len(await house.messages()) == 1
    assert len(house.mail.mails) == 1


async def test_two_notices_of_one_subscription_are_two_mails(house: House) -> None:
    await house.send(EMAIL)
    await house.send(EMAIL, key="1/1/2/failed", business_at=NOW + timedelta(days=1))

    assert len({mail.row()["headers"]["message-id"] for mail in house.mail.mails}) == 2


# --- a channel that is down ------------------------------------------------------------------------


async def test_whatsapp_that_is_away_is_tried_on_planned_instants_and_then_e_mail(house: House) -> None:
    await house.whatsapp_answers(131016)
    waits = []
    for _ in BACK_OFF:
        before = house.clock
        outcome = await house.send(WHATSAPP, facts={**FACTS, "next_attempt_at": ""}, is_precondition=True)
        assert outcome.channels == {"WHATSAPP": "waiting"}
        waits.append(house.clock - before)

    last = await house.send(WHATSAPP, facts={**FACTS, "next_attempt_at": ""}, is_precondition=True)

    assert waits == [timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4), timedelta(hours=12)]
    assert (last.channels, last.retry_at) == ({"WHATSAPP": "failed", "EMAIL": "sent"}, None)


async def test_whatsapp_that_cannot_be_reached_at_all_is_tried_again(house: House) -> None:
    nobody = house.account.whatsapp
    assert nobody is not None
    away = nobody.model_copy(update={"base_url": f"http://127.0.0.1:{free_port()}"})

    first = await house.send(WHATSAPP, whatsapp=away)
    second = await house.send(WHATSAPP)

    assert first.channels == {"WHATSAPP": "waiting"}
    assert second.channels == {"WHATSAPP": "sent"}


async def test_a_throttled_message_goes_out_later(house: House) -> None:
    await house.control("faults", {"on": "whatsapp", "kind": "429"})

    first, second = await house.send(WHATSAPP), await house.send(WHATSAPP)

    assert (first.channels, second.channels) == ({"WHATSAPP": "waiting"}, {"WHATSAPP": "sent"})
    assert len(await house.messages()) == 1


async def test_one_channel_that_waits_does_not_hide_that_the_other_was_heard(house: House) -> None:
    await house.control("faults", {"on": "whatsapp", "kind": "429"})

    first = await house.send(WHATSAPP, EMAIL)
    second = await house.send(WHATSAPP, EMAIL)

    assert (first.is_sent, first.channels) == (True, {"WHATSAPP": "waiting", "EMAIL": "sent"})
    assert first.retry_at == NOW + BACK_OFF[0]
    assert second.channels == {"WHATSAPP": "sent", "EMAIL": "sent"}
    assert len(house.mail.mails) == 1


async def test_what_meta_holds_back_waits_a_day_and_then_goes_by_e_mail(house: House) -> None:
    await house.whatsapp_answers(131049)

    first = await house.send(WHATSAPP)
    second = await house.send(WHATSAPP)

    assert first.retry_at == NOW + timedelta(hours=24)
    assert first.channels == {"WHATSAPP": "waiting"}
    assert second.channels == {"WHATSAPP": "failed", "EMAIL": "sent"}


async def test_what_meta_holds_back_is_not_waited_for_where_e_mail_is_listed(house: House) -> None:
    await house.whatsapp_answers(131049)

    outcome = await house.send(WHATSAPP, EMAIL)

    assert (outcome.channels, outcome.retry_at) == ({"WHATSAPP": "failed", "EMAIL": "sent"}, None)


async def test_a_mail_server_that_is_away_is_tried_again_later(house: House) -> None:
    house.mail.fail_next = 1
    first = await house.send(EMAIL)
    second = await house.send(EMAIL)

    assert first.retry_at == NOW + BACK_OFF[0]
    assert first.attention is None
    assert (second.is_sent, len(house.mail.mails)) == (True, 1)


async def test_what_became_untrue_while_it_waited_is_dropped_and_not_sent_by_e_mail_either(house: House) -> None:
    await house.whatsapp_answers(131016)
    await house.send(WHATSAPP)

    outcome = await house.send(WHATSAPP, business_at=NOW + timedelta(days=3))

    assert (outcome.is_sent, outcome.channels) == (False, {"WHATSAPP": "dropped"})
    row = (await house.rows())["WHATSAPP"]
    assert (row.status, row.outcome) == ("dropped", "the attempt that it announces has come in the meantime")
    assert house.mail.mails == []


# --- who cannot be reached -------------------------------------------------------------------------


async def test_e_mail_stands_in_where_whatsapp_does_not_reach_the_person(house: House) -> None:
    await house.whatsapp_answers(131026)

    outcome = await house.send(WHATSAPP)

    assert outcome.channels == {"WHATSAPP": "failed", "EMAIL": "sent"}
    assert (outcome.is_sent, outcome.attention) == (True, None)


async def test_e_mail_that_is_listed_is_not_sent_a_second_time_as_a_stand_in(house: House) -> None:
    await house.whatsapp_answers(131026)

    await house.send(WHATSAPP, EMAIL)

    assert len(house.mail.mails) == 1


async def test_a_template_that_is_missing_asks_for_a_person_and_goes_by_e_mail(house: House) -> None:
    await house.control("whatsapp", {"templates": {"dunning_stopped": {"en": 4}}})

    outcome = await house.send(WHATSAPP)

    assert outcome.channels == {"WHATSAPP": "failed", "EMAIL": "sent"}
    assert outcome.attention == "WhatsApp 132001: the template is missing in this language, or not approved"


async def test_a_new_code_is_tried_once_more_and_told_to_a_person(house: House) -> None:
    await house.whatsapp_answers(777777)

    first, second = await house.send(WHATSAPP), await house.send(WHATSAPP)

    assert first.channels == {"WHATSAPP": "waiting"}
    assert second.channels == {"WHATSAPP": "failed", "EMAIL": "sent"}
    assert first.attention is not None


async def test_a_channel_without_consent_is_skipped_with_the_reason(ledger_url: str) -> None:
    async with house_of(ledger_url, opt_in={"WHATSAPP": False, "EMAIL": True}) as house:
        outcome = await house.send(WHATSAPP, EMAIL)

        assert outcome.channels == {"WHATSAPP": "skipped", "EMAIL": "sent"}
        assert (await house.rows())["WHATSAPP"].outcome == "no address, or no consent, for this channel"
        assert await house.messages() == []


async def test_who_refused_e_mail_never_gets_it_not_even_as_a_stand_in(ledger_url: str) -> None:
    told = {occasion: ["WHATSAPP"] for occasion in TOLD}
    async with house_of(ledger_url, told, opt_in={"WHATSAPP": True, "EMAIL": False}) as house:
        await house.whatsapp_answers(131026)

        outcome = await house.send(WHATSAPP)

        assert (outcome.is_sent, outcome.channels) == (False, {"WHATSAPP": "failed", "EMAIL": "skipped"})
        assert house.mail.mails == []


async def test_a_mail_server_that_stays_away_is_given_up_and_told_to_a_person(house: House) -> None:
    house.mail.fail_next = len(BACK_OFF) + 1
    for _ in BACK_OFF:
        assert (await house.send(EMAIL, is_precondition=True)).retry_at is not None

    last = await house.send(EMAIL, is_precondition=True)

    assert (last.channels, last.retry_at) == ({"EMAIL": "failed"}, None)
    assert last.attention is not None


async def test_what_is_not_configured_asks_for_a_person(house: House) -> None:
    outcome = await house.send(WHATSAPP, EMAIL, whatsapp=None, smtp=None)

    assert (outcome.is_sent, outcome.retry_at) == (False, None)
    assert outcome.channels == {"WHATSAPP": "failed", "EMAIL": "failed"}
    assert outcome.attention is not None
    assert "WhatsApp is not configured" in outcome.attention
    assert "SMTP is not configured" in outcome.attention


async def test_a_notice_that_lacks_a_fact_is_failed_and_asks_for_a_person(house: House) -> None:
    outcome = await house.send(EMAIL, occasion=Occasion.CARD_EXPIRING, key="1/1/0/card_expiring")

    assert outcome.channels == {"EMAIL": "failed"}
    assert outcome.attention is not None
    assert outcome.attention.startswith("a fact of the notice is missing for")


async def test_sms_without_consent_falls_to_e_mail(house: House) -> None:
    assert (await house.send(SMS)).channels == {"SMS": "skipped", "EMAIL": "sent"}


async def test_outcomes_hold_no_address_and_no_token(house: House) -> None:
    secret = WhatsAppSettings(base_url=house.sandbox.url, phone_number_id="1", token=SecretStr("wa-secret-token"))
    said = []
    for number, code in enumerate((None, 131026, 132001, 190)):
        await house.whatsapp_answers(code)
        house.mail.fail_next = number % 2
        when = NOW + timedelta(weeks=number)
        key, facts = f"1/1/{number}/failed", {**FACTS, "next_attempt_at": ""}
        outcome = await house.send(WHATSAPP, EMAIL, key=key, facts=facts, business_at=when, whatsapp=secret)
        said.append(outcome.model_dump_json())

    for part in ("ayu@example.com", "6281234567890", "wa-secret-token", "Ayu"):
        assert part not in " ".join(said)
