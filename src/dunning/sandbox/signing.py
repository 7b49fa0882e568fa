"""How outgoing messages are rendered and signed: Standard Webhooks for Dodo, an HMAC header for WhatsApp."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from standardwebhooks import Webhook

from dunning.sandbox.book import Payment, Subscription, machine_now, new_id
from dunning.sandbox.settings import SandboxSettings
from dunning.sandbox.views import payment_view, subscription_view, wire_instant
from dunning.sandbox.webhooks import Event, Render


def dodo_event(event_type: str, about: Payment | Subscription, settings: SandboxSettings) -> Event:
    """An event of Dodo's about a payment or a subscription; the payload is its state at delivery."""
    if isinstance(about, Payment):
        subject = about.subscription.subscription_id if about.subscription else about.payment_id
    else:
        subject = about.subscription_id

    def data() -> dict[str, Any]:
        if isinstance(about, Payment):
            return {"payload_type": "Payment", **payment_view(about, settings.business_id)}
        return {"payload_type": "Subscription", **subscription_view(about), "payment_id": None}

    return dodo_message(event_type, subject, data, settings)


def dodo_message(event_type: str, subject: str, data: Callable[[], dict[str, Any]], settings: SandboxSettings) -> Event:
    """A signed message of Dodo's; `data` is asked at delivery."""

    def render(event: Event) -> tuple[dict[str, str], bytes]:
        envelope = {
            "business_id": settings.business_id,
            "type": event.type,
            "timestamp": wire_instant(event.created_at),
            "data": data(),
        }
        body = json.dumps(envelope, separators=(",", ":"))
        sent_at = machine_now()
        headers = {
            "content-type": "application/json",
            "webhook-id": event.event_id,
            "webhook-timestamp": str(int(sent_at.timestamp())),
        }
        if settings.webhook_secret is not None:
            signer = Webhook(settings.webhook_secret.get_secret_value())
            headers["webhook-signature"] = signer.sign(event.event_id, sent_at, body)
        return headers, body.encode()

    return Event(new_id("msg"), event_type, subject, settings.webhook_url or "", render)


def whatsapp_event(
    status: str, subject: str, payload: Callable[[], dict[str, Any]], settings: SandboxSettings
) -> Event:
    """A WhatsApp status message; its bytes escape everything beyond ASCII, as Meta's do."""
    return Event(
        new_id("was"),
        f"whatsapp.{status}",
        subject,
        settings.whatsapp_webhook_url or "",
        _meta(payload, settings),
    )


def _meta(payload: Callable[[], dict[str, Any]], settings: SandboxSettings) -> Render:
    def render(event: Event) -> tuple[dict[str, str], bytes]:
        body = json.dumps(payload(), separators=(",", ":"), ensure_ascii=True).encode()
        headers = {"content-type": "application/json"}
        if settings.whatsapp_app_secret is not None:
            secret = settings.whatsapp_app_secret.get_secret_value().encode()
            headers["x-hub-signature-256"] = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
        return headers, body

    return render
