"""The usual subscription with something changed, and the faults that it is refused with."""

import pytest

from dunning.errors import InvalidInput
from dunning.intake import parse_subscription
from tests.builders import subscription_data

ITEM = {"product_id": "pro", "role": "base", "quantity": 1, "unit_amount": 100_000}
LINK = {"country": "ID", "product_id": "pdt_1"}


def refused(**changes):
    """The faults of the usual subscription with these fields replaced (or, for `...`, left out)."""
    data = {name: value for name, value in subscription_data(**changes).items() if value is not ...}
    with pytest.raises(InvalidInput) as caught:
        parse_subscription(data)
    return caught.value.faults


def fields(**changes):
    return sorted(fault.field for fault in refused(**changes))


def schedule(**changes):
    return {"anchor_at": "2026-03-05T13:10:00Z", "interval": "MONTH", **changes}


def options(**changes):
    return {**subscription_data()["provider_options"], **changes}


def customer(**changes):
    return {**subscription_data()["customer"], **changes}
