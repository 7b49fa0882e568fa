"""A locale is one file, and it is whole: what is missing or misspelt is named when it is read."""

from __future__ import annotations

from pathlib import Path
from string import Formatter
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from dunning.domain.declines import ReasonKey
from dunning.domain.terms import Occasion
from dunning.notices import texts as module
from dunning.notices.gallery import SAMPLES
from dunning.notices.texts import locales, read_texts, stage_texts, texts

ENGLISH = Path(module.__file__).parent / "locales" / "en.yml"


def spoilt(tmp_path: Path, change: Any) -> Path:
    data = yaml.safe_load(ENGLISH.read_text(encoding="utf-8"))
    change(data)
    file = tmp_path / "xx.yml"
    file.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    return file


@pytest.mark.parametrize("locale", locales())
def test_a_locale_has_words_for_every_reason_and_every_occasion(locale: str) -> None:
    said = texts(locale)

    assert set(said.reasons) == set(ReasonKey)
    assert set(said.occasions) == set(Occasion)
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
        (lambda d: d["occasions"]["failed"]["stages"].pop("last"), "occasions.failed.stages.last"),
        (lambda d: d["unsubscribe"].pop("question"), "unsubscribe.question"),
        (lambda d: d.update(stop_words=[]), "stop_words"),
    ],
    ids=[
        "reason",
        "occasion",
        "label",
        "field",
        "text",
        "placeholder",
        "count",
        "edge",
        "unknown",
        "direction",
        "stage",
        "page",
        "stop",
    ],
)
def test_what_is_wrong_in_a_locale_is_named(tmp_path: Path, change: Any, named: str) -> None:
    with pytest.raises(ValidationError, match=named):
        read_texts(spoilt(tmp_path, change))


@pytest.mark.parametrize("wanted", ["en", "en-GB", "en_US", "EN", "xx", "zh-Hant-TW"])
def test_who_speaks_another_language_reads_english(wanted: str) -> None:
    assert texts(wanted).language == "en"


def test_there_are_the_four_languages_of_the_specification() -> None:
    assert locales() == ["ar", "en", "id", "th"]


@pytest.mark.parametrize("locale", locales())
def test_a_translation_says_the_same_things(locale: str) -> None:
    """Every text names the same values as the English one, so no language leaves out an amount or a date."""
    own, english = texts(locale), texts("en")

    for occasion, stage in SAMPLES:
        ours, theirs = (stage_texts(said.occasions[occasion], stage) for said in (own, english))
        for part in ("subject", "headline", "happened", "next", "next_none", "action"):
            assert placeholders(getattr(ours, part)) == placeholders(getattr(theirs, part)), (occasion, stage, part)
        assert ours.whatsapp.parameters == theirs.whatsapp.parameters
        assert bool(ours.button) == bool(theirs.button)
    for part in ("question", "done"):
        assert placeholders(getattr(own.unsubscribe, part)) == placeholders(getattr(english.unsubscribe, part))


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def test_arabic_is_read_from_right_to_left_and_isolates_what_is_not() -> None:
    assert texts("ar").direction == "rtl"
    assert {one for one in locales() if texts(one).direction == "rtl"} == {"ar"}
