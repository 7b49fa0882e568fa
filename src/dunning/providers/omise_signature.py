"""Verification of Omise's messages: HMAC-SHA256 over timestamp and raw bytes, in hexadecimal. Sheet B7. SPEC 18."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from dunning.providers.base import WebhookRefused

SIGNATURE = "omise-signature"
TIMESTAMP = "omise-signature-timestamp"
TOLERANCE = timedelta(minutes=5)
MAX_SIGNATURES = 4
"""Two are sent while a secret is being rotated; many more are somebody's guesses."""

_SECONDS = re.compile(r"[0-9]{1,12}")
_HEX = re.compile(r"[0-9a-f]{64}")


def verify(headers: Mapping[str, str], body: bytes, *, secrets: Sequence[str], now: datetime) -> None:
    """Pass when one of `secrets` (base64) signed exactly these bytes less than five minutes ago.

    `now` is the machine clock.

    Raises:
        WebhookRefused: anything else, malformed headers included.
    """
    found = {name.lower(): value for name, value in headers.items()}
    stamp = found.get(TIMESTAMP, "").strip()
    if not _SECONDS.fullmatch(stamp):
        raise WebhookRefused("the message carries no readable timestamp")
    if abs(now.timestamp() - int(stamp)) > TOLERANCE.total_seconds():
        raise WebhookRefused("the message is too old, or from the future")
    offered = [one.strip().lower() for one in found.get(SIGNATURE, "").split(",")[:MAX_SIGNATURES]]
    readable = [one for one in offered if _HEX.fullmatch(one)]
    is_known = False
    for key in _keys(secrets):
        expected = sign(key, stamp, body)
        for signature in readable:
            # Every pair is compared, so the time taken tells nothing about which one matched.
            is_known |= hmac.compare_digest(expected, signature)
    if not is_known:
        raise WebhookRefused("no signature of this message is ours")


def sign(key: bytes, stamp: str, body: bytes) -> str:
    """The signature of a body sent at `stamp` (Unix seconds)."""
    return hmac.new(key, stamp.encode("ascii") + b"." + body, hashlib.sha256).hexdigest()


def decode_secret(secret: str) -> bytes:
    """The key bytes of a webhook secret; `ValueError` when it is not base64 (the message never shows it)."""
    try:
        key = base64.b64decode(secret, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a webhook secret of Omise's is base64") from None
    if not key:
        raise ValueError("a webhook secret is empty")
    return key


def _keys(secrets: Sequence[str]) -> Iterator[bytes]:
    for secret in secrets:
        try:
            yield decode_secret(secret)
        except ValueError:
            continue  # it can only match nothing
