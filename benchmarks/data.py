"""The subscription that every benchmark uses, valid in every field."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dunning.domain.terms import Subscription
from dunning.intake import parse_subscription


def subscription_data(anchor: datetime, name: str = "sub-1", **changes: Any) -> dict[str, Any]:
    """A monthly subscription with one authorised method and the default ladder; no notices."""
    return {
        "id": name,
        "merchant_account": "demo",
        "customer": {"id": f"cust-{name}", "name": "Ayu", "email": "ayu@example.com", "locale": "en"},
        "provider": "dodo",
        "collection": "engine",
        "provider_options": {"country": "ID", "product_id": "pdt_1", "subscription_id": f"sub_{name}"},
        "payment_methods": [{"token": "pm_1", "authorized_at": anchor.isoformat()}],
        "currency": "IDR",
        "description": "Pro plan",
        "items": [{"product_id": "pro", "role": "base", "quantity": 1, "unit_amount": 100_000}],
        "schedule": {"anchor_at": anchor.isoformat(), "interval": "MONTH", "interval_count": 1},
        **changes,
    }


def subscription(anchor: datetime, name: str = "sub-1", **changes: Any) -> Subscription:
    """The same, validated."""
    return parse_subscription(subscription_data(anchor, name, **changes))
