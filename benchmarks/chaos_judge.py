"""A run of the portfolio, and how one with faults may differ from one without. SPEC 19.

For each cycle: the same paid amount and status, and the same outcomes in the same order of the attempts that reached
the provider. The same instants too, but for what follows an outage of 12 hours or more, or an attempt that was closed
as absent. No obligation is paid twice, no key is sent twice, no cycle is missing.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from benchmarks.chaos_portfolio import Member
from dunning.demo.judging import by_obligation
from dunning.demo.living import Lived
from dunning.domain.attempts import OutcomeKind
from dunning.domain.base import Value
from dunning.ledger.models import StoredAttempt

LONG_OUTAGE = timedelta(hours=12)
_ENDS = {"recurring.cycle.succeeded": "succeeded", "recurring.cycle.failed": "failed"}


class Life(Value):
    """One subscription's run: what was lived, and the events that its backend is told."""

    lived: Lived
    events: tuple[dict[str, object], ...]

    @property
    def cycles(self) -> dict[str, str]:
        """What became of each cycle, in the words told to the backend."""
        found: dict[str, str] = {}
        for event in self.events:
            if event["type"] == "recurring.cycle.created":
                found[str(event["cycle"])] = "open"
            elif event["type"] in _ENDS:
                found[str(event["cycle"])] = _ENDS[str(event["type"])]
        return found

    @property
    def paid(self) -> dict[str, int]:
        """Minor units that the provider's own book shows as paid, by obligation."""
        found: Counter[str] = Counter()
        for charge in self.lived.charges:
            if charge["status"] == "succeeded":
                found[str(charge["obligation"])] += int(charge["amount"])
        return dict(found)


def differences(member: Member, calm: Life, chaos: Life) -> list[str]:
    """Everything in which the run with faults is not as it must be."""
    found = _money(calm) + _money(chaos)
    for what, want, was in (
        ("status", calm.lived.status, chaos.lived.status),
        ("cycles", calm.cycles, chaos.cycles),
        ("paid", calm.paid, chaos.paid),
    ):
        if want != was:
            found.append(f"{what}: without faults {want}, with faults {was}")
    return found + _attempts(member, calm, chaos)


def _money(life: Life) -> list[str]:
    charged = Counter(str(c["obligation"]) for c in life.lived.charges if c["status"] == "succeeded")
    found = [f"obligation {o} was paid {n} times" for o, n in charged.items() if n > 1]
    sent = Counter(str(c["key"]) for c in life.lived.charges)
    found += [f"key {key} was charged {n} times" for key, n in sent.items() if n > 1]
    unsettled = [r for r in life.lived.attempts if r.settled_at is None]
    found += [f"attempt {r.number} of {r.obligation} is {r.status} at the end" for r in unsettled]
    booked = {str(c["key"]) for c in life.lived.charges}
    found += [
        f"attempt {r.number} of {r.obligation} was closed as absent, and the provider has it"
        for r in life.lived.attempts
        if _is_absent(r) and r.key in booked
    ]
    return found


def _attempts(member: Member, calm: Life, chaos: Life) -> list[str]:
    found: list[str] = []
    want, have = by_obligation(calm.lived.attempts), by_obligation(chaos.lived.attempts)
    is_excused = False
    for obligation in sorted(set(want) | set(have), key=lambda o: (len(o), o)):
        before, after = want.get(obligation, []), have.get(obligation, [])
        outcomes = [_outcome(r) for r in before if not _is_absent(r)], [_outcome(r) for r in after if not _is_absent(r)]
        if outcomes[0] != outcomes[1]:
            found.append(f"obligation {obligation}: outcomes {outcomes[0]}, with faults {outcomes[1]}")
        is_late = is_excused and member.moves_its_calendar
        for first, second in zip(before, after, strict=False):
            if is_late:
                break
            planned = [(r.number, r.trigger, r.planned_at.isoformat()) for r in (first, second)]
            if planned[0] != planned[1]:
                found.append(f"obligation {obligation}: planned {planned[0]}, with faults {planned[1]}")
            is_late = _is_excuse(first) or _is_excuse(second)
        is_excused |= is_late
    return found


def _is_absent(row: StoredAttempt) -> bool:
    return row.outcome is not None and row.outcome.kind is OutcomeKind.ABSENT


def _is_excuse(row: StoredAttempt) -> bool:
    """Whether what comes after this attempt may move: it was closed as absent, or held up for 12 hours."""
    return _is_absent(row) or row.business_at - row.planned_at >= LONG_OUTAGE


def _outcome(row: StoredAttempt) -> str:
    if row.outcome is None:
        return row.status
    return row.outcome.raw_code or row.outcome.kind.value
