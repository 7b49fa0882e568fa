"""What the provider tells a subscription, said to the workflow as the gateway says it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from dunning.contract import ProviderFact
from dunning.domain.attempts import Outcome, OutcomeKind
from dunning.domain.declines import DeclineClass
from dunning.domain.state import State
from dunning.domain.tables import CycleStatus, SubscriptionStatus
from dunning.providers.base import Mandate, MandateStatus, MessageKind, Payment, PaymentStatus, Refund, RefundStatus
from tests.workflows.shared_clock import A_MOMENT
from tests.workflows.world import Life, World

A_MINUTE = timedelta(minutes=1)
LINK: dict[str, Any] = {"payment_methods": [], "provider_options": {"country": "ID", "product_id": "pdt_1"}}


async def outcome(
    life: Life,
    kind: OutcomeKind = OutcomeKind.DECLINED,
    klass: DeclineClass | None = None,
    *,
    number: int | None = None,
) -> None:
    """What attempt `number` of the first cycle (default: its last) came to."""
    cycle = (await life.state()).obligation("1")
    attempt = cycle.last if number is None else cycle.attempts[number - 1]
    assert attempt is not None
    now = await life.world.now()
    code = f"TOLD_{klass.value}" if klass is not None else None
    told = Outcome(kind=kind, at=now, klass=klass, raw_code=code, provider_payment_id="pay_told")
    await _tell(life, fact(MessageKind.PAYMENT, now, attempt_key=attempt.key, outcome=told))


async def payment_of(life: Life) -> ProviderFact:
    """The message about a payment without a key of ours."""
    now = await life.world.now()
    found = Payment(
        payment_id=f"pay_{uuid.uuid4().hex}", status=PaymentStatus.SUCCEEDED, amount=100_000, currency="IDR",
        created_at=now,
    )  # fmt: skip
    return fact(MessageKind.PAYMENT, now, payment=found)


async def payment(life: Life) -> None:
    """A payment without a key of ours arrived."""
    await _tell(life, await payment_of(life))


async def mandate(life: Life, status: MandateStatus) -> None:
    """What became of the customer's authorisation."""
    now = await life.world.now()
    found = Mandate(reference=life.reference, status=status, method_token="pm_1")
    await _tell(life, fact(MessageKind.MANDATE, now, mandate=found))


async def refund_of(life: Life, payment_id: str, amount: int) -> ProviderFact:
    """The message that money was given back at the provider, without us."""
    now = await life.world.now()
    made = Refund(
        refund_id=f"rfd_{uuid.uuid4().hex}", payment_id=payment_id, status=RefundStatus.SUCCEEDED, amount=amount,
        currency="IDR", created_at=now,
    )  # fmt: skip
    return fact(MessageKind.REFUND, now, refund=made)


async def dispute_of(life: Life, payment_id: str, *, is_open: bool = True) -> ProviderFact:
    """The message that the customer disputes a payment, or that the dispute is over."""
    now = await life.world.now()
    paid = Payment(payment_id=payment_id, status=PaymentStatus.SUCCEEDED, amount=0, currency="IDR", created_at=now)
    return fact(MessageKind.DISPUTE, now, payment=paid, dispute_is_open=is_open)


async def refund(life: Life, payment_id: str, amount: int) -> None:
    """Money was given back at the provider, without us."""
    await _tell(life, await refund_of(life, payment_id, amount))


async def dispute(life: Life, payment_id: str, *, is_open: bool) -> None:
    """The customer disputes a payment, or that dispute is over."""
    await _tell(life, await dispute_of(life, payment_id, is_open=is_open))


async def _tell(life: Life, told: ProviderFact) -> None:
    await life.tell(told)
    await life.world.sleep(A_MOMENT)


async def done(life: Life, name: str, **fields: Any) -> None:
    """A command that is carried out at once."""
    result = await life.command(name, **fields)
    assert result.status == "done", result
    await life.world.sleep(A_MOMENT)


def fact(kind: MessageKind, now: Any, **fields: Any) -> ProviderFact:
    """A message with an id of its own."""
    return ProviderFact(message_id=f"msg-{uuid.uuid4().hex}", kind=kind, occurred_at=now, **fields)


async def is_(life: Life, status: str, *, step: timedelta = timedelta(hours=6), steps: int = 300) -> State:
    """Let time pass until the subscription stands there."""
    return await life.until(lambda s: s.status is SubscriptionStatus(status), step=step, steps=steps)


async def cycle_is(life: Life, status: str, *, step: timedelta = timedelta(minutes=20), cycle: str = "1") -> State:
    """Let time pass until the cycle stands there, between two attempts."""
    wanted = CycleStatus(status)

    def is_reached(state: State) -> bool:
        if not state.has(cycle):
            return False
        found = state.obligation(cycle)
        return found.status is wanted and found.in_flight is None

    return await life.until(is_reached, step=step)


async def unclear(world: World, *outcomes: str, **changes: Any) -> Life:
    """A life whose first charge was lost on the way: nobody knows what became of it."""
    life = await world.begin(*outcomes, **changes)
    fault = {"on": "charge", "kind": "drop_connection", "subscription": life.reference}
    (await world.http.post("/_sandbox/faults", json=fault)).raise_for_status()
    await cycle_is(life, "unknown")
    return life
