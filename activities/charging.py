"""The two activities that touch money: `charge` and `look_up`. The protocol is `dunning.charging`'s. SPEC 13."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.names import CHARGE, LOOK_UP
from dunning.charging import WAIT_FOR_RESULT, Charging
from dunning.domain.attempts import Outcome
from dunning.errors import Conflict
from dunning.ledger import Ledger, Limits
from dunning.ledger.models import ChargeInput, LookUpInput
from dunning.providers.base import PaymentProvider
from dunning.settings import AccountSettings


class ChargeActivities:
    """One instance per worker; one `Charging` per merchant account."""

    def __init__(
        self,
        ledger: Ledger,
        providers: Mapping[str, PaymentProvider],
        accounts: Mapping[str, AccountSettings],
        *,
        wait_seconds: float = WAIT_FOR_RESULT,
    ) -> None:
        self._by_account = {
            name: Charging(
                ledger,
                provider,
                Limits(
                    max_in_flight=accounts[name].max_in_flight,
                    requests_per_second=accounts[name].requests_per_second,
                ),
                wait_seconds=wait_seconds,
            )
            for name, provider in providers.items()
        }

    @activity.defn(name=CHARGE)
    async def charge(self, request: ChargeInput) -> Outcome:
        """Send one attempt at most once."""
        # The owner is a try, not an attempt: a second worker with the same row must never pass for the first.
        owner = f"{os.getpid()}/{uuid.uuid4()}"
        try:
            return await self._of(request.account).charge(request, owner=owner)
        except Conflict as conflict:
            raise ApplicationError(str(conflict), type="conflict", non_retryable=True) from conflict

    @activity.defn(name=LOOK_UP)
    async def look_up(self, request: LookUpInput) -> Outcome:
        """Ask what became of an attempt; it never sends."""
        try:
            return await self._of(request.account).look_up(request)
        except Conflict as conflict:
            raise ApplicationError(str(conflict), type="conflict", non_retryable=True) from conflict

    def _of(self, account: str) -> Charging:
        try:
            return self._by_account[account]
        except KeyError:
            message = f"merchant account {account!r} is not in this worker's settings"
            raise ApplicationError(message, type="configuration", non_retryable=True) from None
