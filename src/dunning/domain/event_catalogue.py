"""Every event: its name, when it is sent, what it carries, and an example. SPEC 10.

The one place that the HTTP API, docs/events.md and the tests read. An event of a name that is not here is not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import AwareDatetime, Field, create_model

from dunning.domain import event_data as data
from dunning.domain.base import Value
from dunning.domain.messages import EventType

TEST_EVENT = "endpoint.test"
"""Sent on request only, to try an endpoint. Its `subscription_id` is `test`, its `sequence` 0."""


class EventKind(NamedTuple):
    """One kind of event: when it is sent, the model of its `data`, and an example of that."""

    when: str
    model: type[Value]
    example: dict[str, Any]


class Envelope(Value):
    """What is posted to the backend."""

    id: str = Field(description="stable over every delivery; also the `webhook-id` header")
    type: str
    created_at: AwareDatetime = Field(description="when it happened, business time")
    subscription_id: str = Field(description="your own reference")
    merchant_account: str
    sequence: int = Field(ge=0, description="1, 2, 3, ... in each subscription, in the order of delivery")
    data: dict[str, Any]


_NOW = {"granted": True, "until": None, "reason": "active, and no due cycle has been declined"}
_PAID = {"granted": True, "until": None, "reason": "the period is paid"}
_DUE = {"granted": True, "until": None, "reason": "the due cycle has not been declined"}
_GRACE = {"granted": True, "until": None, "reason": "the unpaid cycle is within its grace"}
_TO_THE_END = {"granted": True, "until": "2026-04-05T13:10:00Z", "reason": "the period is paid"}
_FAILED = {"granted": False, "until": None, "reason": "the subscription is failed"}
_HELD = {"granted": False, "until": None, "reason": "the subscription is on_hold"}
_ENDED = {"granted": False, "until": None, "reason": "the subscription is inactive"}

_ATTEMPT = {
    "obligation": "1",
    "attempt": 1,
    "trigger": "due",
    "key": "dk_4c3f1b0d9e2a4f6f8a7b6c5d4e3f2a1b",
    "amount": 10_000_000,
    "currency": "IDR",
    "payment_id": "pay_1",
    "late": False,
}

_PRICES: dict[str, Any] = {
    "charge_at": "2026-07-05T13:10:00Z",
    "items": [
        {"product_id": "pro", "old_amount": 700, "new_amount": 1000, "currency": "USD", "kind": "increase"},
    ],
    "access": _PAID,
}

_E = EventType

CATALOGUE: Mapping[EventType, EventKind] = {
    _E.PLAN_ACTIVATED: EventKind(
        "The plan may charge: the customer authorised it, and a first payment, if one was due, succeeded.",
        data.Plain,
        {"access": _NOW},
    ),
    _E.PLAN_INACTIVATED: EventKind(
        "The plan charges no more, because a cycle was given up or it never came to life.",
        data.Plain,
        {"because": "the recovery window is over", "access": _ENDED},
    ),
    _E.CYCLE_CREATED: EventKind(
        "A cycle is due and is being collected.",
        data.CycleCreated,
        {"cycle": 1, "due_at": "2026-03-05T13:10:00Z", "amount": 10_000_000, "currency": "IDR", "access": _DUE},
    ),
    _E.CYCLE_SUCCEEDED: EventKind(
        "A cycle is paid, at the first try or later.",
        data.CycleSucceeded,
        {"cycle": 1, "amount": 10_000_000, "currency": "IDR", "attempt": 2, "access": _PAID},
    ),
    _E.CYCLE_RETRYING: EventKind(
        "An attempt failed and the next one is planned.",
        data.CycleRetrying,
        {
            "cycle": 1,
            "obligation": "1",
            "next_attempt_at": "2026-03-08T13:10:00Z",
            "attempt": 2,
            "decline_class": "SOFT",
            "because": "rung 1: 3 days after attempt 1",
            "access": _GRACE,
        },
    ),
    _E.CYCLE_FAILED: EventKind(
        "A cycle is given up. What becomes of the subscription stands in the events after it.",
        data.CycleFailed,
        {"cycle": 1, "amount": 10_000_000, "because": "the recovery window is over", "access": _ENDED},
    ),
    _E.PAYMENT_SUCCEEDED: EventKind(
        "An attempt succeeded, or a payment that we did not send was found.", data.PaymentMade, _ATTEMPT
    ),
    _E.PAYMENT_FAILED: EventKind(
        "An attempt failed; sent for every one.",
        data.PaymentFailed,
        {**_ATTEMPT, "decline_class": "SOFT", "code": "INSUFFICIENT_FUNDS"},
    ),
    _E.ACTIVE: EventKind(
        "The customer may use the product: the subscription is active for the first time, or again because nothing is"
        " owed any more. With a trial it comes first when the trial begins, before anything is authorised or paid;"
        " `recurring.plan.activated` says that the plan may charge.",
        data.Plain,
        {"because": "nothing is owed any more", "access": _NOW},
    ),
    _E.FAILED: EventKind(
        "The subscription never came to life. The customer may start again.",
        data.Plain,
        {"because": "the mandate link was not completed in time", "access": _FAILED},
    ),
    _E.ON_HOLD: EventKind(
        "The grace is over and a cycle is unpaid: access is suspended.", data.Plain, {"access": _HELD}
    ),
    _E.PAUSED: EventKind(
        "Collection is paused.", data.Paused, {"until": "2026-06-01T00:00:00Z", "access": _TO_THE_END}
    ),
    _E.RESUMED: EventKind("A pause is over.", data.Plain, {"access": _NOW}),
    _E.CANCELED: EventKind(
        "No further cycle opens; access runs to the end of what is paid.",
        data.Canceled,
        {"because": "canceled on request", "until": "2026-04-05T13:10:00Z", "access": _TO_THE_END},
    ),
    _E.RESTORED: EventKind("A cancellation was taken back.", data.Restored, {"access": _NOW}),
    _E.DEFERRED: EventKind(
        "The next due instant moved.",
        data.Deferred,
        {"days": 5, "next_due_at": "2026-04-10T13:10:00Z", "access": _PAID},
    ),
    _E.REVOKED: EventKind(
        "Access was ended at once: of the whole subscription, or (`item`) of one product.",
        data.Revoked,
        {"because": "revoked (prorated)", "item": None, "command_id": "refund-816", "access": _ENDED},
    ),
    _E.REFUNDED: EventKind(
        "Money went back to the customer: all of a payment, or a part of it.",
        data.Refunded,
        {
            "refund_id": "ref_1",
            "payment_id": "pay_1",
            "obligation": "1",
            "amount": 10_000_000,
            "currency": "IDR",
            "parts": {"pro": 10_000_000},
            "by": "refund",
            "command_id": "refund-815",
            "access": _PAID,
        },
    ),
    _E.ITEMS_CHANGED: EventKind(
        "Products were added or removed, or will end with their period.",
        data.ItemsChanged,
        {
            "items": [
                {"product_id": "pro", "until": "2026-04-05T13:10:00Z", "renews": True},
                {"product_id": "seats", "until": "2026-04-05T13:10:00Z", "renews": True},
                {"product_id": "sms", "until": "2026-04-05T13:10:00Z", "renews": False},
            ],
            "added": ["seats"],
            "removed": [],
            "ending": ["sms"],
            "because": "the customer changed the purchase",
            "access": _PAID,
        },
    ),
    _E.PRICE_CHANGE_PENDING: EventKind(
        "A new price waits for its day, or for the customer's consent; or (`canceled`) it does not come after all.",
        data.PriceChange,
        {"state": "outstanding", **_PRICES},
    ),
    _E.PRICE_CHANGE_CONFIRMED: EventKind(
        "The customer agreed to a new price: always to all that wait for consent.",
        data.PriceChange,
        {"state": "confirmed", **_PRICES},
    ),
    _E.PRICE_CHANGE_APPLIED: EventKind(
        "A new price holds from now on.", data.PriceChange, {"state": "applied", **_PRICES}
    ),
    _E.PAYMENT_METHOD_REQUIRED: EventKind(
        "Nothing is tried until the customer gives another payment method.",
        data.MethodRequired,
        {"obligation": "1", "cycle": 1, "access": _GRACE},
    ),
    _E.ENDED: EventKind(
        "The subscription is over: nothing is collected and there is no access.",
        data.Plain,
        {"because": "the paid period is over", "access": _ENDED},
    ),
    _E.ATTENTION: EventKind(
        "A person should look at it.",
        data.Attention,
        {"what": "the charge of cycle 1 is unclear for an hour", "obligation": "1"},
    ),
}

_ID = "evt_0f3b6c1d2e4a5b6c7d8e9f0a1b2c3d4e"


def known_types() -> list[str]:
    """Every name that an endpoint may receive."""
    return [*(kind.value for kind in CATALOGUE), TEST_EVENT]


def schema_of(type_: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of one event, envelope and all. Unknown fields are allowed: more may come."""
    model = data.TestData if type_ == TEST_EVENT else CATALOGUE[EventType(type_)].model
    whole = create_model("Event", __base__=Envelope, data=(model, ...))
    schema = whole.model_json_schema(mode="serialization")
    schema["properties"]["type"] = {"const": type_}
    opened: dict[str, Any] = _opened(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **opened, "title": type_}


def example_of(type_: str) -> dict[str, Any]:
    """One event as it is posted."""
    if type_ == TEST_EVENT:
        shown, subscription, sequence = {"message": "This endpoint works."}, "test", 0
    else:
        shown, subscription, sequence = dict(CATALOGUE[EventType(type_)].example), "sub-4711", 7
    return {
        "id": _ID,
        "type": type_,
        "created_at": "2026-03-05T13:10:04Z",
        "subscription_id": subscription,
        "merchant_account": "demo",
        "sequence": sequence,
        "data": shown,
    }


def check_event(type_: str, content: Mapping[str, Any]) -> None:
    """Raise pydantic's `ValidationError` unless `content` is what the catalogue promises for this name."""
    CATALOGUE[EventType(type_)].model.model_validate(dict(content))


_LOCK = ("additionalProperties", False)


def _opened(node: Any) -> Any:
    """Without the locks against unknown fields: they hold for us, not for readers of later releases."""
    if isinstance(node, dict):
        return {
            name: _opened(inner) for name, inner in node.items() if name != "additionalProperties" or inner is not False
        }
    if isinstance(node, list):
        return [_opened(inner) for inner in node]
    return node
