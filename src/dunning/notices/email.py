"""E-mail by SMTP. The Message-ID is derived from the notice, so a repeat is the same mail."""

from __future__ import annotations

import hashlib
import ssl
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from dunning.domain.base import Value
from dunning.notices.render import Brand, Rendered
from dunning.settings import SmtpSettings


class MailAnswer(Value):
    """What the server said.

    Attributes:
        is_final: it will say the same again; else a later try may succeed.
        needs_attention: our settings or our standing with the server are to blame, not the recipient.
    """

    is_accepted: bool
    because: str
    is_final: bool = True
    needs_attention: bool = False


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
) -> EmailMessage:
    """Plain text with an HTML alternative. `at` is the machine clock; raises `ValueError` for a broken address."""
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
    mail.set_content(rendered.text)
    mail.add_alternative(rendered.html, subtype="html")
    return mail


def _address(name: str, address: str) -> Address:
    try:
        return Address(display_name=name, addr_spec=address)
    except (MessageError, IndexError) as broken:
        # What the standard library says holds the address.
        raise ValueError("an address that cannot be written in a mail") from broken


async def send(settings: SmtpSettings, mail: EmailMessage) -> MailAnswer:
    """Hand one mail to the server. Raises nothing of the network's or the server's."""
    password = settings.password.get_secret_value() if settings.password is not None else None
    try:
        await aiosmtplib.send(
            mail,
            hostname=settings.host,
            port=settings.port,
            username=settings.username,
            password=password,
            use_tls=settings.tls == "tls",
            # Required, not tried: a server that offers no encryption gets neither password nor mail.
            start_tls=settings.tls == "starttls",
            # Not this machine's name, which is nobody's business and may take long to look up.
            local_hostname=settings.from_address.rpartition("@")[2],
            timeout=settings.timeout_seconds,
        )
    except (aiosmtplib.SMTPException, OSError) as failure:
        return _refusal(failure)
    return MailAnswer(is_accepted=True, because="accepted by the mail server")


def _refusal(failure: Exception) -> MailAnswer:
    """What a failure means. Replies are not quoted: they may hold the address."""
    if isinstance(failure, aiosmtplib.SMTPRecipientsRefused):
        codes = [one.code for one in failure.recipients]
        said = f"the mail server refused the recipient ({', '.join(map(str, codes))})"
        return MailAnswer(is_accepted=False, because=said, is_final=any(code >= 500 for code in codes))
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
