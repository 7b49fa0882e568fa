"""The WhatsApp templates as they have to be registered at Meta: one for each occasion, stage and locale. SPEC 11.

`faults` says what Meta would refuse; a worker does not start with such a registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from dunning.domain.base import Value
from dunning.domain.terms import Occasion
from dunning.notices.render import template_name
from dunning.notices.texts import OccasionTexts, locales, texts

CATEGORY = "UTILITY"
"""Transactional: what has any promotion in it is MARKETING at Meta, and limited per person."""

MAX_BODY = 1024
MAX_NAME = 512
MIN_TEXT = 8
"""Meta refuses a body that is hardly more than its parameters; how much is enough, it does not say."""
LANGUAGES = frozenset(
    {
        "af", "sq", "ar", "az", "bn", "bg", "ca", "zh_CN", "zh_HK", "zh_TW", "hr", "cs", "da", "nl", "en", "en_GB",
        "en_US", "et", "fil", "fi", "fr", "ka", "de", "el", "gu", "ha", "he", "hi", "hu", "id", "ga", "it", "ja", "kn",
        "kk", "rw_RW", "ko", "ky_KG", "lo", "lv", "lt", "mk", "ms", "ml", "mr", "nb", "fa", "pl", "pt_BR", "pt_PT",
        "pa", "ro", "ru", "sr", "sk", "sl", "es", "es_AR", "es_ES", "es_MX", "sw", "sv", "ta", "te", "th", "tr", "uk",
        "ur", "uz", "vi", "zu",
    }
)  # fmt: skip
"""Language codes that WhatsApp has templates in."""

_NAME = re.compile(r"[a-z0-9_]+")
_EXAMPLES = {
    "name": "Naya", "amount": "IDR 129,000", "old_amount": "IDR 99,000", "description": "Pro plan",
    "reason": "{reason}", "expires": "2026-12", "next": "{next}",
}  # fmt: skip


class Registered(Value):
    """One template. `parameters` are the names of what fills it, in order."""

    name: str
    language: str
    locale: str
    body: str
    parameters: tuple[str, ...]
    examples: tuple[str, ...]

    def submission(self) -> dict[str, Any]:
        """The body of `POST /{version}/{WABA id}/message_templates`."""
        component: dict[str, Any] = {"type": "BODY", "text": self.body}
        if self.examples:
            component["example"] = {"body_text": [list(self.examples)]}
        return {"name": self.name, "language": self.language, "category": CATEGORY, "components": [component]}


@cache
def registry() -> tuple[Registered, ...]:
    """Every template, by locale and name."""
    return tuple(one for locale in locales() for one in _of_locale(locale))


def _of_locale(locale: str) -> Iterator[Registered]:
    said = texts(locale)
    for occasion in Occasion:
        words = said.occasions[occasion]
        for stage, own in ((None, words), *sorted(words.stages.items())):
            yield Registered(
                name=template_name(occasion, stage),
                language=said.whatsapp_language,
                locale=locale,
                body=own.whatsapp.body,
                parameters=own.whatsapp.parameters,
                examples=tuple(_example(name, own, said.reasons.values()) for name in own.whatsapp.parameters),
            )


def _example(name: str, words: OccasionTexts, reasons: Iterable[str]) -> str:
    """What reviewers at Meta see: sentences in the template's language, values as they may look."""
    if name == "next":
        return words.next_none.format(**_EXAMPLES)
    return next(iter(reasons)) if name == "reason" else _EXAMPLES[name]


def faults(templates: Iterable[Registered] | None = None) -> list[str]:
    """What Meta would refuse, each with the template's name and language; empty when all is well."""
    given = registry() if templates is None else tuple(templates)
    found = [f"{one.name} ({one.language}): {rule}" for one in given for rule in _broken(one)]
    keys = [(one.name, one.language) for one in given]
    return found + [f"{name} ({language}): stands there twice" for name, language in set(keys)
                    if keys.count((name, language)) > 1]  # fmt: skip


def _broken(one: Registered) -> Iterator[str]:
    if not _NAME.fullmatch(one.name) or len(one.name) > MAX_NAME:
        yield "a name has small letters, digits and underscores only"
    if one.language not in LANGUAGES:
        yield "WhatsApp has no templates in this language"
    if len(one.body) > MAX_BODY:
        yield f"a body has at most {MAX_BODY} characters"
    if re.search(r"\n{3,}|\t| {5,}", one.body):
        yield "a body has no tabs, no more than two line breaks and no more than four spaces in a row"
    places = [int(place) for place in re.findall(r"\{\{(\d+)\}\}", one.body)]
    if sorted(places) != list(range(1, len(one.parameters) + 1)):
        yield f"a body holds each of its {len(one.parameters)} parameters once"
    if len(re.sub(r"\{\{\d+\}\}|\s", "", one.body)) < MIN_TEXT * len(places):
        yield f"a body has at least {MIN_TEXT} characters of its own for each parameter"


def parameters_of(name: str, language: str) -> tuple[str, ...] | None:
    """What fills a template; None when it is not registered."""
    return _index().get((name, language))


@cache
def _index() -> dict[tuple[str, str], tuple[str, ...]]:
    return {(one.name, one.language): one.parameters for one in registry()}
