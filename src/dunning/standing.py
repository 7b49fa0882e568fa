"""Where a subscription stands: its run's own word, or the ledger's last snapshot where no run answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from dunning.client import DunningClient
from dunning.domain.access import access, item_access
from dunning.domain.base import Value
from dunning.domain.beginning import new_state
from dunning.domain.decide import Decision, Do, decide
from dunning.domain.foretelling import instant
from dunning.domain.showing import summary
from dunning.domain.state import Obligation, State
from dunning.errors import NotFound
from dunning.ledger.models import Stored


class Standing(Value):
    """A state, its business time, and what it waits for. `source` says who told it."""

    state: State
    now: datetime
    decision: Decision | None
    source: str


async def standing_of(
    dunning: DunningClient, stored: Stored, *, patience: float | None = None, note: Callable[[str], None] | None = None
) -> Standing:
    """Ask the run; without one that answers, what the ledger has.

    Args:
        patience: seconds to wait for the run; the client's own limit when not given.
        note: told why the run did not answer.
    """
    try:
        async with asyncio.timeout(patience):
            report = await dunning.show(stored.account, stored.id)
    except NotFound:
        return standing_in_ledger(stored, "no run remembered, as the ledger has it")
    except (RPCError, RuntimeError, TimeoutError, WorkflowQueryFailedError) as error:
        if note is not None:
            note(f"the run does not answer: {str(error)[:120]}")
        return standing_in_ledger(stored, "the run does not answer, as the ledger has it")
    if report.state is None:
        return standing_in_ledger(stored, "the run is starting")
    return _standing(report.state, report.business_now, "as its run has it")


def standing_in_ledger(stored: Stored, source: str = "as the ledger has it") -> Standing:
    """By the latest snapshot, or the terms alone where there is none yet."""
    if stored.snapshot is not None:
        state = State.model_validate(stored.snapshot)
    else:
        state = new_state(
            account=stored.account,
            subscription=stored.id,
            generation=stored.generation,
            terms=stored.terms,
            created_at=stored.created_at,
            reference=stored.reference,
        ).state
    return _standing(state, max(state.latest, datetime.now(UTC)), source)


def _standing(state: State, now: datetime, source: str) -> Standing:
    return Standing(state=state, now=now, decision=decide(state, now), source=source)


def standing_json(found: Standing) -> dict[str, Any]:
    """The same for programs. Amounts in minor units; instants in UTC."""
    state, granted = found.state, access(found.state, found.now)
    return {
        "id": state.id,
        "merchant_account": state.account,
        "generation": state.generation,
        "source": found.source,
        "business_now": instant(found.now),
        "status": state.status.value,
        "access": {
            "granted": granted.is_granted,
            "until": _instant(granted.until),
            "reason": granted.because,
            "items": [
                {
                    "product_id": one.product_id,
                    "granted": one.is_granted,
                    "until": _instant(one.until),
                    "renews": one.is_renewing,
                }
                for one in item_access(state, found.now)
            ],
        },
        "amount": state.terms.amount,
        "currency": state.terms.currency,
        "mandate_link": state.mandate_link,
        "methods": [
            {"token": m.token, "current": m.token == state.current, "verdict": m.verdict, "code": m.verdict_code}
            for m in state.methods
        ],
        "next": next_json(found),
        "obligations": [obligation_json(o) for o in state.obligations],
        "attention": [{"at": instant(a.at), "what": a.what} for a in state.attention],
    }


def next_json(found: Standing) -> dict[str, Any] | None:
    """What happens next by itself; None when only a message can change anything."""
    decision = found.decision
    if decision is None or decision.do is Do.FINISH:
        return None
    return {
        "do": decision.do.value,
        "at": instant(decision.at),
        "summary": summary(found.state, decision),
        "reason": decision.because,
        "obligation": decision.obligation,
    }


def obligation_json(owed: Obligation) -> dict[str, Any]:
    """One cycle or charge, with its attempts and its plan."""
    return {
        "id": owed.id,
        "number": owed.number,
        "status": owed.status.value,
        "amount": owed.amount,
        "currency": owed.currency,
        "due_at": instant(owed.due_at),
        "window_end": _instant(owed.window_end),
        "grace_ends_at": _instant(owed.grace_ends_at),
        "attempts": [a.as_json() for a in owed.attempts],
        "next": owed.next.as_json() if owed.next is not None else None,
        "dropped_rungs": [d.as_json() for d in owed.dropped],
    }


def _instant(at: datetime | None) -> str | None:
    return instant(at) if at is not None else None
