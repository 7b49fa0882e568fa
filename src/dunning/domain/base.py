"""The bases of every value in the core.

`Value` is a pydantic model: what comes from outside, and the state as a whole. `Known` is what only our own typed
code makes, out of what is valid already: a plain frozen dataclass, because the machine makes and copies dozens of them
a cycle and reads thousands of their fields. Both have the same JSON, and both are validated when they are read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any, ClassVar, Self, dataclass_transform

from pydantic import BaseModel, ConfigDict
from pydantic_core import to_jsonable_python

# What a value consists of, written past the lock that keeps it frozen.
_new = object.__new__
_set_model = BaseModel.__dict__["__dict__"].__set__
_set_names = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private = BaseModel.__dict__["__pydantic_private__"].__set__


class Value(BaseModel):
    """An immutable value: frozen, and closed against unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    _names: ClassVar[set[str]]
    """The names of all fields: what a value that was not validated says of the fields that were given."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._names = set(cls.model_fields)

    def model_post_init(self, context: Any, /) -> None:
        """All values of a class share one set of names: each one's own took more room than what it holds."""
        _set_names(self, self._names)

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed. The caller vouches for the types; nothing is validated again."""
        # As `model_copy(update=changes)`, at a tenth of its cost: the machine takes dozens of copies a cycle.
        new = _new(type(self))
        _set_model(new, {**self.__dict__, **changes})
        _set_names(new, self._names)
        _set_extra(new, None)
        _set_private(new, None)
        return new


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class Known:
    """A value that only our own typed code makes, out of what is valid already: making it validates nothing.

    What is read from outside (as a part of a model, or by a `TypeAdapter`) is validated as every other value is, and
    closed against unknown fields.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(frozen=True, kw_only=True, init=False)(cls)
        cls.__init__ = _maker(cls)  # type: ignore[method-assign]

    def but(self, **changes: Any) -> Self:
        """A copy with some fields changed. The caller vouches for names and types; nothing is looked at again."""
        # As `dataclasses.replace(self, **changes)`, at a tenth of its cost.
        new = _new(type(self))
        _set_fields(new, {**self.__dict__, **changes})
        return new

    def as_json(self) -> dict[str, Any]:
        """Its JSON, as it stands in models and histories."""
        found: dict[str, Any] = to_jsonable_python(self)
        return found


_set_fields = Known.__dict__["__dict__"].__set__


def _maker(cls: type[Known]) -> Callable[..., None]:
    """The `__init__` of a frozen dataclass, at a third of its cost.

    The standard one sets each field by a call past the lock; this one fills all of them at once. As there, the code is
    written out for the class, so a field that is missing or unknown is a `TypeError`:

        def __init__(self, *, name, at, parts=_none):
            _set_fields(self, {"name": name, "at": at, "parts": _made_parts() if parts is _none else parts})
    """
    names: dict[str, Any] = {"_set_fields": _set_fields, "_none": object()}
    taken, filled = [], []
    for one in fields(cls):  # type: ignore[arg-type]
        taken.append(f"{one.name}{_default(one, names)}")
        made = one.default_factory is not MISSING
        filled.append(
            f"{one.name!r}: " + (f"_made_{one.name}() if {one.name} is _none else " if made else "") + one.name
        )
    text = f"def __init__(self, *, {', '.join(taken)}):\n    _set_fields(self, {{{', '.join(filled)}}})"
    exec(text, names)  # noqa: S102  (made of our own fields' names, as the standard one is)
    return names["__init__"]  # type: ignore[no-any-return]


def _default(one: Field[Any], names: dict[str, Any]) -> str:
    if one.default_factory is not MISSING:
        names[f"_made_{one.name}"] = one.default_factory
        return "=_none"
    if one.default is MISSING:
        return ""
    names[f"_default_{one.name}"] = one.default
    return f"=_default_{one.name}"
