"""Refunds that need a server of their own; the others are told with `stories_refunds`. SPEC 9, 13."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dunning.client import DunningClient
from dunning.domain.commands import Refund
from dunning.domain.refunds import RefundStatus
from dunning.domain.tables import SubscriptionStatus
from tests.workflows.stories_refunds import is_settled, told
from tests.workflows.world import ACCOUNT, World

pytestmark = pytest.mark.server
HOUR = timedelta(hours=1)


async def test_a_pending_refund_ends_access_and_is_found_settled_after_the_end_with_every_webhook_lost(
    world: World,
) -> None:
    notifications = {"refunded": ["EMAIL"]}
    life = await world.begin("SUCCEEDED", "SUCCEEDED", notifications=notifications)
    await life.until(lambda s: s.paid_until is not None, step=HOUR)
    await life.command("charge", "extra", amount=5_000)
    (await world.http.post("/_sandbox/configure", json={"refund_status": "pending"})).raise_for_status()

    first = await life.command("refund", "slow", order="1", revoke=True)
    assert (first.status, (await life.state()).status) == ("accepted", SubscriptionStatus.INACTIVE)
    (row,) = await life.refunds()
    answer = await world.http.post(f"/_sandbox/refunds/{row['refund_id']}", json={"status": "succeeded"})
    answer.raise_for_status()
    state = await life.until(lambda s: is_settled(s) and not s.live_notices, step=HOUR)
    await life.closed()
    (await world.http.post("/_sandbox/configure", json={"refund_status": "succeeded"})).raise_for_status()
    client = DunningClient(world.client, world.ledger, task_queue=world.task_queue)
    later = await client.command(ACCOUNT, life.name, Refund(command_id="od", order="od-extra"))

    assert state.refunds[-1].status is RefundStatus.SUCCEEDED
    assert later.status == "done"
    assert sorted(r["amount"] for r in await life.refunds()) == [5_000, 100_000]
    assert len(await told(life, "subscription.refunded")) == 2
    assert "refund" in world.mail.mails[-1].row()["subject"].lower()


async def test_an_order_that_is_none_is_refused_with_the_reason(world: World) -> None:
    life = await world.begin("SUCCEEDED")
    await life.until(lambda s: s.paid_until is not None, step=HOUR)

    result = await life.command("refund", order="pay_of_somebody_else")

    assert result.status == "refused"
    assert "not a payment of this subscription" in result.reason
