"""Where a notice's button leads: only to a page that can be filled in."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from dunning.settings import AccountSettings

ACCOUNT: dict[str, Any] = {"provider": "dodo", "mode": "test", "api_key": "dodo_test_k", "merchant_name": "Kopi"}


@pytest.mark.parametrize(
    "url",
    ["https://kopi.example/pay", "https://kopi.example/{customer}/pay?s={subscription}", "http://127.0.0.1:8088/pay"],
)
def test_a_page_may_name_the_subscription_and_the_customer(url: str) -> None:
    assert AccountSettings(**ACCOUNT, payment_method_url=url).payment_method_url == url


@pytest.mark.parametrize(
    "url",
    ["kopi.example", "javascript:alert(1)", "https://kopi.example/{email}", "https://kopi.example/{", "https://a b"],
)
def test_any_other_placeholder_or_scheme_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="payment_method_url"):
        AccountSettings(**ACCOUNT, payment_method_url=url)
