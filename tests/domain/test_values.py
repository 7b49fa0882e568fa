"""Values: frozen, cheap to make and copy inside the core, validated where they come in from outside."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from dunning.domain.attempts import Attempt, Trigger
from dunning.domain.base import Known
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


ATTEMPT = TypeAdapter(Attempt)
NAMES = [one.name for one in dataclasses.fields(Attempt)]


def attempt() -> Attempt:
    return Attempt(**GIVEN)


@pytest.mark.parametrize("wrong", [{"number": "one"}, {"number": 0}, {"trigger": "never"}, {"unknown": 1}])
def test_what_comes_from_outside_is_validated(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ATTEMPT.validate_python({**GIVEN, **wrong})


def test_a_field_that_is_missing_outside_is_refused() -> None:
    with pytest.raises(ValidationError, match="key"):
        ATTEMPT.validate_python({name: value for name, value in GIVEN.items() if name != "key"})


def test_what_our_code_makes_equals_what_is_read() -> None:
    made, read = attempt(), ATTEMPT.validate_python(GIVEN)

    assert made == read
    assert hash(made) == hash(read)
    assert to_json(made) == to_json(read) == ATTEMPT.dump_json(made)
    assert made.as_json() == ATTEMPT.dump_python(read, mode="json")


def test_fields_stand_in_their_order_in_json_however_they_were_given() -> None:
    backwards = Attempt(**dict(reversed(GIVEN.items())))

    assert list(backwards.as_json()) == list(ATTEMPT.dump_python(backwards)) == NAMES


def test_a_copy_changes_nothing_in_what_it_was_taken_from() -> None:
    first = attempt()
    second = first.but(looks=3)

    assert (first.looks, second.looks) == (0, 3)
    assert list(second.as_json()) == NAMES


def test_values_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        attempt().looks = 3  # type: ignore[misc]  # a checker refuses it too
    with pytest.raises(ValidationError, match="frozen"):
        live("SUCCEEDED").state.revision = 0  # type: ignore[misc]  # the same


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plain:
    """A value made and copied by the standard library, with each kind of default."""

    name: str
    looks: int = 0
    parts: dict[str, int] = dataclasses.field(default_factory=dict)
    at: str | None = None


class Quick(Known):
    name: str
    looks: int = 0
    parts: dict[str, int] = dataclasses.field(default_factory=dict)
    at: str | None = None


FIELDS: list[dict[str, Any]] = [{"name": "a"}, {"at": "now", "name": "b", "parts": {"x": 1}}, {"name": "c", "looks": 2}]


@pytest.mark.parametrize("given", FIELDS)
@pytest.mark.parametrize("changes", [{}, {"looks": 5}, {"parts": {}, "at": None}])
def test_the_quick_way_to_make_and_copy_a_value_equals_the_standard_one(
    given: dict[str, Any], changes: dict[str, Any]
) -> None:
    plain, quick = Plain(**given), Quick(**given)
    other, copy = dataclasses.replace(plain, **changes), quick.but(**changes)

    assert (list(vars(quick).items()), list(vars(copy).items())) == (
        list(vars(plain).items()),
        list(vars(other).items()),
    )
    assert repr(copy).removeprefix("Quick") == repr(other).removeprefix("Plain")
    assert (quick == copy) is (plain == other)


@pytest.mark.parametrize("wrong", [{}, {"name": "a", "unknown": 1}])
def test_a_missing_or_unknown_field_is_refused_as_ever(wrong: dict[str, Any]) -> None:
    for made in (Plain, Quick):
        with pytest.raises(TypeError, match=r"name|unknown"):
            made(**wrong)


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
