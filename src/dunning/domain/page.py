"""What the state remembers of a first price that is paid on the mandate's page. SPEC 12."""

from __future__ import annotations

from datetime import datetime

from dunning.domain.base import Known

FIRST_CYCLE = "1"
"""The obligation that a first price pays."""

ON_PAGE = "mandate page"
"""Stands for the method that the customer has not given yet. With a space in it, it is no provider's token."""


class PagePayment(Known):
    """The attempt that the customer may pay on the mandate's page; settled, the state forgets it.

    Attributes:
        key: the attempt's one key.
        paid_at: when a payment was told of while the mandate was not known to stand.
        looks: how often was asked since: for the mandate then, for the payment after the end.
    """

    key: str
    paid_at: datetime | None = None
    looks: int = 0
