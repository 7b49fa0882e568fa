"""E-mail by SMTP. The Message-ID is derived from the notice, so a repeat is the same mail."""

from __future__ import annotations

import hashlib
from email.message import EmailMessage
from email.utils import formataddr

import aiosmtplib

from dunning.notices.render import Brand, Rendered
from dunning.settings import SmtpSettings


def message_id(account: str, subscription: str, notice_key: str, domain: str) -> str:
    """The same for the same notice, whatever is retried."""
    digest = hashlib.sha256("\x1f".join((account, subscription, notice_key)).encode()).hexdigest()[:40]
    return f"<{digest}@{domain}>"


def compose(rendered: Rendered, *, to: str, name: str | None, sender: str, brand: Brand, identity: str) -> EmailMessage:
    """Plain text with an HTML alternative."""
    mail = EmailMessage()
    mail["From"] = formataddr((brand.name, sender))
    mail["To"] = formataddr((name or "", to))
    mail["Subject"] = rendered.subject
    mail["Message-ID"] = identity
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(rendered.text)
    mail.add_alternative(rendered.html, subtype="html")
    return mail


async def send(settings: SmtpSettings, mail: EmailMessage) -> None:
    """Hand one mail to the server; raises `aiosmtplib.SMTPException` or `OSError`."""
    password = settings.password.get_secret_value() if settings.password is not None else None
    await aiosmtplib.send(
        mail,
        hostname=settings.host,
        port=settings.port,
        username=settings.username,
        password=password,
        use_tls=settings.tls == "tls",
        start_tls=settings.tls == "starttls",
        timeout=settings.timeout_seconds,
    )
