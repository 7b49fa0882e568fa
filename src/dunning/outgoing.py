"""Events on their way out: the envelope, its signatures, and one delivery to a product backend. SPEC 10.

Used by the worker that drains the outbox, and by whoever tries an endpoint (`dunning events test`, the HTTP API).
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks import Webhook

from dunning.domain.base import Value
from dunning.domain.event_catalogue import TEST_EVENT
from dunning.ledger.models import OutboxRow
from dunning.settings import AccountSettings

ANSWER_SECONDS = 15.0
"""How long a backend may take to acknowledge an event."""


@dataclass(frozen=True)
class Endpoint:
    """Where an account's events go, and what signs them: two secrets while one is being rotated."""

    url: str
    webhooks: tuple[Webhook, ...]


class Delivered(Value):
    """What came of one delivery. `status` is None when no answer came; `because` says why it does not count."""

    is_taken: bool
    status: int | None
    milliseconds: int
    because: str = ""


def endpoint_of(account: AccountSettings | None) -> Endpoint | None:
    """The account's endpoint; None when its events go nowhere."""
    if account is None or account.backend_url is None or account.backend_secret is None:
        return None
    secrets = (account.backend_secret, account.backend_secret_old)
    return Endpoint(account.backend_url, tuple(Webhook(s.get_secret_value()) for s in secrets if s is not None))


def envelope(row: OutboxRow) -> dict[str, Any]:
    """What the backend receives. SPEC 10."""
    return {
        "id": row.id,
        "type": row.type,
        "created_at": row.created_at.isoformat(),
        "subscription_id": row.subscription,
        "merchant_account": row.account,
        "sequence": row.sequence,
        "data": row.data,
    }


def example_envelope(account: str, now: datetime) -> dict[str, Any]:
    """An event that only says that the endpoint works."""
    return {
        "id": f"evt_test_{uuid.uuid4().hex}",
        "type": TEST_EVENT,
        "created_at": now.isoformat(),
        "subscription_id": "test",
        "merchant_account": account,
        "sequence": 0,
        "data": {"message": "This endpoint works."},
    }


async def post_event(
    http: httpx.AsyncClient, endpoint: Endpoint, event: Mapping[str, Any], *, seconds: float = ANSWER_SECONDS
) -> Delivered:
    """Post one signed event, once. Whatever is wrong with the backend comes back as words, never as an error.

    Signed by Standard Webhooks; every secret signs, and the receiver needs to know one of them. Only an answer of 2xx
    counts; a redirection is not followed.
    """
    body = json.dumps(event, separators=(",", ":"))
    now, began = datetime.now(UTC), time.perf_counter()
    ident = str(event["id"])
    headers = {
        "content-type": "application/json",
        "webhook-id": ident,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(webhook.sign(ident, now, body) for webhook in endpoint.webhooks),
    }
    status, because = None, ""
    try:
        async with asyncio.timeout(seconds):
            answer = await http.post(endpoint.url, content=body.encode(), headers=headers, follow_redirects=False)
        status = answer.status_code
        because = "" if answer.is_success else f"it answered {status}, and only 2xx counts"
    except TimeoutError:
        because = f"no answer within {seconds:g} s"
    except (httpx.HTTPError, httpx.InvalidURL) as failure:
        # The kind alone: the text may repeat the address with a password in it.
        because = f"it cannot be reached ({type(failure).__name__})"
    spent = int((time.perf_counter() - began) * 1000)
    return Delivered(is_taken=not because, status=status, milliseconds=spent, because=because)
