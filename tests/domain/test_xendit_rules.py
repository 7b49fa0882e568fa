"""What a plan of Xendit's cannot express is refused at creation, and the rule names the way that is left."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.errors import InvalidInput
from dunning.intake import parse_subscription
from tests.builders import subscription_data

EVENLY = {"interval": "DAY", "interval_count": 3, "total": 2}
MONTHLY = {"anchor_at": "2026-03-05T09:00:00+07:00", "interval": "MONTH", "interval_count": 1}


def plan(**changes: Any) -> dict[str, Any]:
    given = {
        "provider": "xendit",
        "collection": "provider",
        "provider_options": {},
        "payment_methods": [{"token": "pt-1"}],
        "items": [{"product_id": "pro", "role": "base", "quantity": 1, "unit_amount": 100_000}],
        "schedule": MONTHLY,
        "retry": EVENLY,
    }
    return subscription_data(**{**given, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": {**MONTHLY, "interval": "WEEK"}, "retry": {**EVENLY, "total": 1}},
        {"schedule": {**MONTHLY, "interval": "DAY"}, "retry": {"ladder_days": []}},
        {"provider_options": {"notification_channels": ["WHATSAPP"]}, "notifications": {"stopped": ["EMAIL"]}},
    ],
    ids=["monthly", "weekly with one retry", "daily without retries", "Xendit tells, and we tell the end"],
)
def test_what_a_plan_can_express_is_taken(changes: dict[str, Any]) -> None:
    assert parse_subscription(plan(**changes)).collection == "provider"


@pytest.mark.parametrize(
    ("changes", "field", "way"),
    [
        (
            {"schedule": {**MONTHLY, "anchor_at": "2026-03-29T09:00:00+07:00"}},
            "schedule.anchor_at",
            "collection engine",
        ),
        ({"retry": {"ladder_days": [3, 10, 17]}}, "retry", "collection engine"),
        ({"retry": {"interval": "DAY", "interval_count": 9, "total": 3}}, "retry", "collection engine"),
        ({"schedule": {**MONTHLY, "interval": "DAY"}}, "retry", "collection engine"),
        ({"metadata": {f"k{n}": "v" for n in range(15)}}, "metadata", "collection engine"),
        ({"metadata": {"k": "v" * 81}}, "metadata.k", "80"),
        ({"provider_options": {"notification_channels": ["EMAIL"]}}, "notifications.failed", "lets Xendit tell"),
        (
            {"provider_options": {"legacy_plan": True}, "schedule": {**MONTHLY, "interval": "YEAR"}},
            "schedule.interval",
            "12 MONTH",
        ),
        ({"provider_options": {"legacy_plan": True}, "currency": "SGD"}, "currency", "leave legacy_plan out"),
        (
            {
                "provider_options": {"legacy_plan": True, "failure_return_url": "https://a.example"},
                "payment_methods": [],
            },
            "provider_options.success_return_url",
            "leave legacy_plan out",
        ),
        (
            {"immediate_action": "FULL_AMOUNT", "schedule": {**MONTHLY, "total_cycles": 1}},
            "schedule.total_cycles",
            "collection engine",
        ),
        ({"payment_methods": [{"token": f"pt-{n}"} for n in range(6)]}, "payment_methods", "collection engine"),
    ],
    ids=lambda one: one if isinstance(one, str) and "." in one else "",
)
def test_what_it_cannot_is_refused_with_the_alternative(changes: dict[str, Any], field: str, way: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_subscription(plan(**changes))
    found = [fault for fault in caught.value.faults if fault.field == field]
    assert found, [fault.field for fault in caught.value.faults]
    assert any(way in fault.rule for fault in found)
