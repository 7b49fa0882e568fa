"""Values: frozen, cheap to make and copy inside the core, validated where they come in from outside."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dunning.domain.attempts import Attempt, Trigger
from dunning.domain.messages import EventDraft, EventType
from dunning.domain.state import Obligation, State
from tests.builders import ANCHOR, at, live

GIVEN: dict[str, Any] = {
    "number": 1,
    "trigger": Trigger.DUE,
    "method": "pm_1",
    "planned_at": at(ANCHOR),
    "because": "cycle 1 is due",
    "key": "at_1",
}


def attempt() -> Attempt:
    return Attempt(**GIVEN)


@pytest.mark.parametrize("wrong", [{"number": "one"}, {"number": 0}, {"trigger": "never"}, {"unknown": 1}])
def test_what_comes_from_outside_is_validated(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Attempt.model_validate({**GIVEN, **wrong})


def test_a_field_that_is_missing_outside_is_refused() -> None:
    with pytest.raises(ValidationError, match="key"):
        Attempt.model_validate({name: value for name, value in GIVEN.items() if name != "key"})


def test_what_our_code_makes_equals_what_is_read() -> None:
    made, read = attempt(), Attempt.model_validate(GIVEN)

    assert made == read
    assert hash(made) == hash(read)
    assert made.model_dump_json() == read.model_dump_json()
    assert made.model_dump_json(exclude_unset=True) == made.model_dump_json()


def test_fields_stand_in_their_order_in_json_however_they_were_given() -> None:
    backwards = Attempt(**dict(reversed(GIVEN.items())))

    assert list(backwards.model_dump()) == list(Attempt.model_fields)


def test_a_copy_changes_nothing_in_what_it_was_taken_from() -> None:
    first = attempt()
    second = first.but(looks=3)

    assert (first.looks, second.looks) == (0, 3)
    assert list(second.model_dump()) == list(Attempt.model_fields)


def test_values_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        attempt().looks = 3  # type: ignore[misc]


def test_no_two_values_share_a_default_that_can_change() -> None:
    now = at(ANCHOR)
    owed = [Obligation(id=name, amount=1, currency="IDR", due_at=now, opened_at=now) for name in "ab"]
    events = [EventDraft(type=EventType.ACTIVE, at=now) for _ in "ab"]

    assert owed[0].metadata == owed[1].metadata == events[0].data == {}
    assert owed[0].metadata is not owed[1].metadata
    assert events[0].data is not events[1].data


def test_a_state_that_the_machine_made_survives_json() -> None:
    made = live("INSUFFICIENT_FUNDS", "SUCCEEDED", cycles=3).state

    read = State.model_validate_json(made.model_dump_json())

    assert read == made
    assert read.model_dump_json() == made.model_dump_json()
