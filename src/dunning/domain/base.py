"""The bases of every value in the core."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

# What a model consists of, written past the lock that keeps values frozen.
_new = object.__new__
_set_fields = BaseModel.__dict__["__dict__"].__set__
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
        _set_fields(new, {**self.__dict__, **changes})
        _set_names(new, self._names)
        _set_extra(new, None)
        _set_private(new, None)
        return new


class Known(Value):
    """A value that only our own typed code makes, out of what is valid already: making it validates nothing.

    What is read from outside (`model_validate`, a workflow's input) is validated as every other value is.
    """

    _blank: ClassVar[dict[str, Any]]
    """Every field in its order, at its default: also the order of the JSON."""

    _made: ClassVar[tuple[tuple[str, Any], ...]]
    """Fields whose default is made anew for each value, and what makes it."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._blank = {name: field.default for name, field in cls.model_fields.items()}
        factories = ((name, field.default_factory) for name, field in cls.model_fields.items())
        cls._made = tuple((name, make) for name, make in factories if make is not None)

    def __init__(self, **fields: Any) -> None:
        # Validation takes most of the time of a step; the type checker has seen these fields already.
        _set_fields(self, {**self._blank, **fields})
        _set_names(self, self._names)
        _set_extra(self, None)
        _set_private(self, None)
        for name, make in self._made:
            if name not in fields:
                vars(self)[name] = make()

    # Pydantic's own mark: without it, validating from outside would end in the `__init__` above.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]
