"""A message is stored before it is acknowledged, and settles afterwards; nobody's input is ever an error of ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.declines import DeclineClass
from dunning.gateway import app as gateway_app
from dunning.providers.base import MandateStatus, MessageKind
from tests.gateway.house import AT, SECRET, House, agreement, message, payment

pytestmark = pytest.mark.server


# --- what a message does ----------------------------------------------------------------------------


async def test_a_paid_attempt_is_stored_before_the_answer_and_settled_and_told_afterwards(house: House) -> None:
    key = await house.send_attempt()
    answer = await house.deliver(payment(key))
    assert (answer.status_code, answer.json()) == (200, {"result": "stored"})
    (kept,) = await house.rows()
    assert (kept["message_id"], kept["fact"]["payment"]["payment_id"]) == ("msg_1", "pay_1")
    before = await house.ledger.attempt(key)
    assert before is not None
    assert (before.settled_at, house.box.got) == (None, [])  # nothing is done before the loop runs
    assert await house.ledger.has_undrained_inbox("demo", "sub-1")
    assert await house.dispatcher.drain() == 0
    assert not await house.ledger.has_undrained_inbox("demo", "sub-1")
    row = await house.ledger.attempt(key)
    assert row is not None
    assert row.settled_at is not None
    assert row.outcome is not None
    assert (row.outcome.kind, row.provider_payment_id) == (OutcomeKind.SUCCEEDED, "pay_1")
    (told,) = house.box.facts
    assert (told.attempt_key, told.message_id) == (key, "msg_1")
    assert told.outcome == row.outcome
    assert await house.dispatcher.drain() == 0
    assert len(house.box.got) == 1


async def test_a_decline_is_classified_and_stored_with_its_rule(house: House) -> None:
    key = await house.send_attempt()
    await house.deliver(payment(key, "failed", error_code="INSUFFICIENT_FUNDS", error_message="words"))
    await house.dispatcher.drain()
    row = await house.ledger.attempt(key)
    assert row is not None
    assert row.outcome is not None
    assert (row.outcome.kind, row.outcome.klass) == (OutcomeKind.DECLINED, DeclineClass.SOFT)
    assert row.outcome.raw_code == "INSUFFICIENT_FUNDS"
    assert row.outcome.rule
    assert row.outcome.at - AT < timedelta(minutes=5)


async def test_what_the_data_say_wins_over_the_type(house: House) -> None:
    """Dodo sends the latest payload at the time of delivery, whatever the event was."""
    key = await house.send_attempt()
    await house.deliver(payment(key, "succeeded", kind="payment.failed"))
    await house.dispatcher.drain()
    row = await house.ledger.attempt(key)
    assert row is not None
    assert row.outcome is not None
    assert row.outcome.kind is OutcomeKind.SUCCEEDED


async def test_a_repeated_message_is_stored_and_told_once(house: House) -> None:
    key = await house.send_attempt()
    body = payment(key)
    answers = [(await house.deliver(body)).json()["result"] for _ in range(3)]
    assert answers == ["stored", "repeated", "repeated"]
    assert len(await house.rows()) == 1
    await house.dispatcher.drain()
    assert len(house.box.got) == 1


async def test_concurrent_deliveries_of_one_message_are_one(house: House) -> None:
    key = await house.send_attempt()
    body = payment(key)
    answers = await asyncio.gather(*(house.deliver(body) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.json()["result"] for answer in answers).count("stored") == 1
    assert len(await house.rows()) == 1


async def test_a_success_after_a_decline_wins(house: House) -> None:
    key = await house.send_attempt()
    await house.deliver(payment(key, "failed", error_code="GENERIC_DECLINE"), "msg_1")
    await house.deliver(payment(key, "succeeded"), "msg_2")
    await house.dispatcher.drain()
    kinds = [fact.outcome.kind for fact in house.box.facts if fact.outcome is not None]
    assert kinds == [OutcomeKind.DECLINED, OutcomeKind.SUCCEEDED]


async def test_a_decline_after_a_success_changes_nothing(house: House) -> None:
    """Messages come in any order."""
    key = await house.send_attempt()
    await house.deliver(payment(key, "succeeded"), "msg_1")
    await house.deliver(payment(key, "failed", error_code="GENERIC_DECLINE"), "msg_2")
    await house.dispatcher.drain()
    assert {fact.outcome.kind for fact in house.box.facts if fact.outcome} == {OutcomeKind.SUCCEEDED}


async def test_an_undecided_payment_is_recorded_and_told_nobody(house: House) -> None:
    key = await house.send_attempt()
    assert (await house.deliver(payment(key, "processing"))).status_code == 200
    await house.dispatcher.drain()
    row = await house.ledger.attempt(key)
    assert row is not None
    assert row.settled_at is None
    assert (len(await house.rows()), house.box.got) == (1, [])


async def test_a_payment_without_a_key_is_told_as_such(house: House) -> None:
    await house.deliver(payment(None))
    await house.dispatcher.drain()
    (told,) = house.box.facts
    assert told.attempt_key is None
    assert told.payment is not None
    assert (told.payment.amount, told.payment.currency) == (100_000, "IDR")


async def test_a_payment_without_a_key_that_an_attempt_adopted_is_told_as_the_attempts(house: House) -> None:
    await house.subscribe()
    key = await house.send_attempt()
    adopted = Outcome(kind=OutcomeKind.PENDING, at=AT, provider_payment_id="pay_1")
    await house.ledger.settle(key, adopted)
    await house.deliver(payment(None))
    await house.dispatcher.drain()
    row = await house.ledger.attempt(key)
    assert row is not None
    assert row.outcome is not None
    assert row.outcome.kind is OutcomeKind.SUCCEEDED
    [told] = house.box.facts
    assert (told.attempt_key, told.outcome) == (key, row.outcome)


async def test_a_set_up_payment_of_nothing_is_told_nobody(house: House) -> None:
    await house.deliver(payment(None, total_amount=0))
    await house.dispatcher.drain()
    assert (len(await house.rows()), house.box.got) == (1, [])


async def test_an_authorised_mandate_is_found_by_our_id_and_carries_its_reference(house: House) -> None:
    """The reference is new to the ledger: only the metadata say whose it is."""
    await house.deliver(agreement("active", subscription_id="sub_brand_new"))
    await house.dispatcher.drain()
    ((account, name, told),) = house.box.got
    assert (account, name, told.kind) == ("demo", "sub-1", MessageKind.MANDATE)
    assert told.mandate is not None
    assert (told.mandate.reference, told.mandate.status) == ("sub_brand_new", MandateStatus.AUTHORIZED)


async def test_a_subscription_is_found_by_the_providers_reference_too(house: House) -> None:
    await house.deliver(agreement("cancelled", metadata={}))
    await house.dispatcher.drain()
    ((_, name, told),) = house.box.got
    assert name == "sub-1"
    assert told.mandate is not None
    assert told.mandate.status is MandateStatus.ENDED


async def test_a_new_payment_method_is_told_with_its_token(house: House) -> None:
    await house.deliver(agreement("active", kind="subscription.update_payment_method"))
    await house.dispatcher.drain()
    (told,) = house.box.facts
    assert (told.kind, told.method_token) == (MessageKind.METHOD_UPDATED, "pm_2")


async def test_a_dispute_finds_its_subscription_by_the_payment(house: House) -> None:
    key = await house.send_attempt()
    await house.deliver(payment(key), "msg_1")
    data = {"payment_id": "pay_1", "dispute_status": "dispute_opened", "amount": "1000.00", "currency": "IDR"}
    await house.deliver(message("dispute.opened", **data), "msg_2")
    await house.dispatcher.drain()
    ((_, name, told),) = [one for one in house.box.got if one[2].kind is MessageKind.DISPUTE]
    assert (name, told.dispute_is_open) == ("sub-1", True)
    assert told.payment is not None
    assert told.payment.payment_id == "pay_1"


async def test_a_message_about_nobody_is_acknowledged_recorded_and_told_nobody(house: House) -> None:
    body = payment(None, metadata={"subscription": "sub-unknown"}, subscription_id="sub_unknown")
    answer = await house.deliver(body)
    assert (answer.status_code, answer.json()) == (200, {"result": "stored"})
    await house.dispatcher.drain()
    (row,) = await house.rows()
    assert (row["reference"], row["subscription"], house.box.got) == ("sub_unknown", None, [])
    assert await house.ledger.count_waiting() == 0


async def test_a_key_of_another_account_settles_nothing(house: House) -> None:
    await house.subscribe("sub-1", "other", "sub_dodo_2")
    key = await house.send_attempt()
    assert (await house.deliver(payment(key), path="dodo/other")).status_code == 200
    await house.dispatcher.drain()
    row = await house.ledger.attempt(key)
    assert row is not None
    assert row.settled_at is None
    (kept,) = await house.rows()
    assert (kept["subscription"], house.box.got) == (None, [])


async def test_nothing_personal_is_stored_of_a_message(house: House) -> None:
    key = await house.send_attempt()
    customer = {"customer_id": "cus_1", "email": "ayu@example.com", "name": "Ayu", "phone_number": "+6281234567890"}
    await house.deliver(payment(key, customer=customer, billing={"street": "Jalan Satu"}))
    await house.deliver(agreement("active", customer=customer), "msg_2")
    stored = json.dumps([row["fact"] for row in await house.rows()])
    assert "cus_1" in stored
    for personal in ("ayu@example.com", "Ayu", "+628", "Jalan"):
        assert personal not in stored


DOCUMENTED = [
    f"{family}.{name}"
    for family, names in {
        "payment": "succeeded failed processing cancelled",
        "refund": "succeeded failed",
        "dispute": "opened expired accepted cancelled challenged won lost",
        "subscription": "active renewed on_hold past_due paused unpaused cancelled failed expired plan_changed "
        "updated update_payment_method",
        "license_key": "created",
        "payout": "created on_hold in_progress failed success",
        "credit": "added deducted expired rolled_over rollover_forfeited overage_charged overage_reset "
        "manual_adjustment balance_low",
        "abandoned_checkout": "detected recovered",
        "dunning": "started recovered",
        "entitlement_grant": "created delivered failed revoked",
    }.items()
    for name in names.split()
]
STATUS_OF = {"renewed": "active", "unpaused": "active", "plan_changed": "active", "updated": "active"}


async def test_every_documented_event_and_any_new_one_is_acknowledged_and_recorded(house: House) -> None:
    kinds = [*DOCUMENTED, "something.new", "payments", "x" * 200]
    for number, kind in enumerate(kinds):
        answer = await house.deliver(about(kind), f"msg_{number}")
        assert answer.status_code == 200, kind
    assert [row["raw_type"] for row in await house.rows()] == kinds


def about(kind: str) -> bytes:
    family, _, name = kind.partition(".")
    if family == "payment":
        return payment(None, name)
    if family == "subscription":
        status = "active" if name == "update_payment_method" else STATUS_OF.get(name, name)
        return agreement(status, kind)
    if family == "dispute":
        return message(kind, payment_id="pay_9", dispute_status=f"dispute_{name}", amount="1", currency="IDR")
    return message(kind, anything=[1, {"else": None}])


# --- who may speak ----------------------------------------------------------------------------------

GARBAGE: list[bytes] = [
    b"",
    b"null",
    b"[]",
    b"{",
    b"\x00",
    b'{"type":7}',
    b'{"type":""}',
    b'{"type":"payment.failed"}',
    b'{"type":"payment.failed","data":[]}',
    b'{"type":"payment.failed","data":{"payment_id":"","total_amount":1,"currency":"USD"}}',
    b'{"type":"payment.failed","data":{"payment_id":"p","total_amount":"much","currency":"USD"}}',
    b'{"type":"payment.failed","timestamp":"never","data":{"payment_id":"p","total_amount":1,"currency":"U"}}',
    b'{"type":"payment.failed","timestamp":1e400,"data":{}}',
    b'{"type":"subscription.active","data":{"status":"active"}}',
    b'{"type":"dispute.opened","data":{}}',
    b"[" * 100_000,
    b'{"type":"payment.failed","data":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
]


async def test_a_signed_message_that_cannot_be_read_is_refused_without_an_error(house: House) -> None:
    for body in GARBAGE:
        answer = await house.deliver(body)
        assert answer.status_code == 401, body[:80]
    assert await house.rows() == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": "m", "webhook-timestamp": "x", "webhook-signature": "v1,abc"},
        {"webhook-id": "m", "webhook-timestamp": "1772716200", "webhook-signature": "v1,a,b v1"},
        {"webhook-id": "m", "webhook-timestamp": "9" * 30, "webhook-signature": ""},
    ],
)
async def test_an_unsigned_or_badly_signed_message_is_refused(house: House, headers: dict[str, str]) -> None:
    answer = await house.http.post("/webhooks/dodo/demo", content=b"\xff\xfe", headers=headers)
    assert answer.status_code == 401
    assert await house.rows() == []


async def test_an_old_message_is_refused(house: House) -> None:
    body, then = payment(None), datetime.now(UTC) - timedelta(minutes=6)
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(int(then.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("m", then, body.decode()),
    }
    answer = await house.http.post("/webhooks/dodo/demo", content=body, headers=headers)
    assert answer.status_code == 401
    assert await house.rows() == []


@pytest.mark.parametrize("path", ["dodo/nobody", "xendit/demo", "dodo/demo/more", "dodo/"])
async def test_there_is_no_other_door(house: House, path: str) -> None:
    assert (await house.deliver(payment(None), path=path)).status_code == 404


async def test_a_large_body_is_refused_whatever_its_length_claims(house: House) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(8):
            yield b" " * 65_536

    answer = await house.http.post("/webhooks/dodo/demo", content=endless())
    assert answer.status_code == 413
    fits = message("something.new", filler="x" * (gateway_app.MAX_BODY - 400))
    assert (await house.deliver(fits)).status_code == 200


async def test_a_refusal_tells_a_stranger_nothing(house: House) -> None:
    answer = await house.http.post("/webhooks/dodo/demo", content=b"{}")
    assert answer.json() == {"result": "refused"}
