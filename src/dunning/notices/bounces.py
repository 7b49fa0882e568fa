"""Bounces: a delivery status notification (RFC 3464), read. SPEC 11.

Only a report about a mail of ours counts: it is found again by the Message-ID, which is derived from the notice.
"""

from __future__ import annotations

import email.policy
import re
from email.message import EmailMessage
from email.parser import BytesParser, HeaderParser
from typing import Any

from dunning.domain.base import Value
from dunning.notices.email import is_dead_status

MAX_BYTES = 1024 * 1024
_STATUS = re.compile(r"^([245])\.\d{1,3}\.\d{1,3}$")
_IDENTITY = re.compile(r"<[^<>\s]{1,300}>")


class NotABounce(Exception):
    """No delivery status notification, or one that names no mail."""


class Bounce(Value):
    """What a report says of one mail.

    Attributes:
        message_id: of the mail that it is about.
        action: `failed`, `delayed`, `delivered`, `relayed` or `expanded`.
        status: the enhanced status code, as `5.1.1`.
        is_address_dead: no mail to the address will arrive; a full mailbox or a refused text is not that.
    """

    message_id: str
    action: str
    status: str
    is_address_dead: bool


def read_bounce(raw: bytes) -> Bounce:
    """Read a whole mail as it came in; raises `NotABounce`. Where several recipients are named, the worst counts."""
    mail: EmailMessage = BytesParser(EmailMessage, policy=email.policy.default).parsebytes(raw)
    if mail.get_content_type() != "multipart/report" or mail.get_param("report-type") != "delivery-status":
        raise NotABounce("the mail is no delivery status notification")
    parts = list(mail.walk())
    recipients = [block for part in parts if part.get_content_type() == "message/delivery-status"
                  for block in _blocks(part) if "Action" in block]  # fmt: skip
    identity = next((found for part in parts if (found := _original(part)) is not None), None)
    if not recipients or identity is None:
        raise NotABounce("the report names no recipient or no mail")
    worst = max(recipients, key=lambda one: str(one["Action"]).strip().lower() == "failed")
    status = str(worst.get("Status", "")).split(" ")[0].strip()
    action = str(worst["Action"]).strip().lower()
    said = f"{status} {worst.get('Diagnostic-Code', '')}"
    return Bounce(
        message_id=identity,
        action=action,
        status=status if _STATUS.match(status) else "",
        is_address_dead=action == "failed" and is_dead_status(said),
    )


def _blocks(part: EmailMessage) -> list[Any]:
    found = part.get_payload()
    return list(found) if isinstance(found, list) else []


def _original(part: EmailMessage) -> str | None:
    """The Message-ID of the mail that comes back, whole or as headers alone."""
    kind = part.get_content_type()
    if kind == "message/rfc822":
        inner = part.get_payload()
        headers: Any = inner[0] if isinstance(inner, list) and inner else None
    elif kind in ("text/rfc822-headers", "message/rfc822-headers"):
        content = part.get_payload(decode=True)
        text = content.decode("utf-8", "replace") if isinstance(content, bytes) else str(part.get_payload())
        headers = HeaderParser().parsestr(text)
    else:
        return None
    found = _IDENTITY.search(str(headers.get("Message-ID", ""))) if headers is not None else None
    return found[0] if found else None
