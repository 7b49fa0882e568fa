"""The rules of the chosen provider: what it cannot do is refused with the alternative. SPEC 4."""

import pytest

from dunning.intake import parse_subscription
from tests.builders import subscription_data
from tests.intaking import ITEM, fields, refused, schedule

PLAN = {
    "provider": "xendit",
    "collection": "provider",
    "provider_options": {},
    "retry": {"interval": "DAY", "interval_count": 3, "total": 3},
}
"""What a calendar of Xendit's own can follow."""

GOOD = [
    {**PLAN, "provider_options": ..., "failed_cycle_action": "RESUME"},
    {**PLAN, "on_hard_decline": "FAIL_CYCLE"},
    {**PLAN, "retry": {"ladder_days": [2, 4, 6]}},
    {**PLAN, "retry": {"ladder_days": []}},
    {"provider": "xendit", "provider_options": {}, "metadata": {f"k{n}": "x" * 500 for n in range(44)}},
    {"provider": "xendit", "provider_options": {}, "schedule": schedule(anchor_at="2026-03-31T00:00:00+07:00")},
    {"provider": "xendit", "provider_options": {}, "payment_methods": []},
    {"provider": "xendit", "provider_options": {"country": "SG"}, "payment_methods": [], "currency": "USD"},
    {
        "provider": "xendit",
        "provider_options": {"country": "HK", "channel_code": "ALIPAY_HK"},
        "payment_methods": [],
        "currency": "HKD",
    },
    {"provider": "omise", "provider_options": {"customer_id": "cust_1"}, "currency": "THB"},
    {"provider": "omise", "provider_options": {"card_token": "tokn_1"}, "payment_methods": []},
    {"provider": "omise", "provider_options": {"card_token": "t", "customer_id": "c"}, "payment_methods": []},
    {"provider": "google_play", "collection": "provider", "provider_options": {}, "payment_methods": []},
]


@pytest.mark.parametrize("change", GOOD)
def test_what_the_chosen_provider_can_do_is_taken(change):
    data = {name: value for name, value in subscription_data(**change).items() if value is not ...}
    assert parse_subscription(data).id == "sub-1"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("collection", {"provider": "google_play", "collection": "engine", "payment_methods": []}),
        ("on_hard_decline", {"on_hard_decline": "FAIL_CYCLE", "failed_cycle_action": "RESUME"}),
        ("schedule.anchor_at", {"schedule": schedule(anchor_at="2026-03-31T00:00:00+07:00")}),
        ("schedule.on", {"schedule": schedule(on={"days_of_month": [1, 15]})}),
        ("items", {"items": [{**ITEM, "unit_amount": 100_050}]}),  # half a rupiah
        ("currency", {"currency": "KWD"}),
        ("metadata.k", {"metadata": {"k": "x" * 81}}),
        ("metadata", {"metadata": {f"k{n}": n for n in range(15)}}),
        ("retry", {"retry": {"ladder_days": [3, 10, 17]}}),
        ("retry", {"retry": {"interval": "DAY", "interval_count": 1, "total": 11, "allow_more_than_4": True}}),
    ],
)
def test_the_rules_of_the_chosen_provider_apply(field, change):
    assert fields(**{**PLAN, **change}) == [field]


@pytest.mark.parametrize(
    "change",
    [
        {"schedule": schedule(anchor_at="2026-03-29T00:00:00+07:00")},
        {"retry": {"ladder_days": [3, 10, 17]}},
        {"metadata": {f"k{n}": n for n in range(15)}},
    ],
)
def test_what_a_providers_calendar_cannot_express_is_refused_with_the_alternative(change):
    (fault,) = refused(**{**PLAN, **change})
    assert "collection engine" in fault.rule


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("provider_options.country", {"currency": "USD"}),
        ("currency", {"currency": "JPY", "provider_options": {"country": "SG"}}),
    ],
)
def test_a_link_at_xendit_is_of_a_country_and_currency_that_it_takes(field, change):
    data = {"provider": "xendit", "provider_options": {}, "payment_methods": [], **change}
    assert fields(**data) == [field]


@pytest.mark.parametrize(("currency", "unit_amount", "least"), [("THB", 1_999, "THB 20.00"), ("THB", 1, "THB 20.00")])
def test_omise_has_a_least_amount_in_baht(currency, unit_amount, least):
    items = [{**ITEM, "unit_amount": unit_amount}]
    options = {"customer_id": "cust_1"}
    (fault,) = refused(provider="omise", provider_options=options, currency=currency, items=items)
    assert (fault.field, fault.value) == ("items", unit_amount)
    assert least in fault.rule


def test_omise_without_a_method_is_refused_for_want_of_a_link():
    (fault,) = refused(provider="omise", provider_options={}, currency="THB", payment_methods=[])
    assert fault.field == "payment_methods"
    assert "omise" in fault.rule


@pytest.mark.parametrize(
    ("options", "methods", "field"),
    [
        ({}, [{"token": "card_1"}], "provider_options.customer_id"),
        ({"customer_id": "cust_1", "card_token": "tokn_1"}, [{"token": "card_1"}], "provider_options.card_token"),
        ({"customer_id": "cust_1", "schedule_id": "schd_1"}, [{"token": "card_1"}], "provider_options.schedule_id"),
        ({"customer_id": "cust_1"}, [], "payment_methods"),
    ],
)
def test_omise_needs_cards_of_a_customer_or_one_token(options, methods, field):
    (fault,) = refused(provider="omise", provider_options=options, currency="THB", payment_methods=methods)
    assert fault.field == field
