"""Omise's signatures: exactly these bytes, by one of our secrets, less than five minutes ago."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest

from dunning.providers.base import WebhookRefused
from dunning.providers.omise_signature import decode_secret, verify

NOW = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
STAMP = str(int(NOW.timestamp()))
BODY = b'{"id":"evnt_1"}'
KEY, OTHER = b"0123456789abcdef0123456789abcdef", b"another key of the same merchant"
SECRET, NEXT = (base64.b64encode(one).decode() for one in (KEY, OTHER))


def signed(key: bytes = KEY, stamp: str = STAMP, body: bytes = BODY) -> str:
    """As the sheet writes it down, by hand and not by the code under test."""
    return hmac.new(key, f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def headers(signature: str, stamp: str = STAMP) -> dict[str, str]:
    return {"Omise-Signature": signature, "Omise-Signature-Timestamp": stamp}


@pytest.mark.parametrize(
    ("signature", "secrets"),
    [
        (signed(), [SECRET]),
        (signed().upper(), [SECRET]),
        (signed(), ["not base64!", NEXT, SECRET]),
        (f"{signed(OTHER)},{signed()}", [SECRET]),
        (f"{signed(OTHER)}, {signed()}", [SECRET]),
    ],
)
def test_a_message_that_one_of_our_secrets_signed_is_taken(signature: str, secrets: list[str]) -> None:
    verify(headers(signature), BODY, secrets=secrets, now=NOW)


@pytest.mark.parametrize("offset", [timedelta(minutes=5), timedelta(minutes=-5), timedelta()])
def test_five_minutes_of_difference_are_taken(offset: timedelta) -> None:
    verify(headers(signed()), BODY, secrets=[SECRET], now=NOW + offset)


@pytest.mark.parametrize("offset", [timedelta(minutes=5, seconds=1), timedelta(minutes=-5, seconds=-1)])
def test_what_is_older_or_from_the_future_is_refused(offset: timedelta) -> None:
    with pytest.raises(WebhookRefused, match="old"):
        verify(headers(signed()), BODY, secrets=[SECRET], now=NOW + offset)


@pytest.mark.parametrize(
    ("found", "body"),
    [
        (headers(signed()), BODY + b" "),
        (headers(signed(OTHER)), BODY),
        (headers(signed(), str(int(STAMP) + 1)), BODY),
        (headers(""), BODY),
        (headers(","), BODY),
        (headers("v1=" + base64.b64encode(b"x" * 32).decode()), BODY),
        (headers(signed(), ""), BODY),
        (headers(signed(), "-1"), BODY),
        (headers(signed(), "9" * 40), BODY),
        (headers(signed(), "\u0661" * 10), BODY),
        (headers("\u00e9" * 64), BODY),
        (headers(",".join(["0" * 64] * 9 + [signed()])), BODY),
        ({}, BODY),
    ],
)
def test_anything_else_is_refused(found: dict[str, str], body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        verify(found, body, secrets=[SECRET], now=NOW)


def test_without_a_usable_secret_nothing_is_taken() -> None:
    for secrets in ([], [""], ["not base64!"]):
        with pytest.raises(WebhookRefused):
            verify(headers(signed(b"")), BODY, secrets=secrets, now=NOW)


@pytest.mark.parametrize("secret", ["", "not base64!", "\u00e9"])
def test_an_unusable_secret_is_named_without_showing_it(secret: str) -> None:
    with pytest.raises(ValueError, match="webhook secret") as caught:
        decode_secret(secret)
    assert not secret or secret not in str(caught.value)
