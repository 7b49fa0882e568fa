"""The state tables are the specification's, the pages are drawn from them, and an absent pair changes nothing."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from dunning.domain.command_table import ALLOWED, COMMAND_TABLE
from dunning.domain.tables import (
    CYCLE_TABLE,
    SUBSCRIPTION_TABLE,
    CycleFact,
    CycleStatus,
    IllegalTransition,
    SubscriptionFact,
    SubscriptionStatus,
    step_cycle,
    step_subscription,
)

ROOT = Path(__file__).parents[2]

# Written out by hand from the specification, section 8; `->` groups as there.
SPEC_SUBSCRIPTION = """
requires_action: mandate_authorized -> activating; mandate_failed, activation_timed_out, cancel -> failed
activating: first_payment_succeeded, nothing_due_now -> active; first_payment_failed -> failed; cancel -> failed
active: cycle_past_due -> past_due; cancel, calendar_ended, provider_ended -> canceled
active: pause -> paused; revoke -> inactive
past_due: no_cycle_owed -> active; grace_ended -> on_hold; given_up_stop -> inactive; given_up_resume -> active
past_due: ended_with_time_left -> canceled; cancel, provider_ended, revoke -> inactive; pause -> paused
on_hold: no_cycle_owed -> active; given_up_stop -> inactive; given_up_resume -> active
on_hold: ended_with_time_left -> canceled; cancel, provider_ended, revoke -> inactive
paused: resume, pause_ended -> active; calendar_ended -> canceled; cancel, revoke -> inactive
canceled: restore -> active; cycle_past_due, no_cycle_owed -> canceled; cycle_closed_unpaid -> inactive
canceled: period_ended -> inactive; revoke -> inactive
inactive: reinstate -> canceled
"""
ADDED_SUBSCRIPTION = """
paused: provider_ended -> inactive
inactive: resubscribed -> active
"""
SPEC_CYCLE = """
scheduled: due -> attempting; skipped, canceled -> canceled; paid -> succeeded; no_usable_method -> awaiting_method
attempting: succeeded, paid -> succeeded; pending -> pending; outcome_unknown -> unknown
attempting: declined_retryable -> retrying; declined_needs_customer, no_usable_method -> awaiting_method
attempting: declined_merchant -> awaiting_operator; declined_technical, outage, deferred -> attempting
attempting: given_up -> failed; canceled, declined_after_stop -> canceled
pending: succeeded, paid -> succeeded; declined_retryable -> retrying; declined_needs_customer -> awaiting_method
pending: declined_merchant -> awaiting_operator; declined_technical -> attempting; outcome_unknown -> unknown
pending: given_up -> failed; declined_after_stop -> canceled
unknown: proved_paid -> succeeded; proved_pending -> pending; proved_declined_retryable -> retrying
unknown: proved_declined_needs_customer -> awaiting_method; proved_absent -> attempting; given_up -> failed
unknown: declined_after_stop -> canceled
retrying: rung_due, tried_by_person, method_updated -> attempting; no_usable_method -> awaiting_method
retrying: paid -> succeeded; given_up -> failed; canceled -> canceled
awaiting_method: method_updated, tried_by_person -> attempting; paid -> succeeded
awaiting_method: given_up -> failed; canceled -> canceled
awaiting_operator: fixed, tried_by_person -> attempting; paid -> succeeded; given_up -> failed; canceled -> canceled
failed: paid -> succeeded; tried_by_person -> attempting
canceled: paid -> succeeded
"""
ADDED_CYCLE = """
unknown: proved_declined_merchant -> awaiting_operator; proved_declined_technical -> attempting; paid -> succeeded
succeeded: refunded, disputed -> succeeded
canceled: refunded, disputed -> canceled
"""


def rows(text: str) -> set[tuple[str, str, str]]:
    found = set()
    for line in text.strip().splitlines():
        state, moves = line.split(":", 1)
        for group in moves.split(";"):
            facts, target = group.split("->")
            found |= {(state, fact.strip(), target.strip()) for fact in facts.split(",")}
    return found


def in_code(table: Mapping[Any, Mapping[Any, Enum]]) -> set[tuple[str, str, str]]:
    return {(s.value, f.value, t.value) for s, row in table.items() for f, t in row.items()}


def test_the_subscription_table_is_the_specifications_with_the_rows_that_building_added() -> None:
    assert in_code(SUBSCRIPTION_TABLE) == rows(SPEC_SUBSCRIPTION) | rows(ADDED_SUBSCRIPTION)


def test_the_cycle_table_is_the_specifications_with_the_rows_that_building_added() -> None:
    assert in_code(CYCLE_TABLE) == rows(SPEC_CYCLE) | rows(ADDED_CYCLE)


@pytest.mark.parametrize("status", SubscriptionStatus)
@pytest.mark.parametrize("fact", SubscriptionFact)
def test_every_subscription_pair_moves_as_the_table_says_or_is_illegal(
    status: SubscriptionStatus, fact: SubscriptionFact
) -> None:
    expected = SUBSCRIPTION_TABLE[status].get(fact)
    if expected is not None:
        assert step_subscription(status, fact) is expected
    else:
        with pytest.raises(IllegalTransition, match=re.escape(f"{status.value} has no transition for {fact.value}")):
            step_subscription(status, fact)


@pytest.mark.parametrize("status", CycleStatus)
@pytest.mark.parametrize("fact", CycleFact)
def test_every_cycle_pair_moves_as_the_table_says_or_is_illegal(status: CycleStatus, fact: CycleFact) -> None:
    expected = CYCLE_TABLE[status].get(fact)
    if expected is not None:
        assert step_cycle(status, fact) is expected
    else:
        with pytest.raises(IllegalTransition):
            step_cycle(status, fact)


def test_every_command_is_defined_in_every_state_and_a_refusal_says_why() -> None:
    for name, row in COMMAND_TABLE.items():
        assert set(row) == set(SubscriptionStatus), name
        assert all(cell == ALLOWED or len(cell) > 10 for cell in row.values()), name


@pytest.mark.parametrize("page", ["states.md", "commands.md", "events.md"])
def test_the_drawn_pages_are_current(page: str) -> None:
    spec = importlib.util.spec_from_file_location("draw", ROOT / "docs" / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)

    assert (ROOT / "docs" / page).read_text() == draw.PAGES[page](), f"run python docs/draw.py: {page} is stale"
