"""What a customer reads: what happened, what we will do and when, what to do; nothing that must not be told."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

from dunning.domain.declines import CONCEALED, DeclineClass, classify, customer_reason
from dunning.domain.messages import PlannedNotice
from dunning.domain.terms import Channel, Contacts, Occasion
from dunning.notices import render as module
from dunning.notices.gallery import SAMPLES
from dunning.notices.render import Brand, CannotBeWritten, Rendered, contrast, readable_on, render
from dunning.notices.texts import locales, texts
from dunning.providers.dodo_declines import DODO_DECLINES
from dunning.providers.omise_declines import OMISE_DECLINES
from dunning.providers.xendit_declines import XENDIT_DECLINES
from tests.builders import at

CODES = (Path(__file__).parents[1] / "fixtures" / "dodo_decline_codes.txt").read_text().split()
OWN_FACTS: dict[Occasion, dict[str, str | int]] = {
    Occasion.CARD_EXPIRING: {"expires": "2026-12"},
    Occasion.PRICE_CHANGE: {"old_amount": 9_000_000},
}
NAYA = Contacts(id="c1", name="Naya", email="naya@example.com", phone="+6281234567890", time_zone="Asia/Jakarta")
BRAND = Brand(name="Kopi Harian", colour="#7a4a21", support_address="help@kopi.example")
LINK = "https://kopi.example/billing?s=sub-1&c=c1"


def notice(occasion: Occasion, **facts: str | int) -> PlannedNotice:
    known = {"amount": 10_000_000, "currency": "IDR", "description": "Pro plan", "reason_key": "insufficient_funds"}
    known |= OWN_FACTS.get(occasion, {})
    return PlannedNotice(
        key=f"1/1/1/{occasion.value}",
        occasion=occasion,
        channels=(Channel.EMAIL,),
        at=at("2026-03-05T13:10"),
        because="test",
        facts={**known, **facts},
    )


def mail(occasion: Occasion, *, to: Contacts = NAYA, link: str | None = LINK, **facts: str | int) -> Rendered:
    written = render(notice(occasion, **facts), to, BRAND, link=link)
    plain = {name: getattr(written, name).replace("\xa0", " ") for name in ("subject", "html", "text")}
    return written.but(**plain, parameters=tuple(p.replace("\xa0", " ") for p in written.parameters))


def test_a_failure_says_what_happened_when_we_try_again_and_what_can_be_done() -> None:
    said = mail(Occasion.FAILED, next_attempt_at="2026-03-08T13:10:00+00:00")

    assert said.subject == "Your payment to Kopi Harian did not go through"
    for part in (
        "We tried to collect IDR 100,000 for Pro plan, but there was not enough money in the account.",
        "we will try again on 8 March 2026, 20:10 WIB",
        "you can change it at any time",
    ):
        assert part in said.text
        assert part in said.html
    assert LINK in said.text
    assert f'href="{html.escape(LINK)}"' in said.html


def test_a_failure_that_was_the_last_never_says_that_we_try_again() -> None:
    said = mail(Occasion.FAILED)

    for told in (said.text, said.html, " ".join(said.parameters)):
        assert "try again on" not in told
        assert "will not try this payment again" in told


def test_who_has_to_act_reads_it_before_anything_else_and_until_when() -> None:
    said = mail(Occasion.ACTION_REQUIRED, reason_key="expired", open_until="2026-03-22T13:10:00+00:00")

    assert said.subject == "Please update your payment method for Kopi Harian"
    assert "the card has expired" in said.text
    assert said.text.index("Please give us another payment method") < said.text.index("Until then")
    assert "stays open until 22 March 2026, 20:10 WIB" in said.text
    assert "Update payment method" in said.html


@pytest.mark.parametrize(
    ("occasion", "fact"), [(Occasion.CARD_EXPIRING, "expires"), (Occasion.PRICE_CHANGE, "old_amount")]
)
@pytest.mark.parametrize("locale", locales())
def test_nothing_is_said_with_a_blank_in_it(occasion: Occasion, fact: str, locale: str) -> None:
    planned = notice(occasion)
    without = planned.but(facts={name: value for name, value in planned.facts.items() if name != fact})

    with pytest.raises(CannotBeWritten, match="missing for"):
        render(without, NAYA.but(locale=locale), BRAND)


def test_every_occasion_says_its_own_instants_where_they_are_known() -> None:
    soon, later = "2026-03-08T13:10:00+00:00", "2026-04-05T13:10:00+00:00"
    for occasion, facts, part in [
        (Occasion.CREATED, {"next_due_at": later}, "next payment is on 5 April 2026, 20:10 WIB"),
        (Occasion.SUCCEEDED, {"next_due_at": later}, "next payment is on 5 April 2026, 20:10 WIB"),
        (Occasion.RETRY_REMINDER, {"next_attempt_at": soon}, "try again on 8 March 2026, 20:10 WIB"),
        (Occasion.CARD_EXPIRING, {"next_due_at": later}, "the end of December 2026, before the next payment"),
        (Occasion.UPCOMING_CHARGE, {"next_due_at": later}, "collect IDR 100,000 on 5 April 2026, 20:10 WIB"),
        (Occasion.ON_HOLD, {"open_until": later}, "open until 5 April 2026, 20:10 WIB"),
        (Occasion.PRICE_CHANGE, {"next_due_at": later}, "from IDR 90,000 to IDR 100,000"),
        (Occasion.CANCELED, {"access_until": later}, "using it until 5 April 2026, 20:10 WIB"),
    ]:
        said = mail(occasion, to=NAYA, link=LINK, **facts)
        assert part in said.text
        assert part in said.html


def test_no_date_is_promised_that_is_not_known() -> None:
    said = mail(Occasion.ACTION_REQUIRED)

    assert "until ." not in said.text
    assert "stays open" not in said.text + said.html + " ".join(said.parameters)


@pytest.mark.parametrize("occasion", [Occasion.STOPPED, Occasion.RECOVERED])
def test_what_is_over_asks_for_no_payment_method(occasion: Occasion) -> None:
    said = mail(occasion)

    assert LINK not in said.text
    assert "<a " not in said.html


@pytest.mark.parametrize("occasion", tuple(Occasion))
def test_without_a_link_there_is_no_button(occasion: Occasion) -> None:
    said = mail(occasion, link=None)

    assert "<a " not in said.html
    assert "http" not in said.text


EVERY_CODE = {
    row.code: str(customer_reason(classify(table, row.field, row.code).klass, row.code))
    for table in (DODO_DECLINES, OMISE_DECLINES, XENDIT_DECLINES)
    for row in table.rows
} | {code: str(customer_reason(classify(DODO_DECLINES, "error_code", code).klass, code)) for code in CODES}
"""Every code of every provider, and the reason that its customers read. A text depends on nothing else of a decline."""

REVEALING = ("stolen", "lost ", "pick", "fraud", "dicuri", "hilang", "penipuan", "curang", "مسروق", "مسروقة", "مفقود",
             "احتيال", "ขโมย", "สูญหาย", "ทุจริต", "ฉ้อโกง")  # fmt: skip


@pytest.mark.parametrize("reason", sorted(set(EVERY_CODE.values())))
@pytest.mark.parametrize("locale", locales())
def test_no_raw_code_and_no_concealed_reason_of_any_provider_is_ever_told(reason: str, locale: str) -> None:
    codes = [code.lower() for code, told in EVERY_CODE.items() if told == reason and not code.isalpha()]
    for occasion, stage in SAMPLES:
        said = mail(occasion, to=NAYA.but(locale=locale), reason_key=reason, stage=stage or "")
        told = " ".join((said.subject, said.text, said.html, said.short, *said.parameters)).lower()
        # Colours and digits of style sheets are no codes.
        words = set(re.findall(r"[\w-]+", re.sub(r"<[^>]*>|\{[^}]*\}", " ", told)))
        assert words.isdisjoint(codes), (occasion, words & set(codes))
        assert not [word for word in REVEALING if word in told]


@pytest.mark.parametrize("code", [c for c in EVERY_CODE if re.search("stolen|lost|pick|fraud", c, re.IGNORECASE)])
def test_what_must_not_be_revealed_has_the_reason_of_an_ordinary_no(code: str) -> None:
    assert EVERY_CODE[code] in ("declined", "generic")


def test_every_provider_has_codes_that_must_not_be_revealed() -> None:
    assert len([c for c in EVERY_CODE if re.search("stolen|lost|pick|fraud", c, re.IGNORECASE)]) >= 6
    assert len(EVERY_CODE) > 100


@pytest.mark.parametrize("locale", locales())
def test_the_first_the_next_and_the_last_failure_are_told_in_three_tones(locale: str) -> None:
    facts = {"next_attempt_at": "2026-03-08T13:10:00+00:00"}
    tones = [mail(Occasion.FAILED, to=NAYA.but(locale=locale), stage=stage, **facts) for stage in ("", "again", "last")]

    assert {one.template for one in tones} == {"dunning_failed", "dunning_failed_again", "dunning_failed_last"}
    for part in ("subject", "text", "html", "short"):
        assert len({getattr(one, part) for one in tones}) == 3
    own = texts(locale).occasions[Occasion.FAILED]
    for part in ("subject", "headline", "happened", "next", "action"):
        assert len({getattr(words, part) for words in (own, *own.stages.values())}) == 3, part


def test_one_message_lists_all_items_whose_price_changes_that_day() -> None:
    items = '[["Pro plan", 7900000, 9900000], ["Extra seat", 2000000, 3000000]]'

    said = mail(Occasion.PRICE_CHANGE, items=items)

    for name, line in [
        ("Pro plan", "IDR 79,000 now, then IDR 99,000"),
        ("Extra seat", "IDR 20,000 now, then IDR 30,000"),
    ]:
        assert name in said.html
        assert line in said.html
        assert f"{name}: {line}" in said.text
    with pytest.raises(CannotBeWritten, match="items"):
        mail(Occasion.PRICE_CHANGE, items="[[1]]")


def test_concealed_declines_read_exactly_like_an_ordinary_one() -> None:
    def told(code: str) -> Rendered:
        return mail(Occasion.ACTION_REQUIRED, reason_key=str(customer_reason(DeclineClass.HARD, code)))

    assert {told(code) for code in CONCEALED} == {told("CARD_DECLINED")}


def test_there_are_44_codes() -> None:
    assert len(set(CODES)) == 44


def test_html_escapes_what_a_backend_wrote_and_text_does_not() -> None:
    said = mail(Occasion.FAILED, description="<b>Pro & more</b>")

    assert "<b>Pro" not in said.html
    assert "&lt;b&gt;Pro &amp; more" in said.html
    assert "<b>Pro & more</b>" in said.text


def test_braces_in_a_backends_words_are_only_words() -> None:
    assert "for {amount.__class__} {0}" in mail(Occasion.FAILED, description="{amount.__class__} {0}").text


def test_headers_and_whatsapp_parameters_are_single_lines() -> None:
    said = mail(Occasion.STOPPED, description="Pro\r\nBcc: all@example.com\tplan\x00 and     more")

    assert said.subject == "Your Pro Bcc: all@example.com plan and more with Kopi Harian has ended"
    for parameter in said.parameters:
        assert parameter
        assert not re.search(r"[\n\r\t\x00]| {2}", parameter)


@pytest.mark.parametrize("occasion", tuple(Occasion))
@pytest.mark.parametrize("locale", locales())
def test_whatsapp_fills_each_place_of_its_template(occasion: Occasion, locale: str) -> None:
    said = mail(occasion, to=NAYA.but(locale=locale))
    template = texts(locale).occasions[occasion].whatsapp

    assert said.template == f"dunning_{occasion.value}"
    assert len(said.parameters) == len(template.parameters)
    assert all(said.parameters)
    assert said.parameters[0] == "Naya"


def test_a_customer_without_a_name_is_still_greeted() -> None:
    said = mail(Occasion.FAILED, to=NAYA.but(name=None))

    assert said.text.startswith("Hello,\n")
    assert said.parameters[0] == "there"


def test_a_region_writes_its_own_amounts() -> None:
    said = mail(Occasion.FAILED, to=NAYA.but(locale="en-GB"), amount=2_500, currency="USD")

    assert "US$25.00" in said.text


@pytest.mark.parametrize(
    ("occasion", "facts", "fault"),
    [
        (Occasion.CARD_EXPIRING, {"expires": ""}, "unreadable"),
        (Occasion.FAILED, {"currency": "XXQ"}, "XXQ"),
        (Occasion.FAILED, {"reason_key": "STOLEN_CARD"}, "STOLEN_CARD"),
        (Occasion.FAILED, {"next_attempt_at": "soon"}, "soon"),
    ],
)
def test_what_cannot_be_written_is_refused_and_not_half_written(
    occasion: Occasion, facts: dict[str, str | int], fault: str
) -> None:
    with pytest.raises(CannotBeWritten, match=fault):
        render(notice(occasion, **facts), NAYA, BRAND)


@pytest.mark.parametrize("colour", ["#7a4a21", "#ffd24d", "#000000", "#ffffff", "#1a4fd6", "#777777"])
def test_a_button_can_be_read_in_every_colour_of_a_brand(colour: str) -> None:
    assert contrast(readable_on(colour), colour) >= 4.2


def test_the_quiet_colours_of_both_modes_can_be_read() -> None:
    light = [("#2b303b", "#ffffff"), ("#5b6270", "#ffffff"), ("#5b6270", "#f3f4f6"), ("#171a21", "#f3f4f6")]
    dark = [("#d6d9e0", "#1f232b"), ("#a3a9b8", "#1f232b"), ("#a3a9b8", "#14161b"), ("#f4f5f7", "#2a2f39")]
    page = mail(Occasion.FAILED).html

    for ink, paper in light + dark:
        assert ink in page
        assert contrast(ink, paper) >= 4.5


def test_a_language_from_right_to_left_turns_the_page_and_isolates_what_is_put_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turned = texts("en").but(direction="rtl")
    monkeypatch.setattr(module, "texts", lambda _: turned)

    said = mail(Occasion.FAILED, next_attempt_at="2026-03-08T13:10:00+00:00")

    assert '<html lang="en" dir="rtl">' in said.html
    assert 'align="right" style="padding:32px' in said.html
    assert "for \u2068Pro plan\u2069, but" in said.text
    assert said.subject == "Your payment to Kopi Harian did not go through"
