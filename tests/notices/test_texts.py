"""A locale is one file, and it is whole: what is missing or misspelt is named when it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from dunning.domain.declines import ReasonKey
from dunning.notices import texts as module
from dunning.notices.texts import FIRST_OCCASIONS, locales, read_texts, texts

ENGLISH = Path(module.__file__).parent / "locales" / "en.yml"


def spoilt(tmp_path: Path, change: Any) -> Path:
    data = yaml.safe_load(ENGLISH.read_text(encoding="utf-8"))
    change(data)
    file = tmp_path / "xx.yml"
    file.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    return file


@pytest.mark.parametrize("locale", locales())
def test_a_locale_has_words_for_every_reason_and_every_first_occasion(locale: str) -> None:
    said = texts(locale)

    assert set(said.reasons) == set(ReasonKey)
    assert set(said.occasions) >= set(FIRST_OCCASIONS)
    assert said.language == locale


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda d: d["reasons"].pop("expired"), "reasons.expired"),
        (lambda d: d["occasions"].pop("stopped"), "occasions.stopped"),
        (lambda d: d["labels"].pop("amount"), "labels.amount"),
        (lambda d: d.pop("nameless"), "nameless"),
        (lambda d: d["occasions"]["failed"].pop("subject"), "occasions.failed.subject"),
        (lambda d: d["occasions"]["failed"].update(next="again on {nexxt}"), "nexxt"),
        (lambda d: d["occasions"]["failed"]["whatsapp"].update(parameters=["name"]), "must hold each of"),
        (lambda d: d["occasions"]["recovered"]["whatsapp"].update(body="{{1}} {{2}} {{3}} thanks"), "begin or end"),
        (lambda d: d["reasons"].update(stolen="it was stolen"), "stolen"),
        (lambda d: d.update(direction="up"), "direction"),
    ],
    ids=["reason", "occasion", "label", "field", "text", "placeholder", "count", "edge", "unknown", "direction"],
)
def test_what_is_wrong_in_a_locale_is_named(tmp_path: Path, change: Any, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        read_texts(spoilt(tmp_path, change))


@pytest.mark.parametrize("wanted", ["en", "en-GB", "en_US", "EN", "xx", "zh-Hant-TW"])
def test_who_speaks_another_language_reads_english(wanted: str) -> None:
    assert texts(wanted).language == "en"
