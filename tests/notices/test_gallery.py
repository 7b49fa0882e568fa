"""The gallery in the docs is what the texts are now. `dunning notices gallery docs/gallery.html` writes it anew."""

from __future__ import annotations

from pathlib import Path

from dunning.notices import gallery

FILE = Path(__file__).parents[2] / "docs" / "gallery.html"


def test_the_gallery_in_the_docs_shows_the_texts_of_today() -> None:
    assert FILE.read_text(encoding="utf-8") == gallery.page(), __doc__
