"""Small builders that tests share: a subscription as a backend gives it, and a walk through its future."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from dunning.domain.declines import Classified, classify
from dunning.domain.preview import Foretold, Walk
from dunning.domain.script import Script
from dunning.domain.terms import Subscription
from dunning.intake import parse_subscription
from dunning.providers.dodo_declines import DODO_DECLINES

ANCHOR = "2026-03-05T13:10:00+00:00"
CREATED = "2026-03-01T00:00:00+00:00"
TOLD = ("failed", "action_required", "stopped", "recovered")


def at(text: str) -> datetime:
    """`2026-03-05T13:10` in UTC."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)


def zone_of_noon(instant: datetime) -> str:
    """A zone where it is noon then: at whatever hour a test runs, quiet hours move none of its notices."""
    ahead = 12 - instant.astimezone(UTC).hour
    return f"Etc/GMT{-ahead:+d}" if ahead else "Etc/GMT"


def subscription_data(**changes: Any) -> dict[str, Any]:
    """A complete monthly subscription with one authorised method; `changes` replace top-level fields."""
    data: dict[str, Any] = {
        "id": "sub-1",
        "merchant_account": "demo",
        "customer": {
            "id": "cust-1",
            "name": "Ayu",
            "email": "ayu@example.com",
            "phone": "+6281234567890",
            "locale": "en",
            "time_zone": "UTC",
            "opt_in": {"WHATSAPP": True, "EMAIL": True},
        },
        "provider": "dodo",
        "collection": "engine",
        "provider_options": {"country": "ID", "product_id": "pdt_1", "subscription_id": "sub_dodo_1"},
        "payment_methods": [{"token": "pm_1", "authorized_at": ANCHOR}],
        "currency": "IDR",
        "description": "Pro plan",
        "items": [{"product_id": "pro", "role": "base", "quantity": 1, "unit_amount": 100_000}],
        "schedule": {"anchor_at": ANCHOR, "interval": "MONTH", "interval_count": 1},
        "retry": {"ladder_days": [3, 10, 17]},
        "notifications": {occasion: ["EMAIL"] for occasion in TOLD},
    }
    data.update(changes)
    return data


def subscription(**changes: Any) -> Subscription:
    """The same, validated."""
    return parse_subscription(subscription_data(**changes))


def dodo(code: str) -> Classified:
    """A raw code through the real table."""
    return classify(DODO_DECLINES, "error_code", code)


def live(
    *outcomes: str,
    do: Sequence[dict[str, Any]] = (),
    cycles: int = 1,
    until: str | None = None,
    created: str = CREATED,
    mandate: str = "complete",
    mandate_after: str = "1m",
    **changes: Any,
) -> Foretold:
    """Walk a scripted life through the real machine."""
    given = subscription(**changes)
    told = {"outcomes": outcomes, "do": list(do), "mandate": mandate, "mandate_after": mandate_after}
    script = Script.model_validate(told)
    walk = Walk(
        given.terms(),
        account=given.merchant_account,
        subscription=given.id,
        created_at=at(created),
        classify=dodo,
        script=script,
    )
    return walk.run(until=at(until) if until is not None else None, cycles=cycles)


def planned(foretold: Foretold, obligation: str = "1") -> list[str]:
    """The planned instants of an obligation's attempts, as `MM-DDTHH:MM:SS`."""
    found = next(o for o in foretold.obligations if o.id == obligation)
    return [a.planned_at.strftime("%m-%dT%H:%M:%S") for a in found.attempts]


def triggers(foretold: Foretold, obligation: str = "1") -> list[str]:
    """The triggers of an obligation's attempts."""
    return [a.trigger.value for a in next(o for o in foretold.obligations if o.id == obligation).attempts]
