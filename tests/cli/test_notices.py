"""`dunning notices render` and `gallery`: what a writer of texts looks at; no server is needed."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import pytest

from dunning.domain.terms import Occasion
from dunning.notices.gallery import PEOPLE, SAMPLES, sample
from dunning.notices.texts import locales
from tests.cli.conftest import Dunning


@pytest.mark.parametrize("locale", locales())
def test_a_notice_is_shown_as_it_would_be_read(dunning: Dunning, locale: str) -> None:
    shown = dunning("notices", "render", "retry_reminder", "--locale", locale, "--json")

    told = json.loads(shown.stdout)
    assert told["whatsapp"] == sample(Occasion.RETRY_REMINDER, locale).short
    assert "{{" not in told["whatsapp"]
    assert (PEOPLE[locale].name or "") in told["text"]


def test_a_language_without_texts_is_refused_and_those_there_are_named(dunning: Dunning) -> None:
    refused = dunning("notices", "render", "failed", "--locale", "fr")

    assert refused.exit_code == 2
    assert "ar, en, id, th" in " ".join(refused.stderr.split())


def test_the_gallery_shows_every_occasion_in_every_locale_and_needs_nothing_from_outside(
    dunning: Dunning, tmp_path: Path
) -> None:
    file = tmp_path / "gallery.html"

    assert dunning("notices", "gallery", str(file)).exit_code == 0

    page = file.read_text(encoding="utf-8")
    assert page.count("<iframe") == len(SAMPLES) * len(locales()) > len(Occasion) * len(locales())
    for locale in locales():
        for occasion, stage in SAMPLES:
            assert escape(sample(occasion, locale, stage).subject) in page
    assert "<script" not in page
    assert "<link" not in page
    assert page.count("src=") == 0
