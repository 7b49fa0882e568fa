"""What a backend gives is taken whole or refused with every fault, each naming field, rule and value. SPEC 4."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.domain.terms import Subscription
from dunning.errors import Fault, InvalidInput
from dunning.intake import NOT_SHOWN, check_subscription, creation_warnings, parse_subscription
from tests.builders import subscription, subscription_data
from tests.intaking import ITEM, LINK, customer, fields, options, refused, schedule

AT_ONCE = {"immediate_action": "FULL_AMOUNT"}
PRICED = {**LINK, "mandate_only": False}
ON_PAGE = {"provider_options": PRICED, "payment_methods": [], **AT_ONCE}

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
    ("provider_options.mandate_only", {"provider_options": options(mandate_only=False), **AT_ONCE}),
    ("provider_options.first_price", {"provider_options": options(first_price=5000)}),
    ("provider_options.first_price", {**ON_PAGE, "provider_options": {**LINK, "first_price": 100_000}}),
    ("provider_options.first_price", {**ON_PAGE, "provider_options": {**PRICED, "first_price": 99_999}}),
    ("provider_options.mandate_only", {**ON_PAGE, "immediate_action": "NONE"}),
    ("provider_options.mandate_only", {**ON_PAGE, "schedule": schedule(trial_ends_at="2026-04-05T20:10:00+07:00")}),
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


GOOD = [
    {"provider_options": LINK, "payment_methods": []},
    {"provider_options": {"country": "ID"}, "payment_methods": []},  # the base item stands for the product
    {
        "provider_options": {**LINK, "customer_id": "cus_1"},
        "payment_methods": [],
        "customer": {"id": "c"},
        "notifications": {},
    },
    {"provider_options": {**LINK, "mandate_only": True}, "payment_methods": [], **AT_ONCE},
    ON_PAGE,
    {**ON_PAGE, "provider_options": {**PRICED, "first_price": 100_000, "use_subscriptions_endpoint": True}},
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
]


@pytest.mark.parametrize("change", GOOD)
def test_what_keeps_the_rules_is_taken(change):
    data = {name: value for name, value in subscription_data(**change).items() if value is not ...}
    assert parse_subscription(data).id == "sub-1"


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
        faults: tuple[Fault, ...] = ()
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
