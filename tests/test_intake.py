"""What a backend gives is taken whole or refused with every fault, each naming field, rule and value. SPEC 4."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.domain.terms import Subscription
from dunning.errors import InvalidInput
from dunning.intake import NOT_SHOWN, check_subscription, creation_warnings, parse_subscription
from tests.builders import subscription, subscription_data

ITEM = {"product_id": "pro", "role": "base", "quantity": 1, "unit_amount": 100_000}
LINK = {"country": "ID", "product_id": "pdt_1"}


def refused(**changes):
    """The faults of the usual subscription with these fields replaced (or, for `...`, left out)."""
    data = {name: value for name, value in subscription_data(**changes).items() if value is not ...}
    with pytest.raises(InvalidInput) as caught:
        parse_subscription(data)
    return caught.value.faults


def fields(**changes):
    return sorted(fault.field for fault in refused(**changes))


def schedule(**changes):
    return {"anchor_at": "2026-03-05T13:10:00Z", "interval": "MONTH", **changes}


def options(**changes):
    return {**subscription_data()["provider_options"], **changes}


def customer(**changes):
    return {**subscription_data()["customer"], **changes}


ONE_RULE = [
    # the field that is named, and the change that breaks one rule
    ("id", {"id": "joe@example.com"}),
    ("id", {"id": ...}),
    ("merchant_account", {"merchant_account": "a/b"}),
    ("customer.id", {"customer": customer(id="joe@example.com")}),
    ("customer.email", {"customer": customer(email="not an address")}),
    ("customer.phone", {"customer": customer(phone="0812345678")}),
    ("customer.locale", {"customer": customer(locale="Bahasa Indonesia")}),
    ("customer.time_zone", {"customer": customer(time_zone="Asia/Bandung")}),
    ("customer.time_zone", {"customer": customer(time_zone="../etc/passwd")}),
    ("customer.opt_in.FAX", {"customer": customer(opt_in={"FAX": True, "EMAIL": True})}),
    ("customer.opt_in.EMAIL", {"customer": customer(opt_in={"EMAIL": "yes"})}),
    ("customer.nickname", {"customer": customer(nickname="J")}),
    ("provider", {"provider": "paypal"}),
    ("collection", {"collection": "provider"}),
    ("collection", {"collection": ...}),
    ("provider_options.country", {"provider_options": options(country="Indonesia")}),
    ("provider_options.country", {"provider_options": {"subscription_id": "s"}}),
    ("provider_options.country", {"provider_options": ...}),
    ("provider_options.colour", {"provider_options": options(colour="red")}),
    ("provider_options.provider", {"provider_options": {"provider": "xendit"}}),
    ("provider_options.subscription_id", {"provider_options": LINK}),
    ("provider_options.mandate_only", {"provider_options": options(mandate_only=False)}),
    ("provider_options.first_price", {"provider_options": options(first_price=5000)}),
    (
        "provider_options.mandate_only",
        {
            "provider_options": {**LINK, "mandate_only": False},
            "payment_methods": [],
            "immediate_action": "FULL_AMOUNT",
        },
    ),
    ("payment_methods", {"payment_methods": []}),
    ("payment_methods.1.token", {"payment_methods": [{"token": "pm_1"}, {"token": "pm_1"}]}),
    ("payment_methods.0.token", {"payment_methods": [{"token": "4242424242424242"}]}),
    ("payment_methods.0.expires", {"payment_methods": [{"token": "pm_1", "expires": "12/27"}]}),
    ("payment_methods.0.authorized_at", {"payment_methods": [{"token": "p", "authorized_at": "2026-01-01T00:00:00"}]}),
    (
        "payment_methods",
        {"payment_methods": [{"token": "p", "expires": "2026-01"}], "created_at": "2026-02-01T00:00:00Z"},
    ),
    ("currency", {"currency": "RUPIAH"}),
    ("currency", {"currency": "AFN"}),  # a currency that Dodo does not take
    ("description", {"description": ""}),
    ("items", {"items": []}),
    ("items", {"items": [{**ITEM, "role": "addon"}]}),
    ("items", {"items": [ITEM, {**ITEM, "product_id": "other"}]}),
    ("items", {"items": [{**ITEM, "unit_amount": 0}]}),
    ("items", {"items": [{**ITEM, "unit_amount": 2_147_483_648}]}),
    ("items", {"items": [{**ITEM, "unit_amount": 49}], "currency": "USD"}),
    ("items", {"items": [ITEM, *({**ITEM, "product_id": f"a{n}", "role": "addon"} for n in range(50))]}),
    ("items.1.product_id", {"items": [ITEM, {**ITEM, "role": "addon"}]}),
    ("items.0.quantity", {"items": [{**ITEM, "quantity": 0}]}),
    ("items.0.unit_amount", {"items": [{**ITEM, "unit_amount": -1}]}),
    ("items.0.grace_days", {"items": [{**ITEM, "grace_days": 3}]}),
    ("schedule.anchor_at", {"schedule": schedule(anchor_at="2026-03-05T13:10:00")}),
    ("schedule.anchor_at", {"schedule": schedule(anchor_at=1767225600)}),
    ("schedule.anchor_at", {"schedule": {"interval": "MONTH"}}),
    ("schedule.interval", {"schedule": schedule(interval="FORTNIGHT")}),
    ("schedule.interval_count", {"schedule": schedule(interval_count=0)}),
    ("schedule.total_cycles", {"schedule": schedule(total_cycles=0)}),
    ("schedule.commitment_cycles", {"schedule": schedule(total_cycles=3, commitment_cycles=4)}),
    ("schedule.end_at", {"schedule": schedule(end_at="2026-03-05T13:09:59Z")}),
    (
        "schedule.end_at",
        {"schedule": schedule(end_at="2026-04-01T00:00:00Z", start_at="2026-05-01T00:00:00Z")},
    ),
    (
        "schedule.trial_ends_at",
        {"schedule": schedule(start_at="2026-06-01T00:00:00Z", trial_ends_at="2026-05-01T00:00:00Z")},
    ),
    ("schedule.on.weekdays", {"schedule": schedule(on={"weekdays": ["monday"]})}),
    ("schedule.on.days_of_month", {"schedule": schedule(on={"days_of_month": [1]}, interval="WEEK")}),
    ("schedule.on.weekday_of_month", {"schedule": schedule(on={"weekday_of_month": "last_friday"}, interval="DAY")}),
    ("schedule.on", {"schedule": schedule(on={})}),
    ("schedule.on", {"schedule": schedule(on={"days_of_month": [1], "weekdays": ["monday"]})}),
    ("immediate_action", {"immediate_action": "HALF"}),
    ("retry.ladder_days.1", {"retry": {"ladder_days": [3, 3]}}),
    ("retry.ladder_days.0", {"retry": {"ladder_days": [0, 3]}}),
    ("retry.interval", {"retry": {"ladder_days": [3], "interval": "DAY"}}),
    ("retry.interval", {"retry": {"interval": "WEEK", "interval_count": 1, "total": 3}}),
    ("retry.total", {"retry": {"interval": "DAY", "interval_count": 3}}),
    ("retry.max_attempts", {"retry": {"max_attempts": 0}}),
    ("retry.max_attempts", {"retry": {"max_attempts": 5}}),
    ("retry.max_attempts", {"retry": {"ladder_days": [1, 2, 3, 4]}}),
    ("retry.anchor", {"retry": {"anchor": "signup"}}),
    ("retry.spread_seconds", {"retry": {"spread_seconds": -1}}),
    ("failed_attempt_notifications.0", {"failed_attempt_notifications": [5]}),
    ("failed_attempt_notifications.1", {"failed_attempt_notifications": [2, 2]}),
    ("failed_attempt_notifications.0", {"failed_attempt_notifications": [0]}),
    ("notifications.failed", {"notifications": {"failed": ["EMAIL"]}, "customer": {"id": "c"}}),
    ("notifications.failed", {"notifications": {"failed": ["SMS"]}}),  # a phone, but no consent for SMS
    ("notifications.failed", {"notifications": {"failed": ["EMAIL", "EMAIL"]}}),
    ("notifications.failed.0", {"notifications": {"failed": ["FAX"]}}),
    ("notifications.upcoming_charge", {"notice_before_charge_hours": 24}),
    ("on_hard_decline", {"on_hard_decline": "RETRY"}),
    ("failed_cycle_action", {"failed_cycle_action": "PAUSE"}),
    ("grace_days", {"grace_days": 31}),
    ("hold_days", {"hold_days": 61}),
    ("activation_timeout_days", {"activation_timeout_days": 0}),
    ("created_at", {"created_at": "2026-01-01"}),
    ("metadata", {"metadata": {f"k{n}": n for n in range(45)}}),
    ("metadata.dunning_key", {"metadata": {"dunning_key": "mine"}}),
    ("metadata.price", {"metadata": {"price": 1.5}}),
    ("metadata.k@", {"metadata": {"k@": 1}}),
    ("colour", {"colour": "red"}),
]


@pytest.mark.parametrize(("field", "change"), ONE_RULE)
def test_one_broken_rule_is_one_fault_that_names_its_field(field, change):
    assert fields(**change) == [field]


def test_the_usual_subscription_breaks_no_rule():
    assert isinstance(parse_subscription(subscription_data()), Subscription)
    assert check_subscription(subscription()) == []


PLAN = {
    "provider": "xendit",
    "collection": "provider",
    "provider_options": {},
    "retry": {"interval": "DAY", "interval_count": 3, "total": 3},
}
"""What a calendar of Xendit's own can follow."""

GOOD = [
    {"provider_options": LINK, "payment_methods": []},
    {"provider_options": {"country": "ID"}, "payment_methods": []},  # the base item stands for the product
    {
        "provider_options": {**LINK, "customer_id": "cus_1"},
        "payment_methods": [],
        "customer": {"id": "c"},
        "notifications": {},
    },
    {"provider_options": {**LINK, "mandate_only": True}, "payment_methods": [], "immediate_action": "FULL_AMOUNT"},
    {"items": [ITEM, *({**ITEM, "product_id": f"a{n}", "role": "addon"} for n in range(49))], "currency": "JPY"},
    {"items": [{**ITEM, "unit_amount": 50}], "currency": "USD"},
    {"schedule": schedule(end_at="2026-03-05T13:10:00Z")},
    {"schedule": schedule(interval="WEEK", on={"weekdays": ["monday", "friday"]})},
    {"schedule": schedule(on={"weekday_of_month": "last_friday"})},
    {"schedule": schedule(interval="YEAR", on={"days_of_month": [31]})},
    {"schedule": {"trial_ends_at": "2026-04-01T00:00:00Z", "interval": "MONTH"}},
    {"notifications": {"failed": ["SMS", "EMAIL"]}},
    {"notifications": {"failed": []}, "customer": {"id": "c"}},
    {"notifications": {"upcoming_charge": ["WHATSAPP"]}, "notice_before_charge_hours": 24},
    {"hold_days": 60},
    {"grace_days": 0, "hold_days": 0},
    {"metadata": {f"k{n}": "x" * 500 for n in range(44)}},
    {
        "payment_methods": [{"token": "a", "expires": "2020-01"}, {"token": "b", "expires": "2099-01"}],
        "created_at": "2026-01-01T00:00:00Z",
    },
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


@pytest.mark.parametrize(
    ("field", "value", "change"),
    [("mandate_only", False, {"mandate_only": False}), ("first_price", 5, {"first_price": 5})],
)
def test_a_price_on_the_mandate_is_refused_and_told_what_to_do_instead(field, value, change):
    (fault,) = refused(provider_options={**LINK, **change}, payment_methods=[], immediate_action="FULL_AMOUNT")
    assert (fault.field, fault.value) == (f"provider_options.{field}", value)
    assert "the engine charges the first cycle itself" in fault.rule


@pytest.mark.parametrize("change", GOOD)
def test_what_keeps_the_rules_is_taken(change):
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


def test_a_method_must_be_valid_at_the_instant_of_start():
    data = subscription_data(payment_methods=[{"token": "pm", "expires": "2026-02"}])
    assert parse_subscription(data, at=datetime(2026, 2, 28, 23, tzinfo=UTC))
    with pytest.raises(InvalidInput, match="not expired"):
        parse_subscription(data, at=datetime(2026, 3, 1, tzinfo=UTC))


class TestAllAtOnce:
    def test_faults_of_fields_and_faults_between_fields_come_together(self):
        found = fields(
            id="a@b",
            currency="XX",
            grace_days=99,
            retry={"ladder_days": [9, 3], "max_attempts": "many", "interval": "WEEK"},
            items=[{**ITEM, "role": "addon", "unit_amount": -5}],
            schedule=schedule(interval="DAY", on={"weekdays": ["monday"]}, end_at="soon"),
            collection="provider",
            notifications={"failed": ["SMS"]},
            metadata={"dunning_key": "x"},
            colour="red",
        )
        assert found == sorted(
            [
                "id",
                "currency",
                "grace_days",
                "retry.max_attempts",
                "retry.ladder_days.1",
                "retry.interval",
                "retry.interval",
                "items.0.unit_amount",
                "items",
                "schedule.on.weekdays",
                "schedule.end_at",
                "collection",
                "notifications.failed",
                "metadata.dunning_key",
                "colour",
            ]
        )

    @given(st.lists(st.sampled_from(ONE_RULE), min_size=2, max_size=5))
    def test_no_fault_hides_another(self, chosen):
        """Breaks in different top-level fields that do not share a rule are all named."""
        independent = {
            "id",
            "merchant_account",
            "description",
            "grace_days",
            "hold_days",
            "metadata",
            "retry",
            "colour",
        }
        picked = {}
        for field, change in chosen:
            if len(change) == 1 and (name := next(iter(change))) in independent:
                picked[name] = (field, change[name])
        if not picked:
            return
        found = fields(**{name: value for name, (_, value) in picked.items()})
        assert found == sorted(field for field, _ in picked.values())

    def test_a_provider_that_is_none_does_not_blame_its_options(self):
        assert fields(provider="paypal") == ["provider"]
        assert fields(provider=...) == ["provider"]

    @pytest.mark.parametrize("data", [None, 3, "x", [], [subscription_data()]])
    def test_what_is_no_object_is_one_fault(self, data):
        with pytest.raises(InvalidInput) as caught:
            parse_subscription(data)
        assert [(fault.field, fault.rule) for fault in caught.value.faults] == [("(whole)", "must be an object")]

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
            max_leaves=8,
        ),
        st.sampled_from(sorted(subscription_data())),
    )
    def test_whatever_stands_in_a_field_it_is_taken_or_refused_with_faults(self, value, name):
        faults = []
        try:
            parse_subscription(subscription_data(**{name: value}))
        except InvalidInput as caught:
            faults = caught.faults
        assert all(fault.field and fault.rule for fault in faults)

    def test_the_input_is_not_changed(self):
        data = subscription_data(grace_days="3", items=[{**ITEM, "quantity": "x"}], customer={"id": "a@b"})
        before = repr(data)
        with pytest.raises(InvalidInput):
            parse_subscription(data)
        assert repr(data) == before


class TestWhatFaultsSay:
    def test_a_fault_names_field_rule_and_value(self):
        (fault,) = refused(grace_days=31)
        assert (fault.field, fault.value) == ("grace_days", 31)
        assert "30" in fault.rule

    @pytest.mark.parametrize(
        ("change", "secret"),
        [
            ({"customer": customer(email="joe at example.com")}, "joe at"),
            ({"customer": customer(phone="0812-3456-7890")}, "0812"),
            ({"customer": customer(mail="joe@example.com")}, "joe@"),
            ({"customer": "joe@example.com"}, "joe@"),
            ({"email": "joe@example.com"}, "joe@"),
            ({"provider_options": options(street=["Jalan Merdeka"])}, "Merdeka"),
            ({"payment_methods": [{"token": "4242 4242 4242 4242"}]}, "4242"),
        ],
    )
    def test_contacts_and_card_numbers_are_not_quoted_back(self, change, secret):
        faults = refused(**change)
        assert faults
        assert secret not in str([(fault.field, fault.rule, fault.value) for fault in faults])
        assert secret not in repr(faults)

    def test_a_hidden_value_says_that_it_is_hidden(self):
        (fault,) = refused(customer=customer(email="nonsense"))
        assert fault.value == NOT_SHOWN


class TestWarnings:
    def test_more_than_four_attempts_are_taken_with_a_warning(self):
        given_ = subscription(retry={"ladder_days": [1, 2, 3, 4], "allow_more_than_4": True})
        (warning,) = creation_warnings(given_)
        assert warning.startswith("retry.max_attempts: 5 attempts")

    def test_a_channel_that_cannot_reach_the_customer_is_named(self):
        (warning,) = creation_warnings(subscription(notifications={"failed": ["SMS", "EMAIL"]}))
        assert warning.startswith("notifications.failed: SMS")

    def test_the_usual_subscription_needs_no_warning(self):
        assert creation_warnings(subscription()) == []
