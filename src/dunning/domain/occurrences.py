"""The due instants that are still to come, as the calendar stands now. SPEC 5."""

from __future__ import annotations

from datetime import datetime

from dunning.domain.base import Value
from dunning.domain.planning import spread
from dunning.domain.state import State
from dunning.domain.tables import ENDED, SubscriptionStatus

_S = SubscriptionStatus


class Occurrence(Value):
    """One cycle that is to open. `amount` in minor units; `is_skipped`: it will not be collected, and why."""

    number: int
    due_at: datetime
    amount: int
    currency: str
    is_skipped: bool
    because: str


def occurrences(state: State, count: int) -> list[Occurrence]:
    """The next cycles, at most `count`; none before the authorisation, which fixes the calendar.

    A later command, decline or recovery may still move them.
    """
    calendar = state.calendar
    if calendar is None or state.status in ENDED:
        return []
    found: list[Occurrence] = []
    for number in range(state.next_number, state.next_number + count):
        due = calendar.due_if_any(number)
        if due is None or (state.status is _S.CANCELED and number > _committed(state)):
            break
        because = _why_skipped(state, number, due)
        terms = state.next_terms or state.terms
        found.append(
            Occurrence(
                number=number,
                due_at=due + spread(state),
                amount=terms.amount,
                currency=terms.currency,
                is_skipped=because is not None,
                because=because or f"cycle {number} of the calendar",
            )
        )
    return found


def _committed(state: State) -> int:
    return state.terms.schedule.commitment_cycles or 0


def _why_skipped(state: State, number: int, due: datetime) -> str | None:
    if number in state.skips:
        return "it is to be skipped, by command"
    if state.status is _S.PAUSED and (state.pause_until is None or due < state.pause_until):
        return "the subscription is paused"
    if state.status is _S.ON_HOLD:
        return "the subscription is on hold: the calendar starts again when it recovers"
    return None
