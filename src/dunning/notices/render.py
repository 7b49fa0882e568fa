"""From a planned notice to what the customer reads. SPEC 11.

Texts stand in one file per locale; amounts and dates are written by Babel; times are the customer's own. No raw
code gets here: a notice carries a reason key, and concealed reasons were replaced in the core.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml
from babel.dates import format_datetime
from babel.numbers import format_currency
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from dunning.domain.base import Value
from dunning.domain.messages import PlannedNotice
from dunning.domain.money import EXPONENTS, NO_SMALL_UNITS
from dunning.domain.terms import Contacts

_HERE = Path(__file__).parent
DEFAULT_LOCALE = "en"
_CODE_BEFORE_FIGURE = re.compile(r"(?<=[A-Za-z])(?=\d)")


class Brand(Value):
    """How the merchant looks to customers."""

    name: str
    colour: str = "#1a4fd6"
    logo_url: str | None = None


class Rendered(Value):
    """One notice, ready for every channel. `parameters` fill the WhatsApp template in order."""

    subject: str
    html: str
    text: str
    template: str
    template_language: str
    parameters: tuple[str, ...]


def locales() -> list[str]:
    """The locales that there are texts for."""
    return sorted(path.stem for path in (_HERE / "locales").glob("*.yml"))


@cache
def texts(locale: str) -> dict[str, Any]:
    """The texts of a locale; of its language, or English, where there are none."""
    for name in (locale, locale.split("-", maxsplit=1)[0], DEFAULT_LOCALE):
        path = _HERE / "locales" / f"{name}.yml"
        if path.exists():
            found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
            return found
    raise FileNotFoundError("the English texts are part of the package")


@cache
def _pages() -> Environment:
    # Autoescape for HTML only: plain text must not show entities.
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def amount_text(amount: int, currency: str, locale: str) -> str:
    """Minor units as people of the locale write them; currencies without cents in daily life show none."""
    value = Decimal(amount).scaleb(-EXPONENTS.get(currency, 2))
    place = locale.replace("-", "_")
    if currency in NO_SMALL_UNITS and value == value.to_integral_value():
        written = format_currency(value, currency, "¤#,##0", locale=place, currency_digits=False)
    else:
        written = format_currency(value, currency, locale=place)
    # A code where the locale has no symbol runs into the figure: "THB299.00".
    return _CODE_BEFORE_FIGURE.sub("\u00a0", written)


def instant_text(instant: datetime, time_zone: str, locale: str) -> str:
    """An instant at the customer's own wall clock."""
    local = instant.astimezone(ZoneInfo(time_zone))
    return format_datetime(local, "d MMMM y, HH:mm", locale=locale.replace("-", "_"))


def render(notice: PlannedNotice, contacts: Contacts, brand: Brand, *, link: str | None = None) -> Rendered:
    """Write one notice for one customer."""
    said = texts(contacts.locale)
    words = said["occasions"][notice.occasion.value]
    locale, facts = said["language"], notice.facts
    next_at = facts.get("next_attempt_at")
    fields = {
        "name": contacts.name or "",
        "merchant": brand.name,
        "description": str(facts.get("description", "")),
        "amount": amount_text(int(facts["amount"]), str(facts["currency"]), locale),
        "reason": said["reasons"][str(facts.get("reason_key", "generic"))],
        "next_at": _next_at(next_at, contacts, locale),
    }
    page = {
        **fields,
        "language": said["language"],
        "direction": said["direction"],
        "subject": words["subject"].format(**fields),
        "headline": words["headline"].format(**fields),
        "greeting": (said["greeting"] if contacts.name else said["greeting_nameless"]).format(**fields),
        "happened": words["happened"].format(**fields),
        "next": words["next" if next_at else "next_none"].format(**fields),
        "action": words["action"].format(**fields),
        "closing": said["closing"].format(**fields),
        "button": said["button"],
        "link": link if words["action"] else None,
        "colour": brand.colour,
        "logo_url": brand.logo_url,
    }
    return Rendered(
        subject=page["subject"],
        html=_pages().get_template("mail.html.j2").render(page),
        text=_pages().get_template("mail.txt.j2").render(page),
        template=f"dunning_{notice.occasion.value}",
        template_language=said["whatsapp_language"],
        parameters=(contacts.name or brand.name, fields["amount"], fields["description"], page["next"]),
    )


def _next_at(next_at: str | int | None, contacts: Contacts, locale: str) -> str:
    if not next_at:
        return ""
    return instant_text(datetime.fromisoformat(str(next_at)), contacts.time_zone, locale)
