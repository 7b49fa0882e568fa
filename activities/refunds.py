"""The two activities that give money back: `refund` and `look_up_refund`. The protocol is `dunning.refunding`'s."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.names import LOOK_UP_REFUND, REFUND
from dunning.domain.refunds import RefundOutcome
from dunning.errors import Conflict
from dunning.ledger import Ledger
from dunning.ledger.models import RefundInput, RefundLookUpInput
from dunning.providers.base import PaymentProvider
from dunning.refunding import Refunding


class RefundActivities:
    """One instance per worker; one `Refunding` per merchant account."""

    def __init__(self, ledger: Ledger, providers: Mapping[str, PaymentProvider]) -> None:
        self._by_account = {name: Refunding(ledger, provider) for name, provider in providers.items()}

    @activity.defn(name=REFUND)
    async def refund(self, request: RefundInput) -> RefundOutcome:
        """Send one refund at most once."""
        # The owner is a try, not a refund: a second worker with the same row must never pass for the first.
        owner = f"{os.getpid()}/{uuid.uuid4()}"
        try:
            return await self._of(request.account).refund(request, owner=owner)
        except Conflict as conflict:
            raise ApplicationError(str(conflict), type="conflict", non_retryable=True) from conflict

    @activity.defn(name=LOOK_UP_REFUND)
    async def look_up_refund(self, request: RefundLookUpInput) -> RefundOutcome:
        """Ask what became of a refund; it never sends."""
        return await self._of(request.account).look_up(request)

    def _of(self, account: str) -> Refunding:
        try:
            return self._by_account[account]
        except KeyError:
            message = f"merchant account {account!r} is not in this worker's settings"
            raise ApplicationError(message, type="configuration", non_retryable=True) from None
