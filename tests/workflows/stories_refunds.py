"""Stories about money that is given back: refunds, revokes, disputes. SPEC 8, 9, 13.

What the run says is compared with the provider's own book of refunds, which hides nothing.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dunning.client import DunningClient
from dunning.domain.access import access
from dunning.domain.refunds import RefundStatus
from dunning.domain.state import State
from dunning.domain.tables import SubscriptionStatus as S
from tests.workflows import telling
from tests.workflows.stories import walks
from tests.workflows.stories_subscription import on_hold, paid, past_due
from tests.workflows.telling import A_MINUTE, cycle_is, done, is_
from tests.workflows.world import ACCOUNT, Life, World

SOFT = "INSUFFICIENT_FUNDS"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


async def told(life: Life, type_: str) -> list[dict[str, Any]]:
    rows = await life.world.ledger.events_of(ACCOUNT, life.name)
    return [row["data"] for row in rows if row["type"] == type_]


async def fault(life: Life, kind: str, **fields: Any) -> None:
    body = {"on": "refund", "kind": kind, "subscription": life.reference, **fields}
    (await life.world.http.post("/_sandbox/faults", json=body)).raise_for_status()


async def final(life: Life, command_id: str) -> str:
    """What the command's row says in the end: an Update answers with its first word for ever."""
    result = await life.world.ledger.command_result(ACCOUNT, command_id)
    return result.status if result is not None else "none"


def is_settled(state: State) -> bool:
    return bool(state.refunds) and not state.open_refunds


@walks("C succeeded refunded")
async def given_back_in_parts_and_never_more_than_was_paid(world: World) -> None:
    life = await paid(world)
    await done(life, "refund", command_id="part-1", order="1", amount=30_000)
    payment = (await life.charges())[0]["payment_id"]
    await done(life, "refund", command_id="rest-1", order=payment)
    again = await life.command("refund", "part-1", order="1", amount=30_000)
    assert again.detail["amount"] == "30000"
    assert sorted(r["amount"] for r in await life.refunds()) == [30_000, 70_000]
    assert [e["amount"] for e in await told(life, "subscription.refunded")] == [30_000, 70_000]
    state = await life.state()
    assert state.obligation("1").refunded == 100_000
    assert access(state, state.latest).is_granted


@walks()
async def the_answer_is_lost_after_the_refund_was_made(world: World) -> None:
    life = await paid(world)
    await fault(life, "drop_after_commit")
    first = await life.command("refund", "lost-answer", order="1")
    await life.until(is_settled, step=A_MINUTE)
    assert (first.status, await final(life, "lost-answer")) == ("accepted", "done")
    assert len(await life.refunds()) == 1


@walks()
async def the_request_is_lost_and_never_sent_again(world: World) -> None:
    life = await paid(world)
    await fault(life, "drop_connection")
    await life.command("refund", "lost-request", order="1")
    state = await life.until(is_settled, step=3 * HOUR)
    assert await life.refunds() == []
    assert [r.status for r in state.refunds] == [RefundStatus.FAILED]
    assert any("unclear for an hour" in a.what for a in state.attention)
    assert await final(life, "lost-request") == "refused"
    await done(life, "refund", command_id="lost-request-2", order="1")


@walks()
async def an_outage_puts_a_refund_off_under_its_key(world: World) -> None:
    life = await paid(world)
    await fault(life, "429", times=2)
    first = await life.command("refund", "outage", order="1")
    await life.until(is_settled, step=A_MINUTE)
    assert (first.status, await final(life, "outage")) == ("accepted", "done")
    assert len(await life.refunds()) == 1


@walks("C pending succeeded")
async def a_refund_of_a_charge_on_its_way_waits_until_it_is_paid(world: World) -> None:
    life = await world.begin("PENDING/2h/SUCCEEDED")
    await cycle_is(life, "pending")
    first = await life.command("refund", "early-paid", order="1")
    await life.until(is_settled, step=HOUR)
    assert (first.status, await final(life, "early-paid")) == ("accepted", "done")
    assert len(await life.refunds()) == 1


@walks("C pending declined_retryable")
async def a_refund_of_a_charge_on_its_way_that_is_declined_is_refused(world: World) -> None:
    life = await world.begin(f"PENDING/2h/{SOFT}")
    await cycle_is(life, "pending")
    await life.command("refund", "early-declined", order="1")
    await cycle_is(life, "retrying")
    await world.sleep(A_MINUTE)
    result = await world.ledger.command_result(ACCOUNT, "early-declined")
    assert result is not None
    assert (result.status, result.reason) == ("refused", "order 1 was not paid")


@walks("C unknown proved_paid")
async def a_refund_of_an_unknown_attempt_waits_until_it_is_found_paid(world: World) -> None:
    life = await world.begin("SUCCEEDED")
    for on, kind, times in (("charge", "drop_after_commit", 1), ("lookup", "http_500", 3)):
        body = {"on": on, "kind": kind, "times": times, "subscription": life.reference}
        (await world.http.post("/_sandbox/faults", json=body)).raise_for_status()
    await cycle_is(life, "unknown", step=A_MINUTE)
    first = await life.command("refund", "unknown-paid", order="1")
    await life.until(is_settled, step=A_MINUTE)
    assert (first.status, await final(life, "unknown-paid")) == ("accepted", "done")
    assert (len(await life.charges()), len(await life.refunds())) == (1, 1)


@walks("S active revoke")
async def a_prorated_revoke_gives_the_unused_days_back(world: World) -> None:
    life = await paid(world)
    cycle = (await life.state()).obligation("1")
    assert cycle.period_end is not None
    days = (cycle.period_end - cycle.due_at).days
    await world.sleep(14 * DAY)
    await done(life, "revoke", type="PRORATED")
    state = await life.until(is_settled, step=A_MINUTE)
    assert (state.status, access(state, state.latest).is_granted) == (S.INACTIVE, False)
    (given,) = await life.refunds()
    # The fifteenth day, or the sixteenth where the clock of all stories went on over midnight.
    assert given["amount"] in {round(100_000 * (days - day) / days) for day in (15, 16)}
    assert len(await told(life, "subscription.revoked")) == 1
    await life.closed()


@walks("S past_due revoke", "C retrying canceled")
async def revoked_while_past_due_gives_nothing_back(world: World) -> None:
    life = await past_due(world)
    await done(life, "revoke", type="FULL")
    await is_(life, "inactive", step=A_MINUTE)
    assert await life.refunds() == []
    assert len(await life.charges()) == 1


@walks("S on_hold revoke")
async def revoked_while_on_hold(world: World) -> None:
    life = await on_hold(world)
    await done(life, "revoke", type="FULL")
    await is_(life, "inactive", step=A_MINUTE)


@walks("S paused revoke")
async def revoked_in_a_pause(world: World) -> None:
    life = await paid(world)
    await done(life, "pause")
    await done(life, "revoke", type="FULL")
    await life.until(is_settled, step=A_MINUTE)
    assert [r["amount"] for r in await life.refunds()] == [100_000]


@walks("S canceled revoke")
async def revoked_after_a_cancel(world: World) -> None:
    life = await paid(world)
    await done(life, "cancel", type="USER_REQUESTED_STOP_RENEWALS")
    await done(life, "revoke", type="FULL")
    await is_(life, "inactive", step=A_MINUTE)
    assert [r["amount"] for r in await life.refunds()] == [100_000]


@walks("C pending declined_after_stop")
async def a_revoke_waits_for_the_charge_on_its_way(world: World) -> None:
    life = await world.begin(f"PENDING/2h/{SOFT}")
    await cycle_is(life, "pending")
    assert (await life.command("revoke", type="FULL")).status == "accepted"
    await is_(life, "inactive", step=HOUR)
    assert (await life.state()).obligation("1").status == "canceled"
    assert (len(await life.charges()), await life.refunds()) == (1, [])


@walks("C succeeded disputed")
async def a_disputed_payment_is_not_given_back_until_the_dispute_is_over(world: World) -> None:
    life = await world.begin("SUCCEEDED", "PENDING/2h/SUCCEEDED")
    await cycle_is(life, "succeeded")
    payment = (await life.charges())[0]["payment_id"]
    await telling.dispute(life, payment, is_open=True)
    state = await life.state()
    assert (state.disputed, bool(state.attention)) == ((payment,), True)
    await telling.dispute(life, payment, is_open=False)
    await done(life, "refund", order=payment)
    assert [r["amount"] for r in await life.refunds()] == [100_000]


@walks("C canceled refunded", "C canceled disputed")
async def what_is_said_about_a_canceled_cycle_is_recorded(world: World) -> None:
    life = await world.begin(SOFT)
    await cycle_is(life, "retrying")
    await done(life, "cancel")
    payment = (await life.charges())[0]["payment_id"]
    dunning = DunningClient(world.client, world.ledger, task_queue=world.task_queue)
    for heard in (await telling.refund_of(life, payment, 100_000), await telling.dispute_of(life, payment)):
        await life.closed()
        await dunning.signal_fact(ACCOUNT, life.name, heard)
    await life.closed()
    state = await life.state()
    assert (state.obligation("1").status, state.obligation("1").refunded) == ("canceled", 100_000)


@walks()
async def a_refund_made_at_the_provider_is_told_once(world: World) -> None:
    life = await paid(world)
    payment = (await life.charges())[0]["payment_id"]
    await telling.refund(life, payment, 40_000)
    await world.sleep(A_MINUTE)
    (event,) = await told(life, "subscription.refunded")
    assert (event["by"], event["amount"]) == ("provider", 40_000)
    assert (await life.state()).obligation("1").refunded == 40_000
