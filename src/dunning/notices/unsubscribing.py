"""Links with which a customer leaves routine mails out: signed, so that nobody does it for another. RFC 8058.

The token holds ids only. It does not expire: a mail may be read years later.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json

from dunning.settings import UnsubscribeSettings

PATH = "/unsubscribe"
_DIGEST = hashlib.sha256().digest_size


def unsubscribe_url(settings: UnsubscribeSettings, account: str, customer: str) -> str:
    """Where this customer leaves routine mails of this account out."""
    return f"{settings.base_url.rstrip('/')}{PATH}/{account}/{token_for(settings, account, customer)}"


def token_for(settings: UnsubscribeSettings, account: str, customer: str) -> str:
    """The customer's id and its signature, for an address bar."""
    payload = json.dumps([account, customer]).encode()
    return base64.urlsafe_b64encode(_signature(settings, payload) + payload).decode().rstrip("=")


def customer_in(settings: UnsubscribeSettings, account: str, token: str) -> str | None:
    """The customer whom a token was made for; None for a token of another account, or one that was not made here."""
    try:
        whole = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    signature, payload = whole[:_DIGEST], whole[_DIGEST:]
    if not hmac.compare_digest(signature, _signature(settings, payload)):
        return None
    owner, customer = json.loads(payload)
    return str(customer) if owner == account else None


def _signature(settings: UnsubscribeSettings, payload: bytes) -> bytes:
    secret = settings.secret.get_secret_value().encode()
    return hmac.new(secret, b"unsubscribe\x1f" + payload, hashlib.sha256).digest()
