"""Signatures are checked on raw bytes, and nothing a stranger sends gets out as anything but a refusal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from dunning.providers.base import WebhookRefused
from dunning.providers.standard_webhooks import decode_secret, verify

# The contract sheet's vector, D.9.
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
AT = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
BODY = b'{"type":"payment.failed"}'
SIGNATURE = "v1,1JEfURKaxGGh1IHrTVMJp9ahG47OLZS9P6lvFuWRCXg="
OTHER = "whsec_" + "b3RoZXItc2VjcmV0LW90aGVyLXNlY3JldA=="


def headers(**changes: str) -> dict[str, str]:
    return {
        "webhook-id": "msg_test_1",
        "webhook-timestamp": "1772716200",
        "webhook-signature": SIGNATURE,
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }


def test_the_sheets_vector_is_accepted() -> None:
    assert verify(headers(), BODY, secrets=[SECRET], now=AT) == "msg_test_1"


def test_the_published_library_and_this_check_agree() -> None:
    signature = Webhook(OTHER).sign("msg_9", AT, BODY.decode())
    found = verify(headers(webhook_id="msg_9", webhook_signature=signature), BODY, secrets=[OTHER], now=AT)
    assert found == "msg_9"


def test_header_names_are_read_in_any_case() -> None:
    upper = {name.title(): value for name, value in headers().items()}
    assert verify(upper, BODY, secrets=[SECRET], now=AT) == "msg_test_1"


@pytest.mark.parametrize("secrets", [[OTHER, SECRET], [SECRET, OTHER], ["not base64!", SECRET]])
def test_any_of_several_secrets_may_have_signed(secrets: list[str]) -> None:
    assert verify(headers(), BODY, secrets=secrets, now=AT) == "msg_test_1"


def test_one_good_signature_among_malformed_ones_is_enough() -> None:
    many = f"v1 v1,a,b v2,{SIGNATURE[3:]} v1,%%% {SIGNATURE}"
    assert verify(headers(webhook_signature=many), BODY, secrets=[SECRET], now=AT) == "msg_test_1"


@pytest.mark.parametrize("late", [timedelta(minutes=5), timedelta(minutes=-5)])
def test_five_minutes_of_difference_are_tolerated(late: timedelta) -> None:
    assert verify(headers(), BODY, secrets=[SECRET], now=AT + late) == "msg_test_1"


@pytest.mark.parametrize("late", [timedelta(minutes=5, seconds=1), timedelta(minutes=-5, seconds=-1)])
def test_more_than_five_minutes_are_refused(late: timedelta) -> None:
    with pytest.raises(WebhookRefused):
        verify(headers(), BODY, secrets=[SECRET], now=AT + late)


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (headers(), BODY + b" "),
        (headers(webhook_id="msg_test_2"), BODY),
        (headers(webhook_timestamp="1772716201"), BODY),
        (headers(webhook_signature=""), BODY),
        (headers(webhook_signature="v1," + "A" * 44), BODY),
        (headers(webhook_signature=SIGNATURE.replace("v1,", "v2,")), BODY),
        (headers(webhook_signature="v1"), BODY),
        (headers(webhook_signature="v1,a,b"), BODY),
        (headers(webhook_signature="v1,é"), BODY),
        (headers(webhook_timestamp="soon"), BODY),
        (headers(webhook_timestamp="999999999999"), BODY),
        (headers(webhook_timestamp="9" * 400), BODY),
        (headers(webhook_timestamp="-1"), BODY),
        (headers(webhook_timestamp="١٧٧٢٧١٦٢٠٠"), BODY),
        (headers(webhook_id=""), BODY),
        (headers(webhook_id="a b"), BODY),
        (headers(webhook_id="x" * 256), BODY),
        (headers(), b"\xff\xfe not utf-8"),
        ({}, BODY),
    ],
)
def test_whatever_is_wrong_is_refused(sent: dict[str, str], body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        verify(sent, body, secrets=[SECRET], now=AT)


def test_without_a_secret_nothing_is_accepted() -> None:
    with pytest.raises(WebhookRefused):
        verify(headers(), BODY, secrets=[], now=AT)


@given(st.text(), st.text(), st.text(), st.binary())
def test_no_input_of_a_stranger_escapes_as_another_error(ident: str, stamp: str, sign: str, body: bytes) -> None:
    sent = {"webhook-id": ident, "webhook-timestamp": stamp, "webhook-signature": sign}
    with pytest.raises(WebhookRefused):
        verify(sent, body, secrets=[SECRET], now=AT)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_%%%", "", "whsec_abc"])
def test_an_unusable_secret_is_named_without_showing_it(secret: str) -> None:
    with pytest.raises(ValueError, match="webhook secret") as caught:
        decode_secret(secret)
    assert "abc" not in str(caught.value)
