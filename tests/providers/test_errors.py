"""What providers raise has one root, so that a caller who does not care which can say so once."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import dunning.providers
from dunning import errors
from dunning.errors import DunningError, ProviderError
from dunning.providers.base import ProviderRefused, ProviderUnavailable, WebhookRefused


def errors_of_providers() -> set[type[Exception]]:
    """Every exception that a module of `dunning.providers` defines for others."""
    found: set[type[Exception]] = set()
    for module in pkgutil.walk_packages(dunning.providers.__path__, "dunning.providers."):
        for name, one in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            is_theirs = one.__module__.startswith("dunning.providers.") and not name.startswith("_")
            if is_theirs and issubclass(one, Exception):
                found.add(one)
    return found


def test_every_error_that_a_provider_raises_is_a_provider_error() -> None:
    found = errors_of_providers()
    assert {ProviderRefused, ProviderUnavailable, WebhookRefused} <= found
    assert all(issubclass(one, ProviderError) for one in found), found


def test_the_tree_of_errors_in_the_docstring_names_every_one_of_them() -> None:
    defined = {
        name
        for name, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, DunningError) and one.__module__ == errors.__name__
    }
    told = inspect.getdoc(errors) or ""
    assert [name for name in sorted(defined | {e.__name__ for e in errors_of_providers()}) if name not in told] == []


@pytest.mark.parametrize(
    ("raised", "detail"),
    [
        (ProviderUnavailable("it is away", 30), {"retry_after_seconds": 30}),
        (ProviderRefused("NO", "why", {"field": "x"}), {"code": "NO", "detail": {"field": "x"}}),
    ],
)
def test_what_an_error_knows_stays_readable_through_the_root(raised: ProviderError, detail: dict[str, object]) -> None:
    assert isinstance(raised, DunningError)
    assert {name: getattr(raised, name) for name in detail} == detail
