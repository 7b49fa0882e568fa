"""Sending notices to customers. SPEC 11."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import httpx
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.names import SEND_NOTICE
from dunning.ledger import Ledger
from dunning.notices.models import NoticeOutcome, SendNoticeInput
from dunning.notices.sender import Sender
from dunning.settings import AccountSettings

QUEUED = timedelta(minutes=2)
"""A hand-over that took longer moves business now: the workers were away, and a notice may be untrue or too late."""


class NoticeActivities:
    """One instance per worker; one `Sender` per merchant account."""

    def __init__(self, ledger: Ledger, accounts: Mapping[str, AccountSettings], http: httpx.AsyncClient) -> None:
        self._senders = {name: Sender(ledger, account, http) for name, account in accounts.items()}

    async def aclose(self) -> None:
        """Close the connections to mail servers."""
        for sender in self._senders.values():
            await sender.aclose()

    @activity.defn(name=SEND_NOTICE)
    async def send_notice(self, request: SendNoticeInput) -> NoticeOutcome:
        """One notice on all its channels, each once, whatever is retried."""
        sender = self._senders.get(request.account)
        if sender is None:
            message = f"merchant account {request.account!r} is not in this worker's settings"
            raise ApplicationError(message, type="configuration", non_retryable=True)
        # Both instants are the server's, also where its clock is virtual.
        info = activity.info()
        queued = info.started_time - info.scheduled_time
        if queued > QUEUED:
            request = request.but(business_at=request.business_at + queued)
        return await sender.send(request)
