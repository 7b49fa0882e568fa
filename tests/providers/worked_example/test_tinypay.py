"""`docs/adding-a-provider.md` is true: its adapter is the one printed there, and keeps the contract of all."""

from __future__ import annotations

from pathlib import Path

import pytest

from dunning.providers.base import PaymentProvider
from dunning.providers.omise_declines import OMISE_DECLINES
from examples.adding_a_provider.tinypay import TinyPay
from examples.adding_a_provider.tinypay_declines import TINYPAY_DECLINES
from tests.providers.contract import ProviderContract
from tests.providers.money_contract import MoneyContract
from tests.providers.omise.rig import KEY

ROOT = Path(__file__).parents[3]
FILES = ["examples/adding_a_provider/tinypay_declines.py", "examples/adding_a_provider/tinypay.py"]


class TestContract(ProviderContract, MoneyContract):
    """Everything that is asked of every adapter."""


@pytest.mark.parametrize("name", FILES)
def test_the_page_prints_the_code_that_runs(name: str) -> None:
    page = (ROOT / "docs/adding-a-provider.md").read_text()
    assert f"`{name}`:\n\n```python\n{(ROOT / name).read_text()}```\n" in page


def test_the_adapter_is_the_protocols() -> None:
    provider: PaymentProvider = TinyPay(KEY, base_url="http://127.0.0.1:1")
    assert provider.capabilities.name == "tinypay"


def test_the_example_never_contradicts_the_table_of_the_face_that_stands_in() -> None:
    for row in TINYPAY_DECLINES.rows:
        known = OMISE_DECLINES.row(row.field, row.code)
        assert known is None or row.field == "api_code" or known.klass is row.klass
