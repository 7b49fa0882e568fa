"""What is asked of a notice's sending, and what came of it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from dunning.domain.base import Value
from dunning.domain.messages import PlannedNotice


class SendNoticeInput(Value):
    """Send one notice on all its channels. Contacts are read from the ledger when sending. SPEC 11."""

    account: str
    subscription: str
    generation: int
    customer: str
    notice: PlannedNotice
    description: str
    business_at: datetime


class NoticeOutcome(Value):
    """What came of it.

    Attributes:
        is_sent: on at least one channel.
        because: every channel with its status, for operators.
        retry_at: business time; some channel can be tried again then, the others are settled.
        channels: per channel a status: sent, skipped, failed, unclear, dropped, waiting.
        attention: what a person has to put right; None when nothing.
    """

    is_sent: bool
    because: str = ""
    retry_at: datetime | None = None
    channels: dict[str, str] = Field(default_factory=dict)
    attention: str | None = None
