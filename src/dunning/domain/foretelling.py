"""What `preview` says, in the words of its stable JSON. SPEC 17.

    {"cycles": [...], "on_demand": [...], "dropped_rungs": [...], "warnings": [...], "final_status": "..."}

and, where the provider states access itself, `"purchase": [...]`: what each item gives from when on.

Every instant is UTC and ends in `Z`, except `local_at`, which has the customer's own offset. `planned_at` is what
the rules give; `at` is when the attempt really ran, null while it has not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from dunning.domain.attempts import Attempt
from dunning.domain.beginning import new_state
from dunning.domain.calendar import Calendar
from dunning.domain.ladder import spread_of
from dunning.domain.messages import NoticeStatus, PlannedNotice
from dunning.domain.preview import Foretold, final_status
from dunning.domain.state import Obligation
from dunning.domain.terms import Channel, Terms
from dunning.domain.window import warnings_for


def as_json(
    foretold: Foretold,
    *,
    terms: Terms,
    warnings: Sequence[str] = (),
    unreachable: Iterable[Channel] = (),
) -> dict[str, Any]:
    """The walk as `preview --json` prints it.

    Args:
        terms: as they were at creation.
        warnings: what creation says beside the rungs that will be dropped.
        unreachable: channels on which this customer gets nothing; no notice is foretold there.
    """
    zone = ZoneInfo(terms.customer.time_zone)
    silent = frozenset(unreachable)
    owed = sorted(foretold.obligations, key=lambda o: (o.due_at, o.number or 0))
    return {
        "cycles": [_cycle(o, foretold.notices, zone, silent) for o in owed if o.is_cycle],
        "on_demand": [_on_demand(o, foretold.notices, zone, silent) for o in owed if not o.is_cycle],
        "dropped_rungs": [rung for o in owed for rung in _dropped(o)],
        "warnings": [*warnings, *rung_warnings(foretold, terms), *foretold.warnings],
        "final_status": final_status(foretold).value,
        **_purchase(foretold),
    }


def _purchase(foretold: Foretold) -> dict[str, Any]:
    """What gives access when, item by item; only where the provider states access itself (Play)."""
    if not foretold.purchase:
        return {}
    moments = [
        {
            "at": instant(one.at),
            "status": one.status,
            "phase": one.phase.value,
            "until": _instant(one.until),
            "next_at": _instant(one.next_at),
            "items": [
                {"product_id": item.product_id, "until": _instant(item.until), "renews": item.is_renewing}
                for item in one.items
            ],
        }
        for one in foretold.purchase
    ]
    return {"purchase": moments}


def _instant(at: datetime | None) -> str | None:
    return instant(at) if at is not None else None


def rung_warnings(foretold: Foretold, terms: Terms) -> tuple[str, ...]:
    """One sentence for each rung that falls outside the recovery window. SPEC 6."""
    calendar = _first_calendar(foretold, terms)
    if calendar is None:
        return ()
    state = foretold.state
    return warnings_for(
        calendar,
        days=terms.retry.days,
        anchor=state.authorized_at or calendar.due(1),
        grace_days=terms.grace_days,
        hold_days=terms.hold_days,
        spread=spread_of(state.id, terms.retry.spread_seconds),
    )


def _first_calendar(foretold: Foretold, terms: Terms) -> Calendar | None:
    """The calendar at creation where a method was given; else the one that the walk arrived at."""
    state = foretold.state
    first = new_state(
        account=state.account,
        subscription=state.id,
        generation=state.generation,
        terms=terms,
        created_at=state.created_at,
    ).state
    return first.calendar or state.calendar


def instant(at: datetime) -> str:
    """`2026-03-05T13:10:00Z`; fractions of a second only where there are any."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _cycle(
    obligation: Obligation, notices: Sequence[PlannedNotice], zone: ZoneInfo, silent: frozenset[Channel]
) -> dict[str, Any]:
    return {"number": obligation.number, **_owed(obligation, notices, zone, silent)}


def _on_demand(
    obligation: Obligation, notices: Sequence[PlannedNotice], zone: ZoneInfo, silent: frozenset[Channel]
) -> dict[str, Any]:
    return {"id": obligation.id, **_owed(obligation, notices, zone, silent)}


def _owed(
    obligation: Obligation, notices: Sequence[PlannedNotice], zone: ZoneInfo, silent: frozenset[Channel]
) -> dict[str, Any]:
    ours = sorted((n for n in notices if n.obligation == obligation.id), key=lambda n: (n.at, n.key))
    return {
        "due_at": instant(obligation.due_at),
        "amount": obligation.amount,
        "currency": obligation.currency,
        "status": obligation.status.value,
        "attempts": [_attempt(attempt, zone) for attempt in obligation.attempts],
        "notices": [told for notice in ours for told in _told(notice, silent)],
    }


def _attempt(attempt: Attempt, zone: ZoneInfo) -> dict[str, Any]:
    shown_at = attempt.started_at or attempt.planned_at
    outcome = attempt.outcome
    return {
        "number": attempt.number,
        "planned_at": instant(attempt.planned_at),
        "at": instant(attempt.started_at) if attempt.started_at is not None else None,
        "local_at": shown_at.astimezone(zone).isoformat(),
        "trigger": attempt.trigger.value,
        "rung": attempt.rung,
        "method": attempt.method,
        "outcome": (outcome.raw_code or outcome.kind.value.upper()) if outcome is not None else None,
        "class": outcome.klass.value if outcome is not None and outcome.klass is not None else None,
        "reason": attempt.because,
    }


def _told(notice: PlannedNotice, silent: frozenset[Channel]) -> list[Mapping[str, Any]]:
    """One entry for each channel. What was withdrawn before its instant is not foretold."""
    if notice.status is NoticeStatus.DROPPED:
        return []
    about = {"occasion": notice.occasion.value}
    when = {"at": instant(notice.at), "reason": notice.because}
    return [{**about, "channel": channel.value, **when} for channel in notice.channels if channel not in silent]


def _dropped(obligation: Obligation) -> list[dict[str, Any]]:
    return [
        {
            "cycle": obligation.number,
            "rung": rung.rung,
            "days": rung.days,
            "at": instant(rung.at),
            "reason": rung.because,
        }
        for rung in obligation.dropped
    ]
