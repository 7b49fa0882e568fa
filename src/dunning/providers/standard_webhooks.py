"""Verification of signed messages as Standard Webhooks describes it: HMAC-SHA256 over the raw bytes.

The published library reads the machine clock itself and lets `ValueError` and `UnicodeDecodeError` escape for
some malformed headers, so the check is written out here: `now` is an argument, and whatever a stranger sends
ends in `WebhookRefused`. SPEC 18.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from dunning.providers.base import WebhookRefused

TOLERANCE = timedelta(minutes=5)
MAX_SIGNATURES = 16
"""More signatures than secrets in rotation could explain are not looked at."""

_PREFIX = "whsec_"
_ID = re.compile(r"[\x21-\x7e]{1,255}")
_SECONDS = re.compile(r"[0-9]{1,12}")


@functools.lru_cache(maxsize=256)
def decode_secret(secret: str) -> bytes:
    """The key bytes of a `whsec_...` secret; `ValueError` when it is not one (the message never shows it)."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a webhook secret is whsec_ followed by base64") from None
    if not key:
        raise ValueError("a webhook secret is empty")
    return key


def verify(headers: Mapping[str, str], body: bytes, *, secrets: Sequence[str], now: datetime) -> str:
    """The message's id, when one of `secrets` signed exactly these bytes less than five minutes ago.

    Secrets are several while one is being rotated. `now` is the machine clock.

    Raises:
        WebhookRefused: anything else, malformed headers included.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message_id = found.get("webhook-id", "")
    stamp = found.get("webhook-timestamp", "")
    if not _ID.fullmatch(message_id) or not _SECONDS.fullmatch(stamp):
        raise WebhookRefused("the message carries no readable id or timestamp")
    if abs(now.timestamp() - int(stamp)) > TOLERANCE.total_seconds():
        raise WebhookRefused("the message is too old, or from the future")
    signed = b".".join((message_id.encode("ascii"), stamp.encode("ascii"), body))
    offered = list(_signatures(found.get("webhook-signature", "")))
    is_known = False
    for key in _keys(secrets):
        expected = hmac.new(key, signed, hashlib.sha256).digest()
        for signature in offered:
            # Every pair is compared, so the time taken tells nothing about which one matched.
            is_known |= hmac.compare_digest(expected, signature)
    if not is_known:
        raise WebhookRefused("no signature of this message is ours")
    return message_id


def _keys(secrets: Sequence[str]) -> Iterator[bytes]:
    for secret in secrets:
        try:
            yield decode_secret(secret)
        except ValueError:
            continue  # the gateway names an unusable secret when it starts; here it can only match nothing


def _signatures(header: str) -> Iterator[bytes]:
    for token in header.split(" ", MAX_SIGNATURES)[:MAX_SIGNATURES]:
        version, _, encoded = token.partition(",")
        if version != "v1":
            continue
        try:
            yield base64.b64decode(encoded.encode("ascii"), validate=True)
        except (binascii.Error, ValueError):
            continue
