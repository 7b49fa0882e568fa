"""All notices on one page, for those who write them: every occasion in every locale, as mail and as WhatsApp text.

The page needs nothing from outside, shows each mail in a frame of a phone's or a desktop's width, and follows the
reader's light or dark mode.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from dunning.domain.declines import ReasonKey
from dunning.domain.messages import PlannedNotice
from dunning.domain.terms import Channel, Contacts, Occasion
from dunning.notices.render import Brand, Rendered, render
from dunning.notices.texts import locales, texts

BRAND = Brand(name="Kopi Club", colour="#7a4a21", support_address="help@kopi.example")
LINK = "https://kopi.example/billing"
WIDTHS = {"phone": 390, "desktop": 760}

PEOPLE = {
    "en": Contacts(id="c", name="Naya", time_zone="Asia/Singapore", locale="en"),
    "id": Contacts(id="c", name="Budi Santoso", time_zone="Asia/Jakarta", locale="id"),
    "ar": Contacts(id="c", name="ليلى حداد", time_zone="Asia/Riyadh", locale="ar"),
    "th": Contacts(id="c", name="สมชาย ใจดี", time_zone="Asia/Bangkok", locale="th"),
}
"""Whom the sample of a locale is written to; another locale's reader is nameless and lives in UTC."""

_NOON = datetime(2026, 3, 8, 6, 10, tzinfo=UTC).isoformat()
_LATER = datetime(2026, 4, 5, 6, 10, tzinfo=UTC).isoformat()
_OWN: dict[Occasion, dict[str, str | int]] = {
    Occasion.CREATED: {"next_due_at": _LATER},
    Occasion.SUCCEEDED: {"next_due_at": _LATER},
    Occasion.FAILED: {"next_attempt_at": _NOON},
    Occasion.RETRY_REMINDER: {"next_attempt_at": _NOON},
    Occasion.ACTION_REQUIRED: {"open_until": _LATER, "reason_key": ReasonKey.EXPIRED.value},
    Occasion.CARD_EXPIRING: {"expires": "2026-03", "next_due_at": _LATER},
    Occasion.UPCOMING_CHARGE: {"next_due_at": _LATER},
    Occasion.ON_HOLD: {"open_until": _LATER},
    Occasion.PRICE_CHANGE: {"old_amount": 9_900_000, "next_due_at": _LATER},
    Occasion.CANCELED: {"access_until": _LATER},
}


def sample(occasion: Occasion, locale: str) -> Rendered:
    """One notice as it would reach the sample reader of a locale."""
    facts: dict[str, str | int] = {
        "amount": 12_900_000, "currency": "IDR", "description": "Pro plan",
        "reason_key": ReasonKey.INSUFFICIENT_FUNDS.value, **_OWN.get(occasion, {}),
    }  # fmt: skip
    notice = PlannedNotice(
        key=f"1/1/1/{occasion.value}",
        occasion=occasion,
        channels=(Channel.WHATSAPP, Channel.EMAIL),
        at=datetime(2026, 3, 5, 6, 10, tzinfo=UTC),
        because="a sample",
        facts=facts,
    )
    reader = PEOPLE.get(locale, Contacts(id="c", time_zone="UTC", locale=locale))
    return render(notice, reader, BRAND, link=LINK)


def filled(occasion: Occasion, locale: str, rendered: Rendered) -> str:
    """The WhatsApp message as it is read: the template with its parameters."""
    body = texts(locale).occasions[occasion].whatsapp.body
    return re.sub(r"\{\{(\d+)\}\}", lambda place: rendered.parameters[int(place[1]) - 1], body)


def page(chosen: Sequence[str] | None = None, *, width: int = WIDTHS["phone"]) -> str:
    """The gallery of the chosen locales (all), as one HTML document. `width` of each mail is in CSS pixels."""
    parts = [_HEAD]
    for locale in chosen or locales():
        parts.append(f'<h2 id="{locale}">{escape(locale)}</h2>\n<div class="row">')
        parts.extend(_figure(occasion, locale, width) for occasion in Occasion)
        parts.append("</div>")
    return "\n".join([*parts, "</body></html>\n"])


def _figure(occasion: Occasion, locale: str, width: int) -> str:
    rendered = sample(occasion, locale)
    direction = texts(locale).direction
    told = escape(filled(occasion, locale, rendered))
    return (
        f'<figure style="width:{width}px"><figcaption><b>{occasion.value}</b> '
        f'<bdi lang="{locale}">{escape(rendered.subject)}</bdi></figcaption>\n'
        f'<iframe title="{occasion.value}, {locale}" loading="lazy" srcdoc="{escape(rendered.html)}"></iframe>\n'
        f'<p class="chat" lang="{locale}" dir="{direction}">{told}</p></figure>'
    )


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>What customers are told</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { margin: 24px; } .row { display: flex; flex-wrap: wrap; gap: 24px; align-items: flex-start; }
figure { margin: 0; max-width: 100%; } figcaption { margin-bottom: 8px; font-size: 14px; }
iframe { width: 100%; height: 840px; border: 1px solid #8886; border-radius: 8px; }
.chat { margin: 8px 0 0; padding: 10px 14px; border-radius: 10px; background: #2a9d5c22; }
.chat { font-size: 15px; line-height: 1.45; }
</style></head><body>
<h1>What customers are told</h1>
<p>Every occasion in every locale: the mail, and below it the WhatsApp message. Samples; nobody was written to.</p>"""
