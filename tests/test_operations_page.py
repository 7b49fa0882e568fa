"""The operator's page quotes what the engine really says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^\| `([^`]+)` \|", PAGE[PAGE.index("## Attention") :], re.MULTILINE)
SOURCE = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "src" / "dunning").rglob("*.py"))


def test_there_are_words_to_compare() -> None:
    assert len(QUOTED) >= 10


@pytest.mark.parametrize("words", QUOTED)
def test_what_an_attention_says_on_the_page_is_what_the_engine_says(words: str) -> None:
    assert words in SOURCE
