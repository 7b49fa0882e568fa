"""What a command may say; whether it is allowed in a state is tested with the table."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from dunning.domain.command_table import COMMAND_TABLE
from dunning.domain.commands import Cancel, CancelType, Command, Defer, Pause, UpdatePaymentMethod
from dunning.errors import InvalidInput
from dunning.intake import parse_command

ADAPTER = TypeAdapter(Command)
VALID: dict[str, dict[str, Any]] = {
    "cancel": {},
    "restore": {},
    "pause": {"until": "2026-05-01T00:00:00+07:00"},
    "resume": {},
    "defer": {"days": 30},
    "charge": {"amount": 2500, "currency": "USD", "description": "Extra seat", "metadata": {"seat": 3}},
    "retry_now": {"obligation": "od-abc"},
    "update_payment_method": {"token": "pm_2", "expires": "2027-02"},
    "skip_cycle": {"number": 4},
    "set_policy": {"retry": {"ladder_days": [1, 5]}, "grace_days": 3, "failed_attempt_notifications": [1]},
    "mark_fixed": {},
    "reinstate": {},
    "refund": {"order": "pay_1", "amount": 2500, "revoke": True},
    "revoke": {"type": "ITEM", "item": "seats"},
    "change_items": {
        "items": [
            {"product_id": "pro", "role": "base", "base_plan_id": "monthly"},
            {"product_id": "seats", "role": "addon", "offer_id": "first-week", "period": "P1M"},
        ],
        "replacement_mode": "WITH_TIME_PRORATION",
    },
}


def test_every_command_of_the_table_has_a_payload():
    assert set(VALID) == set(COMMAND_TABLE)


@pytest.mark.parametrize("name", sorted(VALID))
def test_a_command_is_the_same_after_a_journey_as_json(name):
    command = parse_command({"name": name, "command_id": "c-1", **VALID[name]})
    assert ADAPTER.validate_json(ADAPTER.dump_json(command)) == command
    assert ADAPTER.validate_python(ADAPTER.dump_python(command, mode="json")) == command


def test_a_cancel_without_type_is_the_developers():
    assert parse_command({"name": "cancel", "command_id": "c"}) == Cancel(
        command_id="c", type=CancelType.DEVELOPER_REQUESTED_STOP_PAYMENTS
    )


def test_instants_are_kept_in_utc():
    pause = parse_command({"name": "pause", "command_id": "c", "until": "2026-05-01T00:00:00+07:00"})
    assert isinstance(pause, Pause)
    assert pause.until is not None
    assert pause.until.isoformat() == "2026-04-30T17:00:00+00:00"


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"name": "defer", "command_id": "c", "days": 0}, "days"),
        ({"name": "defer", "command_id": "c", "days": 366}, "days"),
        ({"name": "defer", "command_id": "c", "days": "7"}, "days"),
        ({"name": "defer", "command_id": "c", "days": True}, "days"),
        ({"name": "charge", "command_id": "c", "amount": 0}, "amount"),
        ({"name": "charge", "command_id": "c", "amount": 10.5}, "amount"),
        ({"name": "charge", "command_id": "c", "amount": 1, "currency": "usd"}, "currency"),
        ({"name": "pause", "command_id": "c", "until": "2026-05-01T00:00:00"}, "until"),
        ({"name": "pause", "command_id": "c", "requested_at": 1767225600}, "requested_at"),
        ({"name": "pause", "command_id": "c", "requested_at": "1767225600"}, "requested_at"),
        ({"name": "resume", "command_id": "someone@example.com"}, "command_id"),
        ({"name": "resume", "command_id": ""}, "command_id"),
        ({"name": "resume", "command_id": "x" * 65}, "command_id"),
        ({"name": "resume", "command_id": "x\n"}, "command_id"),
        ({"name": "resume"}, "command_id"),
        ({"name": "resume", "command_id": "c", "force": True}, "force"),
        ({"name": "cancel", "command_id": "c", "type": "NOW"}, "type"),
        ({"name": "update_payment_method", "command_id": "c", "token": "4242424242424242"}, "token"),
        ({"name": "update_payment_method", "command_id": "c", "token": "pm", "expires": "2027-13"}, "expires"),
        ({"name": "skip_cycle", "command_id": "c", "number": 0}, "number"),
        ({"name": "refund", "command_id": "c"}, "order"),
        ({"name": "refund", "command_id": "c", "order": "someone@example.com"}, "order"),
        ({"name": "refund", "command_id": "c", "order": "1", "amount": 0}, "amount"),
        ({"name": "revoke", "command_id": "c"}, "type"),
        ({"name": "revoke", "command_id": "c", "type": "HALF"}, "type"),
        ({"name": "set_policy", "command_id": "c", "hold_days": 61}, "hold_days"),
        ({"name": "change_items", "command_id": "c"}, "items"),
        ({"name": "change_items", "command_id": "c", "items": []}, "items"),
        ({"name": "change_items", "command_id": "c", "items": [{"product_id": "a", "role": "boss"}]}, "items.0.role"),
        (
            {
                "name": "change_items",
                "command_id": "c",
                "items": [{"product_id": "a", "role": "base", "period": "monthly"}],
            },
            "items.0.period",
        ),
        ({"name": "set_policy", "command_id": "c", "retry": {"ladder_days": [5, 5]}}, "retry.ladder_days.1"),
        ({"name": "set_policy", "command_id": "c", "retry": {"ladder_days": [1, 2, 3, 4]}}, "retry.max_attempts"),
    ],
)
def test_a_wrong_payload_names_its_field(data, field):
    with pytest.raises(InvalidInput) as refused:
        parse_command(data)
    assert [fault.field for fault in refused.value.faults] == [field]


@pytest.mark.parametrize("data", [{"name": "explode", "command_id": "c"}, {"command_id": "c"}, {}, None, []])
def test_what_is_no_command_is_refused(data):
    with pytest.raises(InvalidInput):
        parse_command(data)


def test_all_faults_of_a_command_come_at_once():
    with pytest.raises(InvalidInput) as refused:
        parse_command({"name": "defer", "command_id": "a b", "days": 400, "why": "x"})
    assert {fault.field for fault in refused.value.faults} == {"command_id", "days", "why"}


def test_a_defer_of_a_year_is_the_longest():
    assert parse_command({"name": "defer", "command_id": "c", "days": 365}) == Defer(command_id="c", days=365)


def test_a_card_number_is_not_quoted_back():
    with pytest.raises(InvalidInput) as refused:
        parse_command({"name": "update_payment_method", "command_id": "c", "token": "4242-4242-4242-4242"})
    assert "4242" not in str(refused.value)
    token = UpdatePaymentMethod(command_id="c", token="4242424242424241").token  # its check digit is wrong
    assert token == "4242424242424241"
