"""What a customer reads: amounts, times and reasons in words; nothing that must not be told."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from dunning.domain.declines import CONCEALED, DeclineClass, classify, customer_reason
from dunning.domain.messages import PlannedNotice
from dunning.domain.terms import Channel, Contacts, Occasion
from dunning.notices.render import Brand, amount_text, instant_text, locales, render, texts
from dunning.providers.dodo_declines import DODO_DECLINES

CODES = (Path(__file__).parents[1] / "fixtures" / "dodo_decline_codes.txt").read_text().split()
FIRST = (Occasion.FAILED, Occasion.ACTION_REQUIRED, Occasion.STOPPED, Occasion.RECOVERED)
NAYA = Contacts(id="c1", name="Naya", email="naya@example.com", phone="+6281234567890", time_zone="Asia/Jakarta")
BRAND = Brand(name="Kopi Harian", colour="#7a4a21")


def notice(occasion: Occasion, **facts: str | int) -> PlannedNotice:
    known = {"amount": 10_000_000, "currency": "IDR", "description": "Pro plan", "reason_key": "insufficient_funds"}
    return PlannedNotice(
        key=f"1/1/1/{occasion.value}",
        occasion=occasion,
        channels=(Channel.EMAIL,),
        at=datetime(2026, 3, 5, 13, 10, tzinfo=UTC),
        because="test",
        facts={**known, **facts},
    )


@pytest.mark.parametrize(
    ("amount", "currency", "written"),
    [
        (10_000_000, "IDR", "IDR 100,000"),  # rupiah are written without cents in daily life
        (1_200, "JPY", "¥1,200"),  # yen have none
        (2_500, "USD", "$25.00"),
        (29_900, "THB", "THB 299.00"),
    ],
)
def test_amounts_are_written_as_people_write_them(amount: int, currency: str, written: str) -> None:
    assert amount_text(amount, currency, "en").replace("\xa0", " ") == written


def test_times_are_the_customers_own() -> None:
    # 13:10 UTC is 20:10 in Jakarta and 09:10 in New York (summer time from 2026-03-08 on)
    at = datetime(2026, 3, 15, 13, 10, tzinfo=UTC)

    assert instant_text(at, "Asia/Jakarta", "en") == "15 March 2026, 20:10"
    assert instant_text(at, "America/New_York", "en") == "15 March 2026, 09:10"


def test_a_failure_says_what_happened_and_when_we_try_again() -> None:
    mail = render(notice(Occasion.FAILED, next_attempt_at="2026-03-08T13:10:00+00:00"), NAYA, BRAND)

    assert mail.subject == "Your payment to Kopi Harian did not go through"
    assert "there was not enough money in the account" in mail.text
    assert "we will try again on 8 March 2026, 20:10" in mail.text
    assert "we will try again on 8 March 2026, 20:10" in mail.html


def test_a_failure_that_was_the_last_never_says_that_we_try_again() -> None:
    mail = render(notice(Occasion.FAILED), NAYA, BRAND)

    assert "try again on" not in mail.text + mail.html
    assert "will not try this payment again" in mail.text


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("occasion", FIRST)
def test_no_raw_code_and_no_concealed_reason_is_ever_told(code: str, occasion: Occasion) -> None:
    klass = classify(DODO_DECLINES, "error_code", code).klass
    mail = render(notice(occasion, reason_key=str(customer_reason(klass, code))), NAYA, BRAND)

    told = " ".join((mail.subject, mail.text, mail.html, *mail.parameters)).lower()
    assert code.lower() not in told
    for word in ("stolen", "lost card", "pick", "fraud"):
        assert word not in told


def test_concealed_reasons_read_exactly_like_an_ordinary_decline() -> None:
    ordinary = customer_reason(DeclineClass.HARD, "CARD_DECLINED")

    assert {customer_reason(DeclineClass.HARD, code) for code in CONCEALED} == {ordinary}


@pytest.mark.parametrize("locale", locales())
def test_a_locale_names_everything_that_english_names(locale: str) -> None:
    english, other = texts("en"), texts(locale)

    assert set(other["reasons"]) == set(english["reasons"])
    assert {o: set(words) for o, words in other["occasions"].items()} == {
        o: set(words) for o, words in english["occasions"].items()
    }


def test_html_escapes_what_a_backend_wrote() -> None:
    mail = render(notice(Occasion.FAILED, description="<b>Pro & more</b>"), NAYA, BRAND)

    assert "<b>Pro" not in mail.html
    assert "&lt;b&gt;Pro &amp; more" in mail.html
    assert "<b>Pro & more</b>" in mail.text


def test_whatsapp_parameters_are_four_single_lines() -> None:
    mail = render(notice(Occasion.ACTION_REQUIRED), NAYA, BRAND)

    assert mail.template == "dunning_action_required"
    assert len(mail.parameters) == 4
    assert all(p and "\n" not in p for p in mail.parameters)
