"""One step of the machine while it is being taken: the state so far, and what follows from it.

A `Step` lives inside one call of `apply` and is never shared; outside, everything is a frozen value.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dunning.domain.access import told_access
from dunning.domain.commands import CommandResult
from dunning.domain.messages import EventDraft, EventType, NoticeStatus, PlannedNotice
from dunning.domain.state import Attention, Obligation, State
from dunning.domain.tables import CycleFact, SubscriptionFact, step_cycle, step_subscription
from dunning.domain.terms import Occasion

_PAYMENTS = frozenset({EventType.PAYMENT_SUCCEEDED, EventType.PAYMENT_FAILED})
"""Most of these are written by the ledger in the transaction that settles the attempt, which has no state at hand."""


_Draft = tuple[EventType, dict[str, Any]]


class Applied:
    """The new state, and what follows: events for the backend, notices that are new or changed, command results."""

    __slots__ = ("_drafts", "notices", "results", "state")

    def __init__(
        self,
        state: State,
        drafts: Sequence[_Draft],
        notices: tuple[PlannedNotice, ...],
        results: tuple[CommandResult, ...],
    ) -> None:
        self.state = state
        self.notices = notices
        self.results = results
        self._drafts = drafts

    @property
    def events(self) -> tuple[EventDraft, ...]:
        """The events, each with what access is after the whole step: a backend needs no rule of its own. SPEC 10.

        They are written out when they are asked for: `preview` has no use for them.
        """
        if not self._drafts:
            return ()
        state = self.state
        granted = told_access(state, state.latest)
        return tuple(
            EventDraft(
                type=event,
                at=state.latest,
                data=data if event in _PAYMENTS else {**data, "access": granted},
                key=f"{state.revision}.{place}",
            )
            for place, (event, data) in enumerate(self._drafts)
        )


class Step:
    """The builder that `apply` works on.

    Attributes:
        s: the state so far; every change of this step shows in it at once.
        now: business time; the later of what was given and the latest instant in the state.
    """

    def __init__(self, state: State, now: datetime) -> None:
        # The step's own copy: nobody else has seen it, so `set` may write into it, many times a step.
        self.s = state.but()
        self._fields = vars(self.s)
        self.now = max(now, state.latest)
        self._drafts: list[_Draft] = []
        self._notices: dict[str, PlannedNotice] = {}
        self._results: list[CommandResult] = []

    def set(self, **changes: Any) -> None:
        """Change fields of the state."""
        self._fields.update(changes)

    def put(self, obligation: Obligation, **changes: Any) -> Obligation:
        """Store an obligation (with changes); a new one is appended."""
        new = obligation.but(**changes) if changes else obligation
        kept = self._fields["obligations"]
        if kept and kept[-1].id == new.id:  # what is being collected is the latest, nearly always
            self._fields["obligations"] = (*kept[:-1], new)
        elif self.s.has(new.id):
            self._fields["obligations"] = tuple(new if old.id == new.id else old for old in kept)
        else:
            self._fields["obligations"] = (*kept, new)
        return new

    def move(self, obligation: Obligation, fact: CycleFact, **changes: Any) -> Obligation:
        """Move an obligation by its table; `IllegalTransition` when there is no row."""
        return self.put(obligation, status=step_cycle(obligation.status, fact), **changes)

    def turn(self, fact: SubscriptionFact) -> None:
        """Move the subscription by its table; `IllegalTransition` when there is no row."""
        self.set(status=step_subscription(self.s.status, fact))

    def emit(self, event: EventType, **data: Any) -> None:
        """An event for the product backend; data must be JSON values."""
        self._drafts.append((event, data))

    def attend(self, what: str, obligation: Obligation | None = None) -> None:
        """Ask for a person's eyes: once for the same words about the same obligation."""
        if obligation is not None:
            current = self.s.obligation(obligation.id)
            if what in current.flagged:
                return
            self.put(current, flagged=(*current.flagged, what))
        self.set(attention=(*self.s.attention, Attention(at=self.now, what=what)))
        self.emit(EventType.ATTENTION, what=what, obligation=obligation.id if obligation else None)

    def plan_notice(self, notice: PlannedNotice) -> None:
        """Plan a notice, unless one about the same fact exists."""
        if all(n.key != notice.key for n in self.s.notices):
            self.set(notices=(*self.s.notices, notice))
            self._notices[notice.key] = notice

    def change_notice(self, notice: PlannedNotice, **changes: Any) -> None:
        """Change a planned notice."""
        new = notice.but(**changes)
        self.set(notices=tuple(new if n.key == new.key else n for n in self.s.notices))
        self._notices[new.key] = new

    def drop_notices(self, because: str, *, obligation: str | None = None, occasion: Occasion | None = None) -> None:
        """Drop planned notices that became untrue; what is being sent already is left alone. SPEC 11."""
        for notice in self.s.notices:
            if notice.status is not NoticeStatus.PLANNED or occasion not in (None, notice.occasion):
                continue
            if obligation is None or notice.obligation == obligation:
                self.change_notice(notice, status=NoticeStatus.DROPPED, outcome=because)

    def answer(self, result: CommandResult) -> None:
        """Store a command's final result."""
        self._results.append(result)
        others = tuple(r for r in self.s.results if r.command_id != result.command_id)
        self.set(results=(*others, result))

    def done(self) -> Applied:
        """Close the step: the revision is raised."""
        self._fields["revision"] += 1
        self._fields["latest"] = self.now
        return Applied(self.s, self._drafts, tuple(self._notices.values()), tuple(self._results))
