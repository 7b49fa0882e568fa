"""What WhatsApp says later: signed, in any order, twice; and what follows from it. Sheet W.3, W.4; SPEC 11."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from dunning.domain.contact import NoticeKind
from dunning.domain.terms import Channel
from dunning.ledger.schema import inbox
from dunning.notices.channels import BACK_OFF, UNCLEAR_FOR
from dunning.notices.whatsapp_words import verify
from tests.notices.house import FACTS, KEY, NOW, Street

pytestmark = pytest.mark.server
WHATSAPP, EMAIL = Channel.WHATSAPP, Channel.EMAIL
AT = datetime(2026, 3, 5, 13, 11, tzinfo=UTC)
OPEN = {**FACTS, "next_attempt_at": ""}
"""A failure that announces nothing, so that nothing about it becomes untrue by waiting."""


def status(name: str, message_id: str, *, code: int | None = None, key: str | None = f"sub-1/{KEY}") -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": message_id,
        "status": name,
        "timestamp": str(int(AT.timestamp())),
        "recipient_id": "6281234567890",
    }
    if key is not None:
        found["biz_opaque_callback_data"] = key
    if code is not None:
        found["errors"] = [{"code": code, "title": "t", "message": "m", "error_data": {"details": "d"}}]
    return found


async def accepted(street: Street, *channels: Channel) -> str:
    """A notice that WhatsApp took; gives its message's id."""
    await street.send(*(channels or (WHATSAPP,)), facts=OPEN)
    return str((await street.messages())[-1]["wamid"])


# --- the door ----------------------------------------------------------------------------------------


def test_the_signature_is_the_sheets_vector() -> None:
    body = b'{"object":"whatsapp_business_account","entry":[]}'
    known = "sha256=1ca363dab318df784e1963b29dca91e2098e6cf2fbf0d3c14e09580a90684a61"

    verify(known, body, "app-secret-for-tests")


async def test_the_door_answers_metas_challenge_and_nobody_elses(street: Street) -> None:
    url = f"{street.base}/webhooks/whatsapp/demo"
    asked = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": "verify-me"}

    right = await street.http.get(url, params=asked)
    wrong = [
        await street.http.get(url, params={**asked, **changed})
        for changed in (
            {"hub.verify_token": "x"},
            {"hub.mode": "x"},
            {"hub.challenge": "<script>"},
            {"hub.verify_token": "é"},
        )
    ]
    other = await street.http.get(url.replace("demo", "nobody"), params=asked)

    assert (right.status_code, right.text) == (200, "1158201444")
    assert right.headers["content-type"].startswith("text/plain")
    assert [one.status_code for one in (*wrong, other)] == [403] * 5


async def test_what_is_not_signed_with_our_secret_changes_nothing(street: Street) -> None:
    wamid = await accepted(street)
    body = json.dumps({"entry": []}).encode()
    url = f"{street.base}/webhooks/whatsapp/demo"

    forged = await street.meta(status("read", wamid), secret="another")
    bare = await street.http.post(url, content=body)
    odd = await street.http.post(url, content=body, headers={"x-hub-signature-256": "sha256="})
    broken = [await street.meta_raw(raw) for raw in (b"", b"{", b"[]", b'{"entry":[{"changes":7}]}', b"\xff")]

    assert [one.status_code for one in (forged, bare, odd, *broken)] == [401] * 8
    assert (await street.row()).status == "sent"


async def test_a_call_is_read_no_further_than_meta_sends_at_most(street: Street) -> None:
    answer = await street.meta_raw(b'{"entry":[' + b" " * (3 * 1024 * 1024) + b"]}")

    assert answer.status_code == 413


async def test_unknown_kinds_are_acknowledged_and_recorded_once_and_tell_nobody(street: Street) -> None:
    change: dict[str, Any] = {
        "field": "message_template_status_update",
        "value": {"event": "PAUSED", "reason": "sécret"},
    }
    answers = [await street.meta(**change) for _ in range(2)]
    answers.append(await street.meta(status("played", "wamid.V"), status("delivered", "wamid.FOREIGN", key=None)))
    answers.append(await street.meta({"id": 7, "status": "failed", "timestamp": "soon"}))

    async with street.ledger._begin() as connection:
        rows = (await connection.execute(select(inbox.c.raw_type, inbox.c.fact).order_by(inbox.c.id))).all()
    assert [one.status_code for one in answers] == [200] * 4
    assert [tuple(row) for row in rows] == [
        ("message_template_status_update/PAUSED", {}), ("status/played", {}), ("status/failed", {}),
    ]  # fmt: skip
    assert await street.told() == []


async def test_statuses_of_another_number_are_not_ours(street: Street) -> None:
    wamid = await accepted(street)
    value = {"metadata": {"phone_number_id": "999"}, "statuses": [status("read", wamid)]}

    answer = await street.meta(value=value)

    assert (answer.status_code, (await street.row()).status) == (200, "sent")


# --- statuses only rise --------------------------------------------------------------------------------


async def test_in_every_order_and_twice_the_highest_status_stands(street: Street) -> None:
    for number, order in enumerate(itertools.permutations(("sent", "delivered", "read"))):
        key = f"1/1/{number}/failed"
        when = NOW + timedelta(weeks=number)
        await street.send(WHATSAPP, key=key, facts=OPEN, business_at=when)
        wamid = (await street.messages())[-1]["wamid"]
        for name in (*order, *order):
            await street.meta(status(name, wamid, key=f"sub-1/{key}"))
        row = next(one for one in await street.ledger.notices_of("demo", "sub-1") if one.key == key)
        assert (row.status, row.read_at, row.provider_id) == ("read", AT, wamid)
    assert await street.told() == []


async def test_a_failure_ends_it_unless_another_device_shows_the_message(street: Street) -> None:
    wamid = await accepted(street)

    await street.meta(status("failed", wamid, code=131026))
    assert (await street.row()).status == "failed"
    await street.meta(status("sent", wamid))
    assert (await street.row()).status == "failed"
    await street.meta(status("delivered", wamid))
    assert (await street.row()).status == "delivered"
    await street.meta(status("failed", wamid, code=131026))
    assert (await street.row()).status == "delivered"


async def test_the_sandbox_s_own_statuses_reach_the_ledger_through_the_door(street: Street) -> None:
    await street.control(
        "configure",
        {"whatsapp_webhook_url": f"{street.base}/webhooks/whatsapp/demo", "whatsapp_app_secret": "app-secret-for-tests",
         "whatsapp_statuses": ["sent", "delivered", "read"]},
    )  # fmt: skip
    await street.send(WHATSAPP)
    (await street.http.get(f"{street.sandbox.url}/_sandbox/quiet", params={"wait": 10})).raise_for_status()

    assert (await street.row()).status == "read"


# --- what follows, by class ------------------------------------------------------------------------------


async def test_131026_goes_by_e_mail_at_once(street: Street) -> None:
    wamid = await accepted(street)
    await street.meta(status("failed", wamid, code=131026))

    (heard,) = await street.told()
    outcome = await street.send(WHATSAPP, facts=OPEN, business_at=heard.at)

    assert heard.at - NOW < timedelta(minutes=1)
    assert outcome.channels == {"WHATSAPP": "failed", "EMAIL": "sent"}
    assert len(street.mail.mails) == 1
    assert len(await street.messages()) == 1


async def test_131049_waits_a_day_and_then_goes_by_e_mail(street: Street) -> None:
    wamid = await accepted(street)
    await street.meta(status("failed", wamid, code=131049))
    (heard,) = await street.told()

    early = await street.send(WHATSAPP, facts=OPEN, business_at=NOW + timedelta(hours=23))
    assert (early.channels, len(street.mail.mails)) == ({"WHATSAPP": "waiting"}, 0)
    again = await street.send(WHATSAPP, facts=OPEN, business_at=heard.at)
    assert again.channels == {"WHATSAPP": "sent"}
    second = (await street.messages())[-1]["wamid"]
    await street.meta(status("failed", second, code=131049))
    (once_more,) = await street.told()
    last = await street.send(WHATSAPP, facts=OPEN, business_at=once_more.at)

    assert timedelta(hours=24) <= heard.at - NOW < timedelta(hours=24, minutes=1)
    assert last.channels == {"WHATSAPP": "failed", "EMAIL": "sent"}


async def test_131049_is_not_waited_for_where_e_mail_is_listed(street: Street) -> None:
    wamid = await accepted(street, WHATSAPP, EMAIL)
    await street.meta(status("failed", wamid, code=131049))

    assert await street.told() == []
    assert (await street.row()).status == "failed"


@pytest.mark.parametrize("code", [131056, 130429])
async def test_throttling_backs_off_and_goes_again_on_whatsapp(street: Street, code: int) -> None:
    for tries in range(2):
        wamid = await accepted(street)
        await street.meta(status("failed", wamid, code=code))
        (heard,) = await street.told()
        row = await street.row()
        assert (row.status, row.tries) == ("planned", tries + 1)
        assert BACK_OFF[tries] <= heard.at - street.clock < BACK_OFF[tries] + timedelta(minutes=1)
        street.clock = heard.at

    outcome = await street.send(WHATSAPP, facts=OPEN)

    assert outcome.channels == {"WHATSAPP": "sent"}
    assert len(await street.messages()) == 3
    assert street.mail.mails == []


async def test_a_template_that_was_paused_asks_for_a_person(street: Street) -> None:
    wamid = await accepted(street, WHATSAPP, EMAIL)
    await street.meta(status("failed", wamid, code=132015))

    (heard,) = await street.told()

    assert heard.attention == "WhatsApp 132015: the template is paused for its quality"


async def test_a_repeated_failure_tells_once_also_when_the_first_was_lost_on_its_way(street: Street) -> None:
    wamid = await accepted(street)
    for _ in range(3):
        await street.meta(status("failed", wamid, code=131026))
    assert len(await street.told()) == 1

    async with street.ledger._begin() as connection:
        # As if the process had died after the first of its two transactions.
        await connection.execute(inbox.delete())
    await street.meta(status("failed", wamid, code=131026))
    assert len(await street.told()) == 1


async def test_a_late_failure_of_an_earlier_message_does_not_undo_a_later_one(street: Street) -> None:
    first = await accepted(street)
    await street.meta(status("failed", first, code=131056))
    (heard,) = await street.told()
    await street.send(WHATSAPP, facts=OPEN, business_at=heard.at)

    await street.meta(status("failed", first, code=131026))

    assert (await street.row()).status == "sent"
    assert await street.told() == []


# --- a lost answer is reconciled, and never told twice ----------------------------------------------------


async def test_a_lost_answer_waits_for_whatsapps_word_and_no_mail_goes_when_it_comes(street: Street) -> None:
    await street.control("faults", {"on": "whatsapp", "kind": "drop_after_commit"})
    first = await street.send(WHATSAPP, facts=OPEN)
    (message,) = await street.messages()

    await street.meta(status("delivered", message["wamid"]))
    after = await street.send(WHATSAPP, facts=OPEN)

    assert (first.channels, first.retry_at) == ({"WHATSAPP": "waiting"}, NOW + UNCLEAR_FOR)
    assert (after.is_sent, after.channels, after.retry_at) == (True, {"WHATSAPP": "sent"}, None)
    row = await street.row()
    assert (row.status, row.provider_id) == ("delivered", message["wamid"])
    assert street.mail.mails == []


async def test_a_lost_answer_that_whatsapp_calls_failed_goes_by_e_mail_before_the_time_is_over(street: Street) -> None:
    await street.control("faults", {"on": "whatsapp", "kind": "drop_after_commit"})
    await street.send(WHATSAPP, facts=OPEN)
    (message,) = await street.messages()

    await street.meta(status("failed", message["wamid"], code=131026))
    (heard,) = await street.told()
    outcome = await street.send(WHATSAPP, facts=OPEN, business_at=heard.at)

    assert heard.at < NOW + UNCLEAR_FOR
    assert outcome.channels == {"WHATSAPP": "failed", "EMAIL": "sent"}


async def test_without_a_word_e_mail_goes_when_the_time_is_over_and_whatsapp_never_again(street: Street) -> None:
    await street.control("faults", {"on": "whatsapp", "kind": "drop_after_commit"})
    for when in (NOW, NOW + timedelta(minutes=14)):
        assert not (await street.send(WHATSAPP, facts=OPEN, business_at=when)).is_sent
        assert street.mail.mails == []

    for _ in range(2):
        outcome = await street.send(WHATSAPP, facts=OPEN, business_at=NOW + UNCLEAR_FOR)

    assert outcome.channels == {"WHATSAPP": "unclear", "EMAIL": "sent"}
    assert len(await street.messages()) == 1
    assert len(street.mail.mails) == 1


async def test_a_word_that_comes_before_the_answer_is_not_written_over(street: Street) -> None:
    """Meta's webhook may overtake our own commit."""
    await street.send(WHATSAPP, facts=OPEN)
    await street.forget_settlement(WHATSAPP)
    (message,) = await street.messages()
    await street.meta(status("read", message["wamid"]))

    settled = await street.ledger.settle_notice(
        "demo", "sub-1", KEY, "WHATSAPP", status="sent", outcome="accepted", provider_id=message["wamid"]
    )

    assert (settled, (await street.row()).status) == ("read", "read")


# --- the customer's will -------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["STOP", " stop. ", "Berhenti", "توقف", "หยุด"])
async def test_an_answer_that_says_stop_ends_whatsapp_and_e_mail_stands_in(street: Street, said: str) -> None:
    message = {"id": "wamid.IN", "from": "6281234567890", "type": "text", "text": {"body": said}}
    value = {"metadata": {"phone_number_id": "106540352242922"}, "messages": [message]}
    await street.meta(value=value)

    outcome = await street.send(WHATSAPP)

    assert outcome.channels == {"WHATSAPP": "skipped", "EMAIL": "sent"}
    assert await street.messages() == []


async def test_an_answer_that_says_anything_else_changes_nothing_and_is_not_kept(street: Street) -> None:
    message = {"id": "wamid.IN", "from": "6281234567890", "type": "text", "text": {"body": "please stop by tomorrow"}}
    await street.meta(value={"metadata": {"phone_number_id": "106540352242922"}, "messages": [message]})

    assert (await street.ledger.reach("demo", "cust-1")).refused == frozenset()
    async with street.ledger._begin() as connection:
        (row,) = (await connection.execute(select(inbox))).all()
    assert "tomorrow" not in str(row)
    assert "6281234567890" not in str(row)


async def test_131050_is_recorded_as_an_opt_out_of_what_is_routine(street: Street) -> None:
    wamid = await accepted(street)
    await street.meta(status("failed", wamid, code=131050))

    reach = await street.ledger.reach("demo", "cust-1")

    assert reach.refused == {(WHATSAPP, NoticeKind.ROUTINE)}
