"""What was lived, held against what was foretold and against the golden instants."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from dunning.demo.golden import Golden, instant
from dunning.demo.living import Lived
from dunning.domain.attempts import OutcomeKind
from dunning.domain.preview import Foretold
from dunning.ledger.models import StoredAttempt

TOLERANCE = timedelta(seconds=120)
"""An actual time may be so much after the foretold one; outages and waits for a slot aside. SPEC 17."""


def differences(lived: Lived, foretold: Foretold, golden: Golden, anchor: datetime) -> list[str]:
    """Everything that is not as it must be; an empty list is a pass."""
    return [
        *_against_golden(lived, golden, anchor),
        *_against_preview(lived, foretold),
        *_money(lived, golden),
        *_access(lived),
    ]


def by_obligation(attempts: tuple[StoredAttempt, ...]) -> dict[str, list[StoredAttempt]]:
    """Attempts by obligation, in order of their numbers."""
    found: dict[str, list[StoredAttempt]] = {}
    for attempt in sorted(attempts, key=lambda a: (a.planned_at, a.number)):
        found.setdefault(attempt.obligation, []).append(attempt)
    return found


def _short(obligation: str) -> str:
    return "od" if obligation.startswith("od-") else obligation


def _against_golden(lived: Lived, golden: Golden, anchor: datetime) -> list[str]:
    found = []
    have = {_short(o): [a.planned_at for a in rows] for o, rows in by_obligation(lived.attempts).items()}
    for obligation in sorted(set(have) | set(golden.attempts)):
        want = [instant(words, anchor) for words in golden.attempts.get(obligation, ())]
        was = have.get(obligation, [])
        if was != want:
            found.append(f"golden: obligation {obligation}: wanted {_list(want)}, was {_list(was)}")
    if lived.status != golden.status:
        found.append(f"golden: status: wanted {golden.status}, was {lived.status}")
    return found


def _against_preview(lived: Lived, foretold: Foretold) -> list[str]:
    found = []
    have = {_short(o): rows for o, rows in by_obligation(lived.attempts).items()}
    for obligation in foretold.obligations:
        rows = have.pop(_short(obligation.id), [])
        planned = [(a.number, a.trigger.value, a.planned_at) for a in obligation.attempts]
        ran = [(a.number, a.trigger, a.planned_at) for a in rows]
        if planned != ran:
            found.append(f"preview: obligation {obligation.id}: foretold {planned}, ran {ran}")
            continue
        for attempt, row in zip(obligation.attempts, rows, strict=True):
            late = row.business_at - (attempt.started_at or attempt.planned_at)
            if not timedelta(0) <= late <= TOLERANCE and attempt.tries <= 1:
                found.append(f"preview: attempt {attempt.number} of {obligation.id} ran {late} away from its time")
    found.extend(f"preview: obligation {o} was not foretold" for o in have)
    if foretold.state.status.value != lived.status:
        found.append(f"preview: status: foretold {foretold.state.status.value}, was {lived.status}")
    return found


def _money(lived: Lived, golden: Golden) -> list[str]:
    """No obligation is paid twice, none that must be paid is missing."""
    # What the provider collects by itself names no obligation of ours; the ledger's book does.
    known = {one.provider_payment_id: one.obligation for one in lived.attempts}
    paid = Counter(
        _short(str(c["obligation"] or known.get(c["payment_id"]) or "1"))
        for c in lived.charges
        if c["status"] == "succeeded"
    )
    found = [f"money: obligation {o} was charged successfully {n} times" for o, n in paid.items() if n > 1]
    found += [f"money: obligation {o} must be paid once, was {paid[o]} times" for o in golden.paid if paid[o] != 1]
    found += [f"money: obligation {o} must not be paid" for o in set(paid) - set(golden.paid)]
    keys = Counter(c["key"] for c in lived.charges if c["key"])
    found.extend(f"money: key {key} was sent {n} times" for key, n in keys.items() if n > 1)
    return found


def _access(lived: Lived) -> list[str]:
    """The backend, which knows signed events alone, says of access what the engine says."""
    told = lived.entitlement
    found: list[str] = []
    if told is None:
        return found
    if told.events_received != told.events_sent:
        found.append(f"events: {told.events_sent} were written, the backend has {told.events_received}")
    if told.backend is not told.engine:
        found.append(f"access at {told.at:%Y-%m-%dT%H:%M:%SZ}: engine {told.engine}, backend {told.backend}")
    return found


def recovered_and_lost(lived: Lived) -> tuple[int, int]:
    """Minor units that a failure had put at risk: paid in the end, and given up."""
    recovered = lost = 0
    for rows in by_obligation(lived.attempts).values():
        failed = any(r.outcome is not None and r.outcome.kind is OutcomeKind.DECLINED for r in rows)
        is_paid = any(r.outcome is not None and r.outcome.kind is OutcomeKind.SUCCEEDED for r in rows) or any(
            c["status"] == "succeeded" and c["kind"] == "pay_link" for c in lived.charges
        )
        if failed and is_paid:
            recovered += rows[0].amount
        elif failed:
            lost += rows[0].amount
    return recovered, lost


def _list(instants: list[datetime]) -> str:
    return "[" + ", ".join(f"{t:%Y-%m-%dT%H:%M:%SZ}" for t in instants) + "]"
