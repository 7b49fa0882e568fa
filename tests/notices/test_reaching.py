"""Who is not written to: caps over all subscriptions, opt-outs, dead addresses, quiet hours, what became untrue."""

from __future__ import annotations

import asyncio
import email.policy
import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.contact import ROUTINE, NoticeKind, free_from
from dunning.domain.quiet import is_quiet
from dunning.domain.terms import Channel, Occasion
from dunning.notices.bounces import NotABounce, read_bounce
from dunning.notices.unsubscribing import customer_in, token_for
from tests.gateway.house import House as Gateway
from tests.notices.house import FACTS, NOW, Street

WHATSAPP, EMAIL, SMS = Channel.WHATSAPP, Channel.EMAIL, Channel.SMS
OPEN = {**FACTS, "next_attempt_at": ""}
server = pytest.mark.server


def parsed(raw: bytes) -> EmailMessage:
    return BytesParser(EmailMessage, policy=email.policy.default).parsebytes(raw)


# --- caps ----------------------------------------------------------------------------------------------


@server
async def test_what_must_be_told_waits_for_the_next_free_day_of_all_subscriptions(street: Street) -> None:
    await street.send(EMAIL, key="1/1/1/failed", facts=OPEN)

    second = await street.send(EMAIL, key="1/1/1/failed", subscription="sub-2", facts=OPEN)
    third = await street.send(EMAIL, key="1/1/1/failed", subscription="sub-2", facts=OPEN)

    assert (second.channels, second.retry_at) == ({"EMAIL": "waiting"}, datetime(2026, 3, 6, 8, tzinfo=UTC))
    assert third.channels == {"EMAIL": "sent"}
    assert len(street.mail.mails) == 2


@server
async def test_what_is_routine_is_left_out_when_another_subscription_took_the_place(street: Street) -> None:
    await street.send(EMAIL, facts=OPEN)

    outcome = await street.send(EMAIL, key="k", subscription="sub-2", occasion=Occasion.SUCCEEDED, facts=OPEN)

    assert (outcome.channels, outcome.retry_at) == ({"EMAIL": "dropped"}, None)
    assert "of all subscriptions" in outcome.because
    assert len(street.mail.mails) == 1


@server
async def test_three_a_week_over_all_subscriptions_and_each_channel_counts_for_itself(street: Street) -> None:
    for day in range(3):
        when = NOW + timedelta(days=day)
        await street.send(EMAIL, subscription=f"sub-{day}", facts=OPEN, business_at=when)

    fourth = await street.send(EMAIL, WHATSAPP, subscription="sub-9", facts=OPEN, business_at=NOW + timedelta(days=3))

    assert fourth.channels == {"EMAIL": "waiting", "WHATSAPP": "sent"}
    assert fourth.retry_at == datetime(2026, 3, 12, 8, tzinfo=UTC)


@server
async def test_two_subscriptions_at_the_same_moment_send_one(street: Street) -> None:
    outcomes = await asyncio.gather(
        *(street.send(EMAIL, subscription=f"sub-{n}", facts=OPEN, business_at=NOW) for n in range(6))
    )

    assert sorted(one.channels["EMAIL"] for one in outcomes) == ["sent", *["waiting"] * 5]
    assert len(street.mail.mails) == 1


@server
async def test_a_notice_that_a_charge_waits_for_is_never_held_back_and_never_counts(street: Street) -> None:
    facts = {**OPEN, "next_due_at": "2026-03-06T13:10:00+00:00"}
    for number in range(2):
        outcome = await street.send(
            EMAIL, subscription=f"sub-{number}", occasion=Occasion.UPCOMING_CHARGE, facts=facts, is_precondition=True
        )
        assert outcome.channels == {"EMAIL": "sent"}

    assert (await street.send(EMAIL, subscription="sub-9", facts=OPEN)).channels == {"EMAIL": "sent"}


@given(
    told=st.lists(st.integers(0, 24 * 20).map(lambda hours: NOW + timedelta(hours=hours)), max_size=12),
    zone=st.sampled_from(["UTC", "Asia/Jakarta", "America/New_York", "Asia/Kathmandu"]),
)
def test_the_free_place_breaks_no_cap_and_lies_outside_the_quiet_hours(told: list[datetime], zone: str) -> None:
    at = NOW + timedelta(days=10)
    free = free_from(told, at, zone)
    if free is None:
        return
    assert free > at
    assert not is_quiet(free, zone)
    assert free_from(told, free, zone) is None


# --- opt-outs ------------------------------------------------------------------------------------------


def test_what_concerns_the_customers_money_is_never_routine() -> None:
    assert {one for one in Occasion if one not in ROUTINE} == {
        Occasion.FAILED, Occasion.ACTION_REQUIRED, Occasion.ON_HOLD, Occasion.STOPPED, Occasion.RECOVERED,
        Occasion.PRICE_CHANGE, Occasion.REFUNDED, Occasion.CANCELED,
    }  # fmt: skip


@server
async def test_an_opt_out_is_per_channel_and_kind_and_a_backend_that_writes_contacts_again_keeps_it(
    street: Street,
) -> None:
    await street.ledger.opt_out("demo", "cust-1", EMAIL, NoticeKind.ROUTINE, source="api")
    await street.consent(EMAIL=True, WHATSAPP=True)

    receipt = await street.send(EMAIL, occasion=Occasion.SUCCEEDED, key="r", facts=OPEN)
    failure = await street.send(EMAIL, facts=OPEN)
    await street.ledger.opt_out("demo", "cust-1", EMAIL, NoticeKind.SERVICE, source="api")
    when = NOW + timedelta(days=1)
    refused = await street.send(EMAIL, key="s", facts=OPEN, business_at=when)
    await street.ledger.opt_in("demo", "cust-1", EMAIL, NoticeKind.SERVICE)
    again = await street.send(EMAIL, key="t", facts=OPEN, business_at=when)

    assert [one.channels["EMAIL"] for one in (receipt, failure, refused, again)] == [
        "skipped",
        "sent",
        "skipped",
        "sent",
    ]
    assert "opted out of routine notices" in receipt.because
    assert "opted out of service notices" in refused.because


# --- the link that leaves routine mails out ---------------------------------------------------------------


@server
async def test_only_a_routine_mail_carries_the_one_click_link_and_its_message_id_is_the_notices(street: Street) -> None:
    await street.send(EMAIL, occasion=Occasion.SUCCEEDED, key="r", facts=OPEN)
    await street.send(EMAIL, facts=OPEN, business_at=NOW + timedelta(days=1))
    await street.send(
        EMAIL, key="p", occasion=Occasion.UPCOMING_CHARGE, is_precondition=True,
        facts={**OPEN, "next_due_at": "2026-04-06T13:10:00+00:00"},
    )  # fmt: skip

    receipt, failure, legal = (parsed(one.raw) for one in street.mail.mails)
    link = str(receipt["List-Unsubscribe"]).strip("<>")
    assert re.fullmatch(r"https://pay\.kopi\.example/unsubscribe/demo/[A-Za-z0-9_-]+", link)
    assert receipt["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    plain, page = (receipt.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert page is not None
    assert link in plain.get_content()
    assert link in page.get_content()
    assert (failure["List-Unsubscribe"], legal["List-Unsubscribe"]) == (None, None)
    assert len({str(one["Message-ID"]) for one in (receipt, failure, legal)}) == 3


@server
async def test_one_click_opts_out_and_a_program_that_only_follows_the_link_changes_nothing(street: Street) -> None:
    unsubscribe = street.account.unsubscribe
    assert unsubscribe is not None
    url = f"{street.base}/unsubscribe/demo/{token_for(unsubscribe, 'demo', 'cust-1')}"

    looked = await street.http.get(url)
    assert (await street.ledger.reach("demo", "cust-1")).refused == frozenset()
    clicked = await street.http.post(url, content="List-Unsubscribe=One-Click")
    twice = await street.http.post(url)

    assert (looked.status_code, clicked.status_code, twice.status_code) == (200, 200, 200)
    assert '<form method="post">' in looked.text
    assert "Kopi Harian" in looked.text
    assert "script" not in looked.text
    assert "<form" not in clicked.text
    assert (await street.ledger.reach("demo", "cust-1")).refused == {(EMAIL, NoticeKind.ROUTINE)}
    skipped = await street.send(EMAIL, occasion=Occasion.SUCCEEDED, key="r", facts=OPEN)
    assert skipped.channels == {"EMAIL": "skipped"}


@server
async def test_a_link_that_we_did_not_make_opens_nothing(street: Street) -> None:
    unsubscribe = street.account.unsubscribe
    assert unsubscribe is not None
    token = token_for(unsubscribe, "demo", "cust-1")
    foreign = token_for(unsubscribe, "other", "cust-1")
    for place in (
        f"demo/{token[:-2]}AA",
        f"demo/{foreign}",
        f"nobody/{token}",
        "demo/x",
        "demo/%C3%A9",
        "demo/" + "A" * 43,
    ):
        assert (await street.http.post(f"{street.base}/unsubscribe/{place}")).status_code == 404, place

    assert customer_in(unsubscribe, "demo", token) == "cust-1"
    assert (await street.ledger.reach("demo", "cust-1")).refused == frozenset()


# --- mails that come back --------------------------------------------------------------------------------


def report(message_id: str, *, status: str = "5.1.1", action: str = "failed", headers_only: bool = False) -> bytes:
    original = f"From: billing@kopi.example\nTo: ayu@example.com\nSubject: x\nMessage-ID: {message_id}\n\n"
    kind = "text/rfc822-headers" if headers_only else "message/rfc822"
    return f"""From: MAILER-DAEMON@mx.example
To: billing@kopi.example
Subject: Undelivered Mail Returned to Sender
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain

Sorry.

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example

Final-Recipient: rfc822; ayu@example.com
Action: {action}
Status: {status}
Diagnostic-Code: smtp; 550 {status} no such user

--b1
Content-Type: {kind}

{original}
--b1--
""".replace("\n", "\r\n").encode()


@pytest.mark.parametrize(
    ("status", "action", "is_dead"),
    [
        ("5.1.1", "failed", True),
        ("5.1.10", "failed", True),
        ("5.2.1", "failed", True),
        ("5.2.2", "failed", False),  # full, not dead
        ("5.7.1", "failed", False),  # the mail was refused, not the address
        ("4.4.7", "failed", False),
        ("4.4.1", "delayed", False),
    ],
)
@pytest.mark.parametrize("headers_only", [False, True])
def test_a_report_says_which_mail_came_back_and_whether_the_address_is_dead(
    status: str, action: str, is_dead: bool, headers_only: bool
) -> None:
    found = read_bounce(report("<x@kopi.example>", status=status, action=action, headers_only=headers_only))

    assert (found.message_id, found.action, found.status) == ("<x@kopi.example>", action, status)
    assert found.is_address_dead is is_dead


@pytest.mark.parametrize(
    "raw",
    [b"", b"Subject: hello\r\n\r\nhi", report("<x@k>").replace(b"delivery-status; b", b"feedback-report; b"),
     report("none"), report("<x@k>").replace(b"Action: failed\r\n", b""), b"\xff\xfe\x00" * 50],
)  # fmt: skip
def test_what_is_no_report_is_refused(raw: bytes) -> None:
    with pytest.raises(NotABounce):
        read_bounce(raw)


async def door(street: Street, raw: bytes, account: str = "demo", key: str | None = None) -> httpx.Response:
    made = key or (await street.ledger.create_key("demo", name="mail")).text
    headers = {"Authorization": f"Bearer {made}", "Content-Type": "message/rfc822"}
    return await street.http.post(f"{street.base}/webhooks/email/{account}", content=raw, headers=headers)


@server
async def test_a_hard_bounce_is_recorded_and_this_and_the_next_notice_take_another_channel(street: Street) -> None:
    await street.send(EMAIL, facts=OPEN)
    identity = (await street.rows())["EMAIL"].provider_id or ""

    for _ in range(2):
        assert (await door(street, report(identity))).json() == {"result": "failed"}
    (heard,) = await street.told()
    row = (await street.rows())["EMAIL"]
    same = await street.send(EMAIL, facts=OPEN, business_at=heard.at)
    later = await street.send(EMAIL, key="1/1/2/failed", facts=OPEN, business_at=NOW + timedelta(days=1))

    assert (row.status, row.outcome) == ("failed", "the mail came back: 5.1.1")
    assert (row.failed_at is not None, len(street.mail.mails)) == (True, 1)
    assert same.channels == {"EMAIL": "failed", "WHATSAPP": "sent"}
    assert later.channels == {"EMAIL": "skipped", "WHATSAPP": "sent"}
    assert "the mail came back: 5.1.1" in later.because


@server
async def test_a_new_address_is_written_to_again(street: Street) -> None:
    await street.ledger.mark_dead("demo", "cust-1", EMAIL, "the mail came back: 5.1.1")
    assert (await street.ledger.reach("demo", "cust-1")).dead == {EMAIL: "the mail came back: 5.1.1"}

    await street.contacts(email="new@example.com")
    assert (await street.send(EMAIL, facts=OPEN)).channels == {"EMAIL": "sent"}

    await street.contacts(email="AYU@example.com")
    assert EMAIL in (await street.ledger.reach("demo", "cust-1")).dead
    await street.ledger.mark_alive("demo", "cust-1", EMAIL)
    assert (await street.ledger.reach("demo", "cust-1")).dead == {}


@server
async def test_a_soft_bounce_fails_the_notice_and_keeps_the_address(street: Street) -> None:
    await street.send(EMAIL, facts=OPEN)
    identity = (await street.rows())["EMAIL"].provider_id or ""

    assert (await door(street, report(identity, action="delayed", status="4.4.1"))).json() == {"result": "noted"}
    assert (await street.rows())["EMAIL"].status == "sent"
    await door(street, report(identity, status="5.2.2"))

    assert (await street.rows())["EMAIL"].status == "failed"
    assert (await street.ledger.reach("demo", "cust-1")).dead == {}
    assert await street.told() == []


@server
async def test_the_bounce_door_wants_a_key_of_the_account_and_a_report_of_a_mail_of_ours(street: Street) -> None:
    raw = report("<stranger@kopi.example>")
    other = (await street.ledger.create_key("other", name="mail")).text

    answers = [
        await door(street, raw),
        await door(street, raw, key=other),
        await door(street, raw, key="dnk_wrong"),
        await door(street, b"Subject: hi\r\n\r\nhi"),
        await door(street, b"x" * (1024 * 1024 + 1)),
        await street.http.post(f"{street.base}/webhooks/email/demo", content=raw),
    ]

    assert [one.status_code for one in answers] == [200, 401, 401, 422, 413, 401]
    assert answers[0].json() == {"result": "not ours"}


# --- truth and quiet hours on the way to the channel ---------------------------------------------------------


@server
@pytest.mark.parametrize(
    "occasion",
    [Occasion.FAILED, Occasion.RETRY_REMINDER, Occasion.ACTION_REQUIRED, Occasion.ON_HOLD, Occasion.STOPPED],
)
async def test_a_failure_that_was_paid_before_it_left_is_dropped_with_the_reason(
    street: Street, occasion: Occasion
) -> None:
    till = Gateway(street.http, street.ledger, street.box, street.dispatcher)
    key = await till.send_attempt()
    await street.ledger.settle(key, Outcome(kind=OutcomeKind.SUCCEEDED, at=NOW, provider_payment_id="pay_1"))

    outcome = await street.send(EMAIL, WHATSAPP, occasion=occasion, facts=OPEN, obligation="1")

    assert outcome.channels == {"EMAIL": "dropped", "WHATSAPP": "dropped"}
    assert (await street.rows())["EMAIL"].outcome == "paid in the meantime"
    assert (street.mail.mails, await street.messages()) == ([], [])
    thanks = await street.send(EMAIL, occasion=Occasion.RECOVERED, key="t", facts=OPEN, obligation="1")
    assert thanks.channels == {"EMAIL": "sent"}


@server
@pytest.mark.parametrize(
    ("occasion", "is_precondition", "status"),
    [(Occasion.UPCOMING_CHARGE, False, "dropped"), (Occasion.CARD_EXPIRING, False, "dropped"),
     (Occasion.UPCOMING_CHARGE, True, "sent"), (Occasion.SUCCEEDED, False, "sent")],
)  # fmt: skip
async def test_an_announcement_whose_instant_came_first_is_dropped(
    street: Street, occasion: Occasion, is_precondition: bool, status: str
) -> None:
    facts = {**OPEN, "next_due_at": NOW.isoformat(), "expires": "2026-03"}

    outcome = await street.send(EMAIL, occasion=occasion, facts=facts, is_precondition=is_precondition)

    assert outcome.channels == {"EMAIL": status}


@server
async def test_a_notice_that_comes_late_into_the_quiet_hours_waits_for_the_morning(street: Street) -> None:
    night = NOW.replace(hour=22)

    held = await street.send(EMAIL, facts=OPEN, business_at=night)
    street.clock = held.retry_at or night
    told = await street.send(EMAIL, facts=OPEN)

    assert (held.channels, held.retry_at) == ({"EMAIL": "waiting"}, datetime(2026, 3, 6, 8, tzinfo=UTC))
    assert told.channels == {"EMAIL": "sent"}
