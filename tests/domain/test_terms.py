"""The models of a subscription: strict fields, nothing personal in the terms, a stable fingerprint."""

import json
import pickle
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dunning.domain.terms import (
    Channel,
    Contacts,
    PaymentMethod,
    Provider,
    RetryPolicy,
    Schedule,
    Subscription,
    terms_fingerprint,
)
from tests.builders import subscription, subscription_data

ADDRESS = {"city": "Bogor", "state": "West Java", "street": "Jalan Merdeka 17", "zipcode": "16111"}


def with_address():
    options = {**subscription_data()["provider_options"], **ADDRESS}
    return subscription(provider_options=options)


class TestNothingPersonalLeaves:
    @given(
        name=st.from_regex(r"[A-Z][a-z]{5,12} [A-Z][a-z]{5,12}", fullmatch=True),
        local=st.from_regex(r"[a-z]{6,12}", fullmatch=True),
        number=st.from_regex(r"[1-9][0-9]{9,13}", fullmatch=True),
        street=st.from_regex(r"[A-Z][a-z]{7,12} [0-9]{2}", fullmatch=True),
    )
    def test_terms_hold_no_name_no_address_no_phone(self, name, local, number, street):
        email, phone = f"{local}@mail.example", f"+{number}"
        data = subscription_data()
        data["customer"] = {**data["customer"], "name": name, "email": email, "phone": phone}
        data["provider_options"] = {**data["provider_options"], "street": street, "city": name}
        terms = Subscription.model_validate(data).terms()
        written = terms.model_dump_json() + repr(terms)
        assert not [secret for secret in (name, email, local, phone, number, street) if secret in written]

    def test_terms_keep_what_decisions_need(self):
        given_ = with_address()
        terms = given_.terms()
        assert (terms.customer.id, terms.customer.time_zone, terms.customer.locale) == ("cust-1", "UTC", "en")
        assert (terms.amount, terms.currency, terms.retry.days) == (100_000, "IDR", (3, 10, 17))
        assert terms.dodo_options is not None
        assert terms.dodo_options.country == "ID"
        assert terms.dodo_options.street is None
        assert terms.adopted_reference == "sub_dodo_1"

    def test_contacts_hold_the_personal_rest(self):
        contacts = with_address().contacts()
        assert (contacts.name, contacts.email, contacts.phone) == ("Ayu", "ayu@example.com", "+6281234567890")
        assert contacts.address is not None
        assert contacts.address.model_dump() == {"country": "ID", **ADDRESS}

    def test_nothing_is_lost_between_terms_and_contacts(self):
        whole = with_address().model_dump(mode="json")
        terms, contacts = with_address().terms().model_dump(mode="json"), with_address().contacts()
        options = {**terms["provider_options"], **(contacts.address.model_dump() if contacts.address else {})}
        customer = {name: getattr(contacts, name) for name in whole["customer"]}
        kept = {**terms, "provider_options": options, "customer": customer}
        assert {k: v for k, v in whole.items() if k not in ("id", "merchant_account", "created_at")} == kept


class TestJourneys:
    def test_a_subscription_and_its_terms_survive_json_python_and_pickle(self):
        for value in (with_address(), with_address().terms(), with_address().contacts()):
            model = type(value)
            assert model.model_validate_json(value.model_dump_json()) == value
            assert model.model_validate(value.model_dump(mode="json")) == value
            assert model.model_validate(value.model_dump()) == value
            assert pickle.loads(pickle.dumps(value)) == value

    def test_instants_are_utc_but_the_anchor_keeps_its_own_offset(self):
        schedule = Schedule.model_validate(
            {
                "anchor_at": "2026-01-31T01:00:00+07:00",
                "start_at": "2026-02-01T01:00:00+07:00",
                "interval": "MONTH",
            }
        )
        assert schedule.anchor_at.isoformat() == "2026-01-31T01:00:00+07:00"
        assert schedule.start_at is not None
        assert schedule.start_at.isoformat() == "2026-01-31T18:00:00+00:00"
        again = Schedule.model_validate_json(schedule.model_dump_json())
        assert again.anchor_at.utcoffset() == timedelta(hours=7)

    def test_a_trials_end_is_the_anchor_when_none_is_given(self):
        data = {"trial_ends_at": "2026-02-01T01:00:00+07:00", "interval": "MONTH"}
        assert Schedule.model_validate(data).anchor_at.isoformat() == "2026-02-01T01:00:00+07:00"
        data["anchor_at"] = "2026-03-01T00:00:00Z"
        assert Schedule.model_validate(data).anchor_at.isoformat() == "2026-03-01T00:00:00+00:00"

    def test_models_are_frozen(self):
        with pytest.raises(ValidationError, match="frozen"):
            subscription().currency = "USD"  # type: ignore[misc]  # a checker refuses it too


class TestStrictness:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("grace_days", "3"),
            ("grace_days", 3.0),
            ("grace_days", True),
            ("activation_timeout_days", "7"),
            ("id", 17),
            ("description", ""),
            ("currency", "idr"),
            ("metadata", {"a": None}),
            ("metadata", {"a": [1]}),
            ("metadata", {"a": "x" * 501}),
            ("payment_methods", [{"token": "pm 1"}]),
            ("payment_methods", [{"token": "pm_1", "expires": "2027-2"}]),
            ("collection", "ENGINE"),
            ("notifications", {"failed": "EMAIL"}),
            ("notifications", {"payment_failed": ["EMAIL"]}),
        ],
    )
    def test_what_only_looks_right_is_refused(self, field, value):
        with pytest.raises(ValidationError):
            Subscription.model_validate({**subscription_data(), field: value})

    @pytest.mark.parametrize("value", [1767225600, 1767225600.5, "1767225600", "2026-01-31", "soon", True])
    def test_an_instant_is_a_text_with_an_offset(self, value):
        with pytest.raises(ValidationError):
            Schedule.model_validate({"anchor_at": value, "interval": "MONTH"})

    def test_a_naive_instant_is_refused(self):
        for value in ("2026-01-31T10:00:00", datetime(2026, 1, 31, 10)):  # noqa: DTZ001
            with pytest.raises(ValidationError):
                Schedule.model_validate({"anchor_at": value, "interval": "MONTH"})

    @pytest.mark.parametrize("good", ["a", "A9._:-", "x" * 64])
    def test_ids_of_the_alphabet_are_taken(self, good):
        assert Subscription.model_validate({**subscription_data(), "id": good}).id == good

    @pytest.mark.parametrize("bad", ["", "x" * 65, "a@b.example", "a/b", "a b", "é", "a\n", "+62812"])
    def test_other_ids_are_refused(self, bad):
        for data in ({"id": bad}, {"merchant_account": bad}, {"customer": {"id": bad}}):
            with pytest.raises(ValidationError):
                Subscription.model_validate({**subscription_data(), **data})


class TestRetryPolicy:
    @pytest.mark.parametrize(
        ("given_", "days", "attempts"),
        [
            ({}, (3, 10, 17), 4),
            ({"ladder_days": [1]}, (1,), 2),
            ({"ladder_days": []}, (), 1),
            ({"interval": "DAY", "interval_count": 3, "total": 3}, (3, 6, 9), 4),
            ({"max_attempts": 2}, (3, 10, 17), 2),
            ({"ladder_days": [1, 2, 3, 4], "allow_more_than_4": True}, (1, 2, 3, 4), 5),
            ({"ladder_days": [1, 2, 3, 4, 5], "max_attempts": 4}, (1, 2, 3, 4, 5), 4),
        ],
    )
    def test_days_and_attempts(self, given_, days, attempts):
        policy = RetryPolicy.model_validate(given_)
        assert (policy.days, policy.attempts_allowed) == (days, attempts)

    @given(st.lists(st.integers(1, 365), min_size=1, max_size=12))
    def test_a_ladder_is_taken_exactly_when_it_increases_strictly(self, days):
        data = {"ladder_days": days, "allow_more_than_4": True}
        if all(a < b for a, b in pairwise(days)):
            assert RetryPolicy.model_validate(data).days == tuple(days)
        else:
            with pytest.raises(ValidationError):
                RetryPolicy.model_validate(data)


class TestFingerprint:
    def test_contacts_and_the_time_of_creation_are_no_terms(self):
        data = subscription_data(created_at="2026-01-01T00:00:00Z")
        data["customer"] = {**data["customer"], "email": "new@example.com", "phone": None, "name": None}
        assert terms_fingerprint(Subscription.model_validate(data)) == terms_fingerprint(subscription())

    def test_the_order_of_keys_and_defaults_written_out_do_not_matter(self):
        data = subscription_data(hold_days=None, failed_cycle_action="STOP", immediate_action="NONE")
        turned = dict(reversed(json.loads(json.dumps(data)).items()))
        assert terms_fingerprint(Subscription.model_validate(turned)) == terms_fingerprint(subscription())

    @pytest.mark.parametrize(
        "change",
        [
            {"currency": "USD"},
            {"description": "Other"},
            {"failed_cycle_action": "RESUME"},
            {"retry": {"ladder_days": [3, 10]}},
            {"grace_days": 0},
            {"metadata": {"a": 1}},
            {"payment_methods": [{"token": "pm_2"}]},
            {"schedule": {"anchor_at": "2026-03-05T20:10:00+07:00", "interval": "MONTH"}},
            {"notifications": {"failed": ["EMAIL"]}},
        ],
    )
    def test_other_terms_have_another_fingerprint(self, change):
        assert terms_fingerprint(Subscription.model_validate(subscription_data(**change))) != terms_fingerprint(
            subscription()
        )


class TestSmallThings:
    @pytest.mark.parametrize(
        ("at", "is_expired"),
        [("2027-02-28T23:59:59Z", False), ("2027-03-01T00:00:00Z", True), ("2026-12-31T00:00:00Z", False)],
    )
    def test_a_card_is_valid_to_the_end_of_its_month(self, at, is_expired):
        assert PaymentMethod(token="pm", expires="2027-02").is_expired(datetime.fromisoformat(at)) is is_expired

    def test_a_method_without_an_expiry_never_expires(self):
        assert not PaymentMethod(token="pm").is_expired(datetime(2999, 1, 1, tzinfo=UTC))

    @pytest.mark.parametrize(
        ("opt_in", "reached"),
        [
            ({}, {Channel.EMAIL}),
            ({Channel.EMAIL: False}, set()),
            ({Channel.WHATSAPP: True}, {Channel.EMAIL, Channel.WHATSAPP}),
            ({Channel.SMS: True, Channel.WHATSAPP: False}, {Channel.EMAIL, Channel.SMS}),
        ],
    )
    def test_phones_need_consent_and_mail_may_be_refused(self, opt_in, reached):
        contacts = Contacts(id="c", email="a@b.example", phone="+6281234567890", opt_in=opt_in)
        assert {channel for channel in Channel if contacts.reach(channel)} == reached

    def test_without_an_address_nothing_is_reached(self):
        contacts = Contacts(id="c", opt_in=dict.fromkeys(Channel, True))
        assert [contacts.reach(channel) for channel in Channel] == [None, None, None]

    def test_the_amount_is_the_sum_of_all_items(self):
        items = [
            {"product_id": "pro", "role": "base", "quantity": 2, "unit_amount": 1000},
            {"product_id": "seat", "role": "addon", "quantity": 3, "unit_amount": 250},
        ]
        given_ = subscription(items=items)
        assert given_.amount == given_.terms().amount == 2750
        assert given_.base_item.product_id == "pro"

    @pytest.mark.parametrize(
        ("provider", "options"),
        [
            (Provider.XENDIT, {"plan_id": "repl_1"}),
            (Provider.OMISE, {"schedule_id": "schd_1"}),
            (Provider.OMISE, {"customer_id": "cust_1"}),
            (Provider.GOOGLE_PLAY, {"purchase_token": "tok"}),
        ],
    )
    def test_options_are_typed_by_the_provider_and_name_what_is_adopted(self, provider, options):
        data = subscription_data(provider=provider.value, provider_options=options)
        given_ = Subscription.model_validate(data)
        assert given_.provider_options.provider == provider.value
        assert given_.adopted_reference == next(iter(options.values()))
        assert given_.dodo_options is None
