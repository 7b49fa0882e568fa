"""The examples of the description: inputs that are accepted, and answers that our own code gives to them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from dunning.domain.beginning import new_state
from dunning.domain.decide import decide
from dunning.domain.outcomes import parse_outcomes
from dunning.domain.script import Script
from dunning.domain.terms import Subscription
from dunning.gateway.api.showing import subscription_view
from dunning.intake import parse_subscription
from dunning.previewing import foretell, preview_json
from dunning.standing import Standing

CREATED = datetime(2026, 3, 1, tzinfo=UTC)

OPT_OUTS: dict[str, Any] = {"opt_outs": [{"channel": "EMAIL", "kind": "routine"}]}

SUBSCRIPTION: dict[str, Any] = {
    "id": "sub-4711",
    "customer": {
        "id": "cust-815",
        "name": "Ayu",
        "email": "ayu@example.com",
        "locale": "id",
        "time_zone": "Asia/Jakarta",
        "opt_in": {"EMAIL": True},
    },
    "provider": "dodo",
    "collection": "engine",
    "provider_options": {"country": "ID", "product_id": "pdt_pro", "return_url": "https://shop.example/done"},
    "currency": "IDR",
    "description": "Pro plan",
    "items": [{"product_id": "pro", "role": "base", "unit_amount": 10_000_000}],
    "schedule": {"anchor_at": "2030-03-05T20:10:00+07:00", "interval": "MONTH"},
    "retry": {"ladder_days": [3, 10, 17]},
    "notifications": {"failed": ["EMAIL"], "action_required": ["EMAIL"], "recovered": ["EMAIL"]},
    "metadata": {"order": "4711"},
}
"""Without a payment method: the customer authorises charging at the mandate link."""

PREVIEW: dict[str, Any] = {
    "subscription": {
        **SUBSCRIPTION,
        "payment_methods": [{"token": "pm_1", "authorized_at": "2030-03-05T13:10:00Z"}],
        "provider_options": {"country": "ID", "product_id": "pdt_pro", "subscription_id": "sub_dodo_1"},
        "created_at": "2030-03-01T00:00:00Z",
    },
    "outcomes": ["INSUFFICIENT_FUNDS", "SUCCEEDED"],
    "cycles": 1,
}

COMMANDS: dict[str, dict[str, Any]] = {
    "cancel": {"command_id": "support-4711", "type": "USER_REQUESTED_STOP_RENEWALS"},
    "restore": {"command_id": "support-4712"},
    "pause": {"command_id": "support-4713", "until": "2030-06-01T00:00:00Z"},
    "resume": {"command_id": "support-4714"},
    "defer": {"command_id": "support-4715", "days": 5},
    "charge": {"command_id": "order-815", "amount": 2_500_000, "description": "Extra seats"},
    "retry_now": {"command_id": "support-4716"},
    "update_payment_method": {"command_id": "wallet-99", "token": "pm_2", "expires": "2031-07"},
    "skip_cycle": {"command_id": "support-4717"},
    "set_policy": {"command_id": "policy-2", "retry": {"ladder_days": [2, 5, 9]}, "grace_days": 3},
    "mark_fixed": {"command_id": "ops-1"},
    "reinstate": {"command_id": "ops-2"},
    "refund": {"command_id": "refund-815", "order": "pay_4711", "amount": 2_500_000},
    "revoke": {"command_id": "refund-816", "type": "PRORATED"},
    "change_items": {
        "command_id": "shop-17",
        "items": [
            {"product_id": "pro", "role": "base", "base_plan_id": "monthly"},
            {"product_id": "seats", "role": "addon", "base_plan_id": "monthly"},
        ],
    },
}

REFUND_ORDER: dict[str, Any] = {"command_id": "refund-817", "revoke": True}

REDELIVERY = {"since": "2026-03-05T00:00:00Z", "undelivered": True}

RESULT: dict[str, Any] = {
    "command_id": "support-4711",
    "status": "done",
    "reason": "",
    "detail": {},
    "billing_flow": None,
}

CREATION = {
    "id": "sub-4711",
    "merchant_account": "demo",
    "status": "started",
    "generation": 1,
    "workflow_id": "subscription/demo/sub-4711",
    "warnings": [],
}

PROBLEM = {
    "type": "/docs#invalid-input",
    "title": "The input breaks rules",
    "status": 422,
    "detail": "2 rules are broken; nothing has changed",
    "instance": "/v1/subscriptions",
    "request_id": "3f1c0b6ed2f14c0c8b1d5a0e9a7f2d11",
    "errors": [
        {"field": "currency", "rule": "must be a currency of ISO 4217, in capitals", "value": "rp", "place": "body"},
        {"field": "items.0.unit_amount", "rule": "must be greater than or equal to 0", "value": -1, "place": "body"},
    ],
}


def _given(document: dict[str, Any]) -> Subscription:
    return parse_subscription({**document, "merchant_account": "demo"})


@cache
def shown_subscription() -> dict[str, Any]:
    """What reading the example gives right after its creation."""
    given = _given(SUBSCRIPTION)
    state = new_state(
        account=given.merchant_account, subscription=given.id, generation=1, terms=given.terms(), created_at=CREATED
    ).state
    found = Standing(state=state, now=CREATED, decision=decide(state, CREATED), source="as its run has it")
    return subscription_view(found).model_dump(mode="json")


@cache
def shown_preview() -> dict[str, Any]:
    """What previewing the example gives."""
    given = _given(PREVIEW["subscription"])
    created = given.created_at or CREATED
    outcomes = parse_outcomes(PREVIEW["outcomes"])
    return preview_json(given, foretell(given, Script(), created_at=created, outcomes=outcomes, cycles=1))
