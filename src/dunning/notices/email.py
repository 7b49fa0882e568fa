"""E-mail by SMTP. The Message-ID is derived from the notice, so a repeat is the same mail."""

from __future__ import annotations

import hashlib
import re
import ssl
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from dunning.domain.base import Value
from dunning.notices.render import Brand, Rendered


class MailAnswer(Value):
    """What the server said.

    Attributes:
        is_final: it will say the same again; else a later try may succeed.
        needs_attention: our settings or our standing with the server are to blame, not the recipient.
        is_address_dead: no mail to this address arrives.
    """

    is_accepted: bool
    because: str
    is_final: bool = True
    needs_attention: bool = False
    is_address_dead: bool = False


def message_id(account: str, subscription: str, notice_key: str, domain: str) -> str:
    """The same for the same notice, whatever is retried: readers show a repeat as one mail."""
    digest = hashlib.sha256("\x1f".join((account, subscription, notice_key)).encode()).hexdigest()[:40]
    return f"<{digest}@{domain}>"


def compose(
    rendered: Rendered,
    *,
    to: str,
    name: str | None,
    sender: str,
    brand: Brand,
    identity: str,
    at: datetime,
    unsubscribe: str | None = None,
) -> EmailMessage:
    """Plain text with an HTML alternative. `at` is the machine clock; raises `ValueError` for a broken address.

    `unsubscribe`: where one click leaves such mails out, for the reader's own button. RFC 8058.
    """
    mail = EmailMessage()
    mail["From"] = _address(brand.name, sender)
    mail["To"] = _address(name or "", to)
    if brand.support_address:
        mail["Reply-To"] = _address("", brand.support_address)
    mail["Subject"] = rendered.subject
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = identity
    # Answering machines leave such mail alone. RFC 3834.
    mail["Auto-Submitted"] = "auto-generated"
    if unsubscribe is not None:
        mail["List-Unsubscribe"] = f"<{unsubscribe}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(rendered.text)
    mail.add_alternative(rendered.html, subtype="html")
    return mail


def _address(name: str, address: str) -> Address:
    try:
        return Address(display_name=name, addr_spec=address)
    except (MessageError, IndexError) as broken:
        # What the standard library says holds the address.
        raise ValueError("an address that cannot be written in a mail") from broken


_DEAD = re.compile(r"\b5\.(?:1\.(?:1|2|3|6|10)|2\.1)\b")
"""Enhanced status codes that mean the address, not this mail: no such mailbox or domain, disabled. RFC 3463."""


def is_dead_status(text: str) -> bool:
    """Whether a server's words say that no mail to the address will arrive."""
    return _DEAD.search(text) is not None


def refusal(failure: Exception) -> MailAnswer:
    """What a failure means. Replies are not quoted: they may hold the address."""
    if isinstance(failure, aiosmtplib.SMTPRecipientsRefused):
        codes = [one.code for one in failure.recipients]
        said = f"the mail server refused the recipient ({', '.join(map(str, codes))})"
        is_dead = any(one.code >= 500 and is_dead_status(one.message) for one in failure.recipients)
        is_final = any(code >= 500 for code in codes)
        return MailAnswer(is_accepted=False, because=said, is_final=is_final, is_address_dead=is_dead)
    if isinstance(failure, aiosmtplib.SMTPResponseException):
        is_ours = failure.code >= 500
        said = f"the mail server answered {failure.code}: {type(failure).__name__}"
        # A message refused for good stays refused; who may send, and with which password, can be put right.
        is_final = is_ours and isinstance(failure, aiosmtplib.SMTPDataError)
        return MailAnswer(is_accepted=False, because=said, is_final=is_final, needs_attention=is_ours)
    # Not the network, then: no STARTTLS, no AUTH, a certificate that does not fit. Settings or server need a person.
    is_network = isinstance(failure, OSError) and not isinstance(failure.__cause__ or failure, ssl.SSLError)
    said = f"the mail server: {type(failure).__name__}" + ("" if is_network else f": {failure}")
    return MailAnswer(is_accepted=False, because=said, is_final=False, needs_attention=not is_network)
