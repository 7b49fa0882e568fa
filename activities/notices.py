"""Sending notices to customers. SPEC 11."""

from __future__ import annotations

from collections.abc import Mapping

import httpx
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.names import SEND_NOTICE
from dunning.ledger import Ledger
from dunning.notices.models import NoticeOutcome, SendNoticeInput
from dunning.notices.sender import Sender
from dunning.settings import AccountSettings


class NoticeActivities:
    """One instance per worker; one `Sender` per merchant account."""

    def __init__(self, ledger: Ledger, accounts: Mapping[str, AccountSettings], http: httpx.AsyncClient) -> None:
        self._senders = {name: Sender(ledger, account, http) for name, account in accounts.items()}

    @activity.defn(name=SEND_NOTICE)
    async def send_notice(self, request: SendNoticeInput) -> NoticeOutcome:
        """One notice on all its channels, each once, whatever is retried."""
        sender = self._senders.get(request.account)
        if sender is None:
            message = f"merchant account {request.account!r} is not in this worker's settings"
            raise ApplicationError(message, type="configuration", non_retryable=True)
        return await sender.send(request)
