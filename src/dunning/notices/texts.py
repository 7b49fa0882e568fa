"""The texts of a locale: one YAML file each, checked when it is read. SPEC 11.

What a file may say is fixed here, so that a locale that lacks something, or names a placeholder that does not
exist, is refused with the place named, and not found out by a customer.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, Field, model_validator

from dunning.domain.base import Value
from dunning.domain.declines import ReasonKey
from dunning.domain.terms import Occasion

_LOCALES = Path(__file__).parent / "locales"
DEFAULT_LOCALE = "en"

PLACEHOLDERS = frozenset(
    {
        "name", "merchant", "description", "amount", "old_amount", "reason",
        "next_at", "open_until", "due_at", "until", "expires", "support",
    }
)  # fmt: skip
"""What a text may be filled with. `name` is the customer's; the texts say how one without a name is addressed."""

STAGES = {Occasion.FAILED: ("again", "last"), Occasion.PRICE_CHANGE: ("consent",)}
"""The tones of an occasion that every locale has."""

LABELS = ("amount", "description", "next_at", "open_until", "due_at", "until")
"""What the list under a mail's text may show; a line stands there where its value is known."""


def _known_placeholders(text: str) -> str:
    names = {name for _, name, _, _ in Formatter().parse(text) if name is not None}
    if strange := names - PLACEHOLDERS:
        raise ValueError(f"unknown placeholders {sorted(strange)}; there are {sorted(PLACEHOLDERS)}")
    return text


Sentence = Annotated[str, AfterValidator(_known_placeholders)]


class Template(Value):
    """One WhatsApp template: the body as registered at Meta with `{{1}}`, ... and what fills them, in order."""

    body: str
    parameters: tuple[Literal["name", "amount", "old_amount", "description", "reason", "expires", "next"], ...]

    def filled(self, values: Sequence[str]) -> str:
        """The message as it is read."""
        return re.sub(r"\{\{(\d+)\}\}", lambda place: values[int(place[1]) - 1], self.body)

    @model_validator(mode="after")
    def _each_parameter_has_its_place(self) -> Template:
        places = [f"{{{{{number}}}}}" for number in range(1, len(self.parameters) + 1)]
        if self.body.count("{{") != len(places) or not all(place in self.body for place in places):
            raise ValueError(f"the body must hold each of {places} once")
        # Meta refuses a template that begins or ends with a variable.
        if self.body.startswith("{{") or self.body.rstrip(" .!?。").endswith("}}"):
            raise ValueError("the body must not begin or end with a parameter")
        return self


Stage = Literal["again", "last", "consent"]
"""How often a failure was told already: `again` after the first, `last` before the last try. `consent`: the customer
has to agree to a price. SPEC 11."""


class OccasionTexts(Value):
    """What is said on one occasion.

    Attributes:
        next: what we will do and when; `next_none` where no further attempt is planned, or no date is known.
        action: what the customer can do; empty for nothing.
        button: the link's label; without one the mail has no link.
        stages: the same occasion told again, in another tone; each with a WhatsApp template of its own.
    """

    subject: Sentence
    headline: Sentence
    happened: Sentence
    next: Sentence
    next_none: Sentence
    action: Sentence = ""
    button: str = ""
    whatsapp: Template
    stages: dict[Stage, OccasionTexts] = Field(default_factory=dict)


class UnsubscribeTexts(Value):
    """The link under a routine mail, and the page behind it."""

    link: str
    title: str
    question: Sentence
    button: str
    done: Sentence


class Texts(Value):
    """Everything that a customer reads, in one language.

    Attributes:
        date_time: how an instant is written, as a pattern of Babel.
        month: how the month of a card's expiry is written, the same way.
        nameless: the customer who gave no name, where a template greets by name.
        stop_words: an answer that says nothing else asks for no more messages.
        price_line: what one item costs before and after.
    """

    language: str
    whatsapp_language: str
    direction: Literal["ltr", "rtl"]
    date_time: str
    month: str
    greeting: Sentence
    greeting_nameless: Sentence
    nameless: str = Field(min_length=1)
    closing: Sentence
    footer: Sentence
    footer_support: Sentence
    stop_words: tuple[str, ...] = Field(min_length=1)
    price_line: Sentence
    unsubscribe: UnsubscribeTexts
    labels: dict[Literal["amount", "description", "next_at", "open_until", "due_at", "until"], str]
    reasons: dict[ReasonKey, str]
    occasions: dict[Occasion, OccasionTexts]

    @model_validator(mode="after")
    def _nothing_is_missing(self) -> Texts:
        missing = [f"reasons.{key}" for key in ReasonKey if key not in self.reasons]
        missing += [f"occasions.{one}" for one in Occasion if one not in self.occasions]
        missing += [f"labels.{one}" for one in LABELS if one not in self.labels]
        for occasion, stages in STAGES.items():
            told = self.occasions.get(occasion)
            lacks = [one for one in stages if told is not None and one not in told.stages]
            missing += [f"occasions.{occasion}.stages.{one}" for one in lacks]
        if missing:
            raise ValueError(f"missing: {', '.join(missing)}")
        return self


def stage_texts(words: OccasionTexts, stage: object) -> OccasionTexts:
    """The words of a stage; the occasion's own where there is no such stage."""
    return next((own for name, own in words.stages.items() if name == stage), words)


def is_stop_word(answer: str) -> bool:
    """Whether a customer's answer, in any language, asks for no more messages."""
    said = answer.strip(" .!").casefold()
    return any(said == word.casefold() for locale in locales() for word in texts(locale).stop_words)


def locales() -> list[str]:
    """The locales that there are texts for."""
    return sorted(path.stem for path in _LOCALES.glob("*.yml"))


@cache
def texts(locale: str) -> Texts:
    """The texts of a locale; of its language, or English, where there are none."""
    wanted = locale.replace("_", "-")
    known = locales()
    found = next((one for one in (wanted, wanted.split("-", maxsplit=1)[0].lower()) if one in known), DEFAULT_LOCALE)
    return read_texts(_LOCALES / f"{found}.yml")


def read_texts(file: Path) -> Texts:
    """Read and check one file; raises `pydantic.ValidationError` naming every fault."""
    return Texts.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
