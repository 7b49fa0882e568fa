"""A state that is written without what is None reads the same again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from dunning.domain.beginning import new_state
from dunning.domain.state import State
from tests.builders import CREATED, at, subscription
from workflows.shell import plain


def models(kind: Any, known: set[type[BaseModel]]) -> Iterator[tuple[str, FieldInfo]]:
    """Every field of a model and of the models in it, by name."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in known:
        known.add(kind)
        for name, field in kind.model_fields.items():
            yield f"{kind.__name__}.{name}", field
            yield from models(field.annotation, known)
    for part in get_args(kind):
        yield from models(part, known)


def test_no_field_of_the_state_has_a_default_that_a_left_out_none_would_become() -> None:
    nullable = {name: f.get_default() for name, f in models(State, set()) if type(None) in get_args(f.annotation)}

    assert len(nullable) > 30
    assert {name for name, default in nullable.items() if default is not None} == set()


def test_no_dictionary_of_the_state_holds_none() -> None:
    fields = {name: str(f.annotation) for name, f in models(State, set()) if "dict[" in str(f.annotation)}

    assert fields
    assert [name for name, kind in fields.items() if "Any" in kind or "None]" in kind.partition("dict[")[2]] == []


def test_a_state_reads_back_as_it_was_and_holds_no_none() -> None:
    terms = subscription().terms()
    state = new_state(
        account="demo", subscription="sub-1", generation=1, terms=terms, created_at=at(CREATED), reference=None
    ).state
    told = plain(state)

    assert "null" not in json.dumps(told)
    assert "null" in state.model_dump_json()
    assert State.model_validate(told) == state
