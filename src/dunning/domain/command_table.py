"""Which command does what in which state: one table, whole. SPEC 9.

`docs/commands.md` is drawn from it; a test walks every cell. A refusal leaves the state untouched.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from dunning.domain import changing_items, orders
from dunning.domain.access import ends_at
from dunning.domain.base import Value
from dunning.domain.commands import ChangeItems, Charge, Command, Refund, RetryNow, Revoke, SkipCycle
from dunning.domain.expecting import way_of
from dunning.domain.plan_commands import refusal, refuse_items
from dunning.domain.plan_rules import Means
from dunning.domain.state import Obligation, State
from dunning.domain.tables import CycleStatus, SubscriptionStatus

_S = SubscriptionStatus
_ALL = tuple(SubscriptionStatus)

ALLOWED = "allowed"

_ENDED = {_S.INACTIVE: "the subscription has ended; start it again", _S.FAILED: "it never started; start it again"}
_NOT_YET = {
    _S.REQUIRES_ACTION: "the customer has not authorised charging yet",
    _S.ACTIVATING: "it is being activated",
}
_CANCELED = {_S.CANCELED: "it is canceled"}
_PAUSED = {_S.PAUSED: "it is paused; resume it first"}


def _row(*allowed: SubscriptionStatus) -> dict[SubscriptionStatus, str]:
    return dict.fromkeys(allowed, ALLOWED)


COMMAND_TABLE: Mapping[str, Mapping[SubscriptionStatus, str]] = {
    "cancel": {
        **_ENDED,
        _S.CANCELED: "it is canceled already",
        **_row(_S.REQUIRES_ACTION, _S.ACTIVATING, _S.ACTIVE, _S.PAST_DUE, _S.ON_HOLD, _S.PAUSED),
    },
    "restore": {
        **_ENDED,
        **dict.fromkeys(
            (_S.REQUIRES_ACTION, _S.ACTIVATING, _S.ACTIVE, _S.PAST_DUE, _S.ON_HOLD, _S.PAUSED), "it is not canceled"
        ),
        **_row(_S.CANCELED),
    },
    "pause": {
        **_ENDED,
        **_NOT_YET,
        **_CANCELED,
        _S.ON_HOLD: "it is on hold: what is owed comes first",
        _S.PAUSED: "it is paused already",
        **_row(_S.ACTIVE, _S.PAST_DUE),
    },
    "resume": {
        **_ENDED,
        **_NOT_YET,
        **_CANCELED,
        **dict.fromkeys((_S.ACTIVE, _S.PAST_DUE, _S.ON_HOLD), "it is not paused"),
        **_row(_S.PAUSED),
    },
    "defer": {
        **_ENDED,
        **_NOT_YET,
        **_CANCELED,
        **_PAUSED,
        _S.ON_HOLD: "it is on hold: the calendar starts again when it recovers",
        **_row(_S.ACTIVE, _S.PAST_DUE),
    },
    "charge": {**_ENDED, **_NOT_YET, **_CANCELED, **_PAUSED, **_row(_S.ACTIVE, _S.PAST_DUE, _S.ON_HOLD)},
    "retry_now": {
        **_ENDED,
        **_NOT_YET,
        **_PAUSED,
        **_row(_S.ACTIVE, _S.PAST_DUE, _S.ON_HOLD, _S.CANCELED),
    },
    "update_payment_method": {
        **_ENDED,
        _S.REQUIRES_ACTION: "the customer completes the mandate link instead",
        **_row(_S.ACTIVATING, _S.ACTIVE, _S.PAST_DUE, _S.ON_HOLD, _S.PAUSED, _S.CANCELED),
    },
    "skip_cycle": {
        **_ENDED,
        **_NOT_YET,
        **_CANCELED,
        _S.PAUSED: "it is paused: its cycles are skipped already",
        _S.ON_HOLD: "it is on hold: no cycle opens",
        **_row(_S.ACTIVE, _S.PAST_DUE),
    },
    "set_policy": {
        **_ENDED,
        **_row(_S.REQUIRES_ACTION, _S.ACTIVATING, _S.ACTIVE, _S.PAST_DUE, _S.ON_HOLD, _S.PAUSED, _S.CANCELED),
    },
    "mark_fixed": {
        **_ENDED,
        **_NOT_YET,
        **_PAUSED,
        **_row(_S.ACTIVE, _S.PAST_DUE, _S.ON_HOLD, _S.CANCELED),
    },
    # Whatever the subscription has come to: money that was taken can be given back.
    "refund": _row(*_ALL),
    "revoke": {
        **_ENDED,
        _S.REQUIRES_ACTION: "nothing has begun that could be revoked; cancel it",
        _S.ACTIVATING: "it is being activated; cancel it",
        **_row(_S.ACTIVE, _S.PAST_DUE, _S.ON_HOLD, _S.PAUSED, _S.CANCELED),
    },
    "change_items": {
        **_ENDED,
        **_NOT_YET,
        _S.CANCELED: "it is canceled; restore it first",
        **_PAUSED,
        _S.PAST_DUE: "a payment is declined: what is owed comes first",
        _S.ON_HOLD: "it is on hold: what is owed comes first",
        **_row(_S.ACTIVE),
    },
    "reinstate": {
        **dict.fromkeys(_ALL, "only a subscription that ended can be reinstated"),
        _S.FAILED: "it never started; start it again",
        **_row(_S.INACTIVE),
    },
}

WAITS = frozenset({"cancel", "pause", "retry_now", "revoke", "change_items"})
"""Queued until the charge on its way has settled. SPEC 8, 9. A refund waits for the charge that it names."""


class Verdict(Value):
    """Whether a command is taken, and why not."""

    is_allowed: bool
    because: str = ""


def waits(state: State, command: Command) -> bool:
    """Whether the command is put off while a charge is on its way."""
    if isinstance(command, Refund):
        return orders.is_on_its_way(state, command.order)
    return command.name in WAITS


def judge(state: State, command: Command, now: datetime) -> Verdict:
    """Whether the command is allowed in this state: the table first, then what it asks for."""
    cell = COMMAND_TABLE[command.name][state.status]
    if cell != ALLOWED:
        return Verdict(is_allowed=False, because=cell)
    barred = refusal(state, command)
    if barred is not None:
        return Verdict(is_allowed=False, because=barred)
    because = _CHECKS[command.name](state, command, now) if command.name in _CHECKS else None
    return Verdict(is_allowed=because is None, because=because or "")


def retry_target(state: State, command: RetryNow) -> Obligation | None:
    """The obligation a person's try collects: the one named, else the oldest that can be tried."""
    tryable = (
        CycleStatus.RETRYING,
        CycleStatus.AWAITING_METHOD,
        CycleStatus.AWAITING_OPERATOR,
        CycleStatus.FAILED,
    )
    for obligation in sorted(state.obligations, key=lambda o: (o.status is CycleStatus.FAILED, o.due_at)):
        if obligation.status in tryable and command.obligation in (None, obligation.id):
            return obligation
    return None


def _restore(state: State, command: Command, now: datetime) -> str | None:
    if state.cancel_type != "USER_REQUESTED_STOP_RENEWALS":
        return "only a cancellation that the user asked for can be restored"
    end = ends_at(state)
    if end is None or now >= end:
        return "the paid period is over"
    return None


def _retry_now(state: State, command: Command, now: datetime) -> str | None:
    if not isinstance(command, RetryNow):
        return None
    if retry_target(state, command) is None and state.is_settled:
        return "nothing is owed that could be tried"
    if not any(m.verdict != "HARD" and not m.is_expired(now) for m in state.methods):
        return "every payment method was declined for good or has expired: ask for another one"
    return None


def _charge(state: State, command: Command, now: datetime) -> str | None:
    if isinstance(command, Charge) and command.currency not in (None, state.terms.currency):
        return f"currency: must be the subscription's {state.terms.currency}, was {command.currency}"
    if not any(m.is_usable(now) for m in state.methods):
        return "there is no usable payment method"
    return None


def _skip(state: State, command: Command, now: datetime) -> str | None:
    number = command.number if isinstance(command, SkipCycle) else None
    if number is not None and number < state.next_number:
        return f"number: cycle {number} has opened already; the next is {state.next_number}"
    if state.calendar is None or not state.calendar.has_cycle(number or state.next_number):
        return "no further cycle is to open"
    return None


def _mark_fixed(state: State, command: Command, now: datetime) -> str | None:
    if not any(o.status is CycleStatus.AWAITING_OPERATOR for o in state.obligations):
        return "nothing waits for an operator"
    return None


def _reinstate(state: State, command: Command, now: datetime) -> str | None:
    late = [o.period_end for o in state.obligations if o.status is CycleStatus.SUCCEEDED and o.period_end]
    if not any(end > now for end in late):
        return "no late payment covers a period that is still running"
    return None


def _defer(state: State, command: Command, now: datetime) -> str | None:
    if state.calendar is None or not state.calendar.has_cycle(state.next_number):
        return "no further cycle is to open"
    return None


def _refund(state: State, command: Command, now: datetime) -> str | None:
    return orders.refuse_refund(state, command) if isinstance(command, Refund) else None


def _revoke(state: State, command: Command, now: datetime) -> str | None:
    return orders.refuse_revoke(state, command, now) if isinstance(command, Revoke) else None


def _change_items(state: State, command: Command, now: datetime) -> str | None:
    if not isinstance(command, ChangeItems):
        return None
    way = way_of(state, command)
    is_app = way is not None and way.means is Means.APP
    return refuse_items(state, command) if is_app else changing_items.refuse(state, command, now)


_CHECKS = {
    "change_items": _change_items,
    "refund": _refund,
    "revoke": _revoke,
    "restore": _restore,
    "retry_now": _retry_now,
    "charge": _charge,
    "skip_cycle": _skip,
    "mark_fixed": _mark_fixed,
    "reinstate": _reinstate,
    "defer": _defer,
}
