"""Nothing outside an adapter names a provider: the engine reads capabilities, never a name. SPEC 12."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dunning.providers.registry import FACTORIES

ROOT = Path(__file__).parent.parent
NAMES = re.compile("|".join([*FACTORIES, "google.?play"]), re.IGNORECASE)

PERMITTED = {
    "src/dunning/providers": "the adapters",
    "src/dunning/sandbox": "the providers, as a local server",
    "src/dunning/domain/terms.py": "the field `provider`, and which options belong to it",
    "src/dunning/domain/options.py": "one typed model of options per provider",
    "src/dunning/domain/plan_rules.py": "what each provider's own calendar can do with a command, as a table",
    "src/dunning/domain/limits.py": "a provider's own limits on terms, as a table",
    "src/dunning/settings.py": "the field `provider` of a merchant account",
    "src/dunning/previewing.py": "which decline table a preview uses, as a map",
    "src/dunning/demo/purchases.py": "what the demo shows of purchases at Google Play",
    "src/dunning/domain/xendit_rules.py": "what a provider's own options have to say, in a module of its own",
    "src/dunning/domain/play_actions.py": "what a provider's own actions allow, in a module of its own",
    "src/dunning/domain/play_items.py": "a provider's own rules of items, in a module of its own",
    "src/dunning/gateway/play_push.py": "the door of a provider whose messages come by another's service",
    "src/dunning/domain/rules.py": "what a provider's options have to say for a charge to be possible",
    "src/dunning/repairing.py": "a harmless stand-in for a refused document",
    "src/dunning/gateway/api/examples.py": "examples in the description of the API",
    "src/dunning/gateway/api/openapi.py": "the name of an example there",
}
"""Places where a name is data or an example. Decisions by name belong into an adapter's capabilities."""


def sources() -> list[Path]:
    folders = ("src/dunning", "workflows", "activities", "workers")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def named_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Names of providers in code: identifiers, attributes, imports and texts, but not in docstrings."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            words = [node.value]
        elif isinstance(node, ast.Name):
            words = [node.id]
        elif isinstance(node, ast.Attribute):
            words = [node.attr]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            words = [node.name]
        elif isinstance(node, ast.ImportFrom):
            words = [node.module or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.keyword | ast.arg):
            words = [node.arg or ""]
        else:
            continue
        line = getattr(node, "lineno", 0)
        yield from ((line, word) for word in words if any(_is_name(word, found) for found in NAMES.finditer(word)))


def _is_name(word: str, found: re.Match[str]) -> bool:
    """Not the middle of another word, as in `promises`."""
    before, after = word[: found.start()][-1:], word[found.end() :][:1]
    return not (before.isalpha() and before.islower() and found[0].islower()) and not (
        after.isalpha() and after.islower()
    )


def is_permitted(path: Path) -> bool:
    own = path.relative_to(ROOT).as_posix()
    return any(own == place or own.startswith(f"{place}/") for place in PERMITTED)


@pytest.mark.parametrize(
    "path", [p for p in sources() if not is_permitted(p)], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_no_provider_is_named_outside_its_adapter(path: Path) -> None:
    found = list(named_in(ast.parse(path.read_text())))
    assert found == []


def test_every_permitted_place_still_names_one() -> None:
    """A place that needs its permission no longer loses it."""
    for place in PERMITTED:
        files = [p for p in sources() if p.relative_to(ROOT).as_posix().startswith(place)]
        assert any(list(named_in(ast.parse(p.read_text()))) for p in files), place
