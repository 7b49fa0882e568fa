"""`dunning explain`: why the next thing happens then, and which rules made it so. SPEC 17."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from dunning.cli.output import print_json, say
from dunning.cli.session import AccountOption, JsonOption, SubscriptionArgument, session
from dunning.cli.standing import Standing, next_json, standing_of
from dunning.domain import planning
from dunning.domain.access import access
from dunning.domain.attempts import Attempt, Trigger
from dunning.domain.decide import Do
from dunning.domain.showing import attempt_words, obligation_words, stamp, summary
from dunning.domain.state import Obligation, PlannedAttempt, State
from dunning.domain.tables import CycleStatus


def explain(subscription: SubscriptionArgument, *, account: AccountOption = None, as_data: JsonOption = False) -> None:
    """Say what happens next, when, why then, and by which rules; or what it waits for."""

    async def read() -> Standing:
        async with session(account) as here:
            return await standing_of(here, subscription)

    found = asyncio.run(read())
    told = explained(found)
    if as_data:
        print_json(told)
        return
    say(f"{subscription} is {told['status']}; {told['access']}.", f"Next: {told['answer']}")
    say(*(f"  - {line}" for line in told["reasons"]))
    for owed in told["obligations"]:
        say("", f"{owed['what'].capitalize()}:", *(f"  - {line}" for line in owed["reasons"]))


def explained(found: Standing) -> dict[str, Any]:
    """The explanation as data: sentences, each with the section of the specification it follows."""
    state, decision = found.state, found.decision
    granted = access(state, found.now)
    reasons: list[str] = []
    if decision is None:
        answer = f"nothing by itself: {_waits_for(state)}"
    elif decision.do is Do.FINISH:
        answer = "nothing: everything is done"
    else:
        answer = summary(state, decision)
        reasons.append(f"because {decision.because}")
    return {
        "id": state.id,
        "status": state.status.value,
        "access": f"access is {'granted' if granted.is_granted else 'not granted'}: {granted.because}",
        "answer": answer,
        "next": next_json(found),
        "reasons": [*reasons, *(f"a person should look: {a.what}" for a in state.attention[-3:])],
        "obligations": [
            {"id": owed.id, "what": f"{obligation_words(owed)}, {owed.status.value}", "reasons": [*_owed(state, owed)]}
            for owed in state.obligations
            if owed.is_open
        ],
    }


def _waits_for(state: State) -> str:
    statuses = {owed.status for owed in state.open_obligations}
    if CycleStatus.AWAITING_METHOD in statuses:
        return "the customer has to give another payment method"
    if CycleStatus.AWAITING_OPERATOR in statuses:
        return "an operator has to repair the configuration at the provider (then: dunning mark-fixed)"
    return "it waits for the customer, the provider or a command"


def _owed(state: State, owed: Obligation) -> Iterator[str]:
    last = owed.last
    if last is not None and last.outcome is not None:
        yield _came_to(last)
    if owed.next is not None:
        yield from _planned(state, owed, owed.next)
    if owed.status in (CycleStatus.PENDING, CycleStatus.UNKNOWN):
        yield "a charge is on its way: nothing else is charged until it has settled (SPEC 13)"
    if owed.grace_ends_at is not None:
        yield f"access is kept until {stamp(owed.grace_ends_at)}, then it is on hold (SPEC 8)"
    if owed.window_end is not None:
        action = state.terms.failed_cycle_action.value
        yield f"given up at the latest {stamp(owed.window_end)}, then {action} (SPEC 8, recovery window)"
    for rung in owed.dropped:
        yield f"rung {rung.rung} (day {rung.days}, {stamp(rung.at)}) will not run: {rung.because} (SPEC 6)"


def _came_to(last: Attempt) -> str:
    outcome = last.outcome
    if outcome is None or outcome.klass is None:
        kind = outcome.kind.value if outcome is not None else "on its way"
        return f"attempt {last.number} is {kind}"
    return (
        f"attempt {last.number} was declined with {outcome.raw_code}, class {outcome.klass.value} "
        f"by rule {outcome.rule} (SPEC 7)"
    )


def _planned(state: State, owed: Obligation, planned: PlannedAttempt) -> Iterator[str]:
    yield f"{attempt_words(state, planned)} is planned for {stamp(planned.planned_at)}: {planned.because}"
    base = planning.base_attempt(owed)
    if planned.trigger is Trigger.LADDER and planned.retry_of is None and base is not None:
        gap = planned.rung_days - base.rung_days
        anchor = owed.anchor or owed.due_at
        yield (
            f"counted {gap} days from attempt {base.number} ({stamp(planning.effective_at(base))}) "
            f"at the anchor's time of day, {anchor:%H:%M:%S} UTC (SPEC 6, the rule)"
        )
    if planned.not_before is not None:
        yield f"not before {planned.not_before:%Y-%m-%d %H:%M:%S} UTC: the provider advised to wait (SPEC 6)"
    if planned.wait_until is not None:
        yield f"put off until {stamp(planned.wait_until)}: {planned.held_up_by or 'an outage'} (SPEC 13, 14)"
    yield f"on method {planned.method}, whose own latest verdict allows it (SPEC 7)"
