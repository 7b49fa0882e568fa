"""Notices on their way through the workflow: none is lost, none is repeated, and what is set up wrongly is seen."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from dunning.client import DunningClient
from dunning.domain.messages import NoticeStatus
from dunning.domain.quiet import next_allowed
from dunning.domain.state import State
from dunning.gateway.dispatcher import Dispatcher
from dunning.notices.reconciling import Reconciling
from dunning.notices.whatsapp_words import StatusWord
from tests.builders import TOLD
from tests.workflows.world import Life, World

pytestmark = pytest.mark.server

NO_CLAIMS = """
create function refuse() returns trigger language plpgsql as $$ begin raise exception 'away'; end $$;
create trigger no_claims before update on notices
    for each row when (new.status = 'sending') execute function refuse();
"""


def subjects(world: World) -> list[str]:
    return [mail.row()["subject"].split(" Kopi")[0] for mail in world.mail.mails]


def has_settled_notices(state: State) -> bool:
    return bool(state.notices) and not state.live_notices


async def test_a_failure_is_told_when_the_mail_server_is_back_and_so_is_the_recovery(world: World) -> None:
    world.mail.fail_next = 1
    life = await world.begin("INSUFFICIENT_FUNDS", "SUCCEEDED")

    state = await life.until(lambda s: len(world.mail.mails) == 2 and not s.live_notices)

    assert subjects(world) == ["Your payment to", "Thank you: your payment to"]
    first, second = await world.ledger.notices_of("demo", life.name)
    declined_at = state.obligation("1").attempts[0].started_at
    assert declined_at is not None
    assert (first.occasion, first.status, second.occasion, second.status) == ("failed", "sent", "recovered", "sent")
    tried_again = next_allowed(next_allowed(declined_at, "UTC") + timedelta(minutes=15), "UTC")
    assert tried_again <= first.planned_at <= tried_again + timedelta(minutes=2)


async def test_a_template_that_is_missing_is_seen_by_operators_and_e_mail_stands_in(world: World) -> None:
    templates = {"templates": {"another": {"en": 1}}}
    (await world.http.post("/_sandbox/whatsapp", json=templates)).raise_for_status()
    life = await world.begin("EXPIRED_CARD", notifications={occasion: ["WHATSAPP"] for occasion in TOLD})

    state = await life.until(has_settled_notices)

    assert [a.what for a in state.attention] == [
        "WhatsApp 132001: the template is missing in this language, or not approved"
    ]
    assert [n.status for n in state.notices] == [NoticeStatus.SENT]
    assert subjects(world) == ["Please update your payment method for"]


async def test_a_ledger_that_cannot_claim_loses_no_notice(world: World) -> None:
    async with world.ledger._begin() as connection:
        await connection.execute(text(NO_CLAIMS))
    life = await world.begin("INSUFFICIENT_FUNDS", "SUCCEEDED")
    waiting = await life.until(lambda s: any(n.outcome is not None for n in s.notices), step=timedelta(minutes=30))
    assert [n.status for n in waiting.notices] == [NoticeStatus.PLANNED]
    assert world.mail.mails == []

    async with world.ledger._begin() as connection:
        await connection.execute(text("drop trigger no_claims on notices"))
    await life.until(has_settled_notices, step=timedelta(hours=1))

    assert subjects(world) == ["Your payment to"]


ON_WHATSAPP: dict[str, Any] = {"notifications": {occasion: ["WHATSAPP"] for occasion in TOLD}}


async def whatsapp_says(world: World, life: Life, code: int) -> None:
    """Meta reports that its latest message did not arrive; the inbox is drained as the gateway drains it."""
    messages = (await world.http.get("/_sandbox/messages")).json()["messages"]
    place = tuple(messages[-1]["biz_opaque_callback_data"].split("/", 1))
    word = StatusWord(message_id=messages[-1]["wamid"], status="failed", at=await world.now(), place=place, code=code)
    assert await Reconciling(world.ledger).take("demo", word) == "failed"
    client = DunningClient(world.client, world.ledger, task_queue=world.task_queue)
    assert await Dispatcher(world.ledger, client.signal_fact).drain() == 0


async def test_a_message_that_whatsapp_could_not_deliver_goes_by_e_mail_at_once(world: World) -> None:
    life = await world.begin("INSUFFICIENT_FUNDS", "SUCCEEDED", **ON_WHATSAPP)
    await life.until(has_settled_notices, step=timedelta(minutes=5))
    assert world.mail.mails == []

    await whatsapp_says(world, life, 131026)
    await life.until(lambda s: len(world.mail.mails) == 1 and not s.live_notices, step=timedelta(minutes=5))

    rows = {row.channel: row for row in await world.ledger.notices_of("demo", life.name)}
    assert (rows["WHATSAPP"].status, rows["EMAIL"].status) == ("failed", "sent")
    assert subjects(world) == ["Your payment to"]


async def test_a_message_that_meta_held_back_is_not_told_a_day_later_when_it_was_paid_by_then(world: World) -> None:
    life = await world.begin("INSUFFICIENT_FUNDS", "SUCCEEDED", **ON_WHATSAPP)
    await life.until(has_settled_notices, step=timedelta(minutes=5))

    await whatsapp_says(world, life, 131049)
    (waiting,) = (await life.pass_time(timedelta(minutes=1))).notices
    assert waiting.status is NoticeStatus.PLANNED
    assert waiting.at - await world.now() > timedelta(hours=23)
    await life.command("retry_now")
    state = await life.pass_time(timedelta(days=2))

    failed = state.notices[0]
    assert (failed.status, failed.outcome) == (NoticeStatus.DROPPED, "paid in the meantime")
    assert world.mail.mails == []


async def test_a_run_that_is_over_is_opened_again_to_say_what_did_not_arrive(world: World) -> None:
    life = await world.begin(*["INSUFFICIENT_FUNDS"] * 4, **ON_WHATSAPP)
    await life.until(lambda s: s.is_ended and not s.live_notices, step=timedelta(days=1))
    await life.closed()

    await whatsapp_says(world, life, 131026)
    await life.closed()

    assert [mail.row()["subject"].split(" with")[0] for mail in world.mail.mails] == ["Your Pro plan"]
    assert len([c for c in await life.charges() if c["status"] != "succeeded"]) == 4
