"""From a planned notice to what the customer reads. SPEC 11.

No raw code gets here: a notice carries a reason key, and concealed reasons were replaced in the core.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from string import Formatter

from babel import Locale
from babel.core import UnknownLocaleError
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from dunning.domain.base import Value
from dunning.domain.declines import ReasonKey
from dunning.domain.messages import PlannedNotice
from dunning.domain.terms import Contacts, Occasion
from dunning.notices.formats import amount_text, instant_text, month_text
from dunning.notices.texts import OccasionTexts, Texts, stage_texts, texts

_TEMPLATES = Path(__file__).parent / "templates"
_SPACES = re.compile(r"(?:[^\S\u00a0\u202f]|[\x00-\x1f\x7f])+")
_WHITE, _INK = "#ffffff", "#171a21"


class Brand(Value):
    """How the merchant looks to customers. `colour` is `#rrggbb`; questions go to `support_address`."""

    name: str
    colour: str = "#1a4fd6"
    logo_url: str | None = None
    support_address: str | None = None


class Rendered(Value):
    """One notice, ready for every channel. `parameters` fill the WhatsApp template in order; `short` is it filled."""

    subject: str
    html: str
    text: str
    template: str
    template_language: str
    parameters: tuple[str, ...]
    short: str


class CannotBeWritten(Exception):
    """There are no texts for the occasion, or the notice lacks a fact that they need. Our mistake, not a channel's."""


def render(
    notice: PlannedNotice, contacts: Contacts, brand: Brand, *, link: str | None = None, unsubscribe: str | None = None
) -> Rendered:
    """Write one notice for one customer; raises `CannotBeWritten`.

    Args:
        link: where the payment method is changed.
        unsubscribe: where mails of this kind are left out.
    """
    said = texts(contacts.locale)
    occasion = said.occasions.get(notice.occasion)
    if occasion is None:
        raise CannotBeWritten(f"there are no texts for {notice.occasion.value} in {said.language}")
    stage = notice.facts.get("stage")
    words = stage_texts(occasion, stage)
    fields = _fields(said, notice, contacts, brand)
    if blanks := [one for one in _stated(words) if not _is_known(one, fields)]:
        raise CannotBeWritten(f"a fact of the notice is missing for {blanks[0]!r}")
    page = _page(said, words, fields, brand, has_name=contacts.name is not None)
    prices = _price_lines(said, notice, contacts)
    shown = {
        **page,
        "is_urgent": notice.occasion is Occasion.ACTION_REQUIRED,
        "link": link if words.button else None,
        "details": [*_details(said, fields), *prices],
        "prices": prices,
        "unsubscribe": unsubscribe,
        "unsubscribe_label": said.unsubscribe.link,
        "start": "left" if said.direction == "ltr" else "right",
        "end": "right" if said.direction == "ltr" else "left",
    }
    inserted = {**fields, "next": page["next"], "name": fields["name"] or said.nameless}
    parameters = tuple(str(inserted[name]) for name in words.whatsapp.parameters)
    return Rendered(
        subject=str(page["subject"]),
        html=_pages().get_template("mail.html.j2").render(shown),
        text=_pages().get_template("mail.txt.j2").render(shown),
        template=template_name(notice.occasion, stage if words is not occasion else None),
        template_language=said.whatsapp_language,
        parameters=parameters,
        short=words.whatsapp.filled(parameters),
    )


def template_name(occasion: Occasion, stage: object = None) -> str:
    """A WhatsApp template's name, as it is registered at Meta."""
    return f"dunning_{occasion.value}" + (f"_{stage}" if stage else "")


def _fields(said: Texts, notice: PlannedNotice, contacts: Contacts, brand: Brand) -> dict[str, str]:
    """What placeholders stand for; empty where it is not known."""
    facts = notice.facts
    try:
        currency, place = str(facts["currency"]), _number_locale(said, contacts)
        amount = amount_text(int(facts["amount"]), currency, place)
        old_amount = amount_text(int(facts["old_amount"]), currency, place) if "old_amount" in facts else ""
        reason = said.reasons[ReasonKey(str(facts.get("reason_key", ReasonKey.GENERIC)))]
        instants = {
            "next_at": _instant(facts.get("next_attempt_at"), said, contacts),
            "open_until": _instant(facts.get("open_until"), said, contacts),
            "due_at": _instant(facts.get("next_due_at"), said, contacts),
            "until": _instant(facts.get("access_until"), said, contacts),
            "expires": month_text(str(facts["expires"]), said.language, said.month) if "expires" in facts else "",
        }
    except (KeyError, ValueError) as failure:
        raise CannotBeWritten(f"a fact of the notice is missing or unreadable: {failure}") from failure
    fields = {
        "name": contacts.name or "",
        "merchant": brand.name,
        "description": str(facts.get("description", "")),
        "amount": amount,
        "old_amount": old_amount,
        "reason": reason,
        **instants,
        "support": brand.support_address or "",
    }
    return {name: _line(value) for name, value in fields.items()}


def _page(
    said: Texts, words: OccasionTexts, fields: Mapping[str, str], brand: Brand, *, has_name: bool
) -> dict[str, str | None]:
    # In a text from right to left, figures and names keep their own direction only when they are isolated.
    is_rtl = said.direction == "rtl"
    put = {name: _isolated(value) if is_rtl and value else value for name, value in fields.items()}
    return {
        "language": said.language,
        "direction": said.direction,
        "merchant": brand.name,
        "subject": words.subject.format(**fields),
        "headline": words.headline.format(**put),
        "greeting": (said.greeting if has_name else said.greeting_nameless).format(**put),
        "happened": words.happened.format(**put),
        "next": (words.next if _is_known(words.next, fields) else words.next_none).format(**put),
        "action": words.action.format(**put),
        "button": words.button,
        "closing": said.closing.format(**put),
        "footer": said.footer.format(**put),
        "footer_support": said.footer_support.format(**put) if fields["support"] else "",
        "colour": brand.colour,
        "on_colour": readable_on(brand.colour),
        "logo_url": brand.logo_url,
    }


def _isolated(value: str) -> str:
    return f"\u2068{value}\u2069"


def _details(said: Texts, fields: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(label, fields[name]) for name, label in said.labels.items() if fields[name]]


def _price_lines(said: Texts, notice: PlannedNotice, contacts: Contacts) -> list[tuple[str, str]]:
    """One line for each item whose price changes. SPEC 11."""
    place = _number_locale(said, contacts)
    try:
        items = json.loads(str(notice.facts.get("items", "[]")))
        money = [(str(n), *(amount_text(int(a), str(notice.facts["currency"]), place) for a in (o, w)))
                 for n, o, w in items]  # fmt: skip
    except (ValueError, KeyError, TypeError) as failure:
        raise CannotBeWritten(f"the items of the notice are unreadable: {failure}") from failure
    put = _isolated if said.direction == "rtl" else str
    return [(_line(name), said.price_line.format(old_amount=put(old), amount=put(new))) for name, old, new in money]


def _stated(words: OccasionTexts) -> tuple[str, ...]:
    """Sentences that are said in any case, so every value in them must be known. `next` has its stand-in."""
    parameters = " ".join(f"{{{name}}}" for name in words.whatsapp.parameters if name not in ("name", "next"))
    return (words.subject, words.headline, words.happened, words.next_none, words.action, parameters)


def _is_known(sentence: str, fields: Mapping[str, str]) -> bool:
    return all(fields[name] for _, name, _, _ in Formatter().parse(sentence) if name is not None)


def _instant(fact: str | int | None, said: Texts, contacts: Contacts) -> str:
    if not fact:
        return ""
    return instant_text(datetime.fromisoformat(str(fact)), contacts.time_zone, said.language, said.date_time)


def _number_locale(said: Texts, contacts: Contacts) -> str:
    """The customer's own region writes amounts, as long as the language is that of the texts."""
    own = contacts.locale.replace("-", "_")
    if own.split("_", maxsplit=1)[0].lower() != said.language.split("-", maxsplit=1)[0]:
        return said.language
    try:
        return str(Locale.parse(own))
    except (UnknownLocaleError, ValueError):
        return said.language


def _line(text: str) -> str:
    """Headers and WhatsApp parameters are single lines, whatever a backend wrote. No-break spaces stay."""
    return _SPACES.sub(" ", text).strip(" ")


def readable_on(colour: str) -> str:
    """White or near-black, whichever can be read better on `#rrggbb`."""
    return max((_WHITE, _INK), key=lambda ink: contrast(ink, colour))


def contrast(one: str, other: str) -> float:
    """The contrast of two colours by WCAG 2.1: 1 for the same, 21 for black on white; texts need 4.5."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@cache
def _pages() -> Environment:
    # HTML is escaped; plain text must not show entities.
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
