"""All notices on one page, for those who write them: every occasion in every locale, as mail and as WhatsApp text.

The page needs nothing from outside, shows each mail in a frame of a phone's or a desktop's width, and follows the
reader's light or dark mode.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from dunning.domain.contact import NoticeKind, kind_of
from dunning.domain.declines import ReasonKey
from dunning.domain.messages import PlannedNotice
from dunning.domain.terms import Channel, Contacts, Occasion
from dunning.notices.render import Brand, Rendered, render
from dunning.notices.texts import Stage, locales, texts

BRAND = Brand(name="Kopi Club", colour="#7a4a21", support_address="help@kopi.example")
LINK = "https://kopi.example/billing"
UNSUBSCRIBE = "https://pay.kopi.example/unsubscribe/demo/token"
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
    Occasion.PRICE_CHANGE: {
        "old_amount": 9_900_000,
        "next_due_at": _LATER,
        "items": '[["Pro plan", 7900000, 9900000], ["Extra seat", 2000000, 3000000]]',
    },
    Occasion.CANCELED: {"access_until": _LATER},
}


SAMPLES: tuple[tuple[Occasion, Stage | None], ...] = tuple(
    (occasion, stage) for occasion in Occasion for stage in (None, *texts("en").occasions[occasion].stages)
)
"""Everything that there is to show: every occasion, and each tone of one that is told again."""


def sample(occasion: Occasion, locale: str, stage: Stage | None = None) -> Rendered:
    """One notice as it would reach the sample reader of a locale."""
    facts: dict[str, str | int] = {
        "amount": 12_900_000, "currency": "IDR", "description": "Pro plan",
        "reason_key": ReasonKey.INSUFFICIENT_FUNDS.value, **_OWN.get(occasion, {}),
    }  # fmt: skip
    if stage is not None:
        facts["stage"] = stage
    notice = PlannedNotice(
        key=f"1/1/1/{occasion.value}",
        occasion=occasion,
        channels=(Channel.WHATSAPP, Channel.EMAIL),
        at=datetime(2026, 3, 5, 6, 10, tzinfo=UTC),
        because="a sample",
        facts=facts,
    )
    reader = PEOPLE.get(locale, Contacts(id="c", time_zone="UTC", locale=locale))
    leave_out = UNSUBSCRIBE if kind_of(notice) is NoticeKind.ROUTINE else None
    return render(notice, reader, BRAND, link=LINK, unsubscribe=leave_out)


def page(chosen: Sequence[str] | None = None, *, width: int = WIDTHS["phone"]) -> str:
    """The gallery of the chosen locales (all), as one HTML document. `width` of each mail is in CSS pixels."""
    parts = [_HEAD]
    for locale in chosen or locales():
        parts.append(f'<h2 id="{locale}">{escape(locale)}</h2>\n<div class="row">')
        parts.extend(_figure(occasion, stage, locale, width) for occasion, stage in SAMPLES)
        parts.append("</div>")
    return "\n".join([*parts, "</body></html>\n"])


def _figure(occasion: Occasion, stage: Stage | None, locale: str, width: int) -> str:
    rendered = sample(occasion, locale, stage)
    direction = texts(locale).direction
    told = escape(rendered.short)
    name = f"{occasion.value}, {stage}" if stage else occasion.value
    return (
        f'<figure style="width:{width}px"><figcaption><b>{name}</b> '
        f'<bdi lang="{locale}">{escape(rendered.subject)}</bdi></figcaption>\n'
        f'<iframe title="{name}, {locale}" loading="lazy" srcdoc="{escape(rendered.html)}"></iframe>\n'
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
