"""`python -m dunning.sandbox.mail`: catches mail over real SMTP and shows it over HTTP. Nothing is ever sent
on.

aiosmtpd is a development dependency, so it is imported only when a catcher starts.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import email.policy
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.parser import BytesParser
from html import escape
from typing import Any

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from dunning.sandbox.serving import server_for, serving


@dataclass(frozen=True)
class CaughtMail:
    """One mail as it came in: `sender` and `recipients` are the envelope's."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes

    def row(self) -> dict[str, Any]:
        """The mail, decoded."""
        message = BytesParser(EmailMessage, policy=email.policy.default).parsebytes(self.raw)
        return {
            "from": self.sender,
            "to": list(self.recipients),
            "subject": str(message["subject"] or ""),
            "headers": {name.lower(): str(value) for name, value in message.items()},
            "text": _part(message, "plain"),
            "html": _part(message, "html"),
            "raw": self.raw.decode("utf-8", errors="replace"),
        }


class MailCatcher:
    """A running catcher. `fail_next` makes the next mails meet a temporary failure (451)."""

    def __init__(self) -> None:
        self.mails: list[CaughtMail] = []
        self.fail_next = 0
        self.smtp_host = ""
        self.smtp_port = 0
        self.url = ""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        """Called by aiosmtpd for each mail; the answer goes back over SMTP."""
        if self.fail_next > 0:
            self.fail_next -= 1
            return "451 4.3.0 Try again later"
        content = envelope.content
        raw = content if isinstance(content, bytes) else str(content).encode()
        self.mails.append(CaughtMail(str(envelope.mail_from or ""), tuple(envelope.rcpt_tos), raw))
        return "250 2.0.0 Caught"

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, *, host: str = "127.0.0.1") -> AsyncIterator[MailCatcher]:
        """Run a catcher in the running loop while the block lasts, both sides on free ports."""
        catcher = cls()
        async with catcher.smtp(host, 0), serving(catcher.app(), host) as url:
            catcher.url = url
            yield catcher

    @contextlib.asynccontextmanager
    async def smtp(self, host: str, port: int) -> AsyncIterator[None]:
        """Listen for SMTP while the block lasts; port 0 takes a free one."""
        smtp_class = _smtp_class()
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            lambda: smtp_class(self, enable_SMTPUTF8=True, hostname="sandbox.invalid", loop=loop), host, port
        )
        self.smtp_host, self.smtp_port = host, listener.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            listener.close()

    def app(self) -> FastAPI:
        """The HTTP side."""
        app = FastAPI(title="Dunning mail catcher")

        @app.get("/messages")
        async def messages() -> list[dict[str, Any]]:
            return [mail.row() for mail in self.mails]

        @app.delete("/messages", status_code=204)
        async def delete() -> None:
            self.mails.clear()

        @app.post("/fail", status_code=204)
        async def fail(times: int = 1) -> None:
            self.fail_next = times

        @app.get("/healthz")
        async def health() -> dict[str, str]:
            return {"status": "ok"}

        @app.get("/", response_class=HTMLResponse)
        async def index() -> str:
            return _index([mail.row() for mail in reversed(self.mails)])

        return app


def _smtp_class() -> Any:
    try:
        from aiosmtpd.smtp import SMTP
    except ImportError as error:
        raise RuntimeError("the mail catcher needs aiosmtpd, a development dependency: pip install aiosmtpd") from error
    return SMTP


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body(preferencelist=(kind,))
    return None if part is None else str(part.get_content())


def _index(rows: list[dict[str, Any]]) -> str:
    style = (
        "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}"
        "article{border:1px solid #bbb;border-radius:.4rem;padding:0 1rem;margin:1rem 0}"
        "pre{white-space:pre-wrap}"
    )
    mails = "".join(_article(row) for row in rows)
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Mail</title><style>{style}</style>"
        f"<h1>Mail caught: {len(rows)}</h1>{mails or '<p>None yet.</p>'}</html>"
    )


def _article(row: dict[str, Any]) -> str:
    envelope = f"{row['from']} to {', '.join(row['to'])}, {row['headers'].get('date', '')}"
    text = row["text"] or row["html"] or ""
    return (
        f"<article><h2>{escape(row['subject'])}</h2><p>{escape(envelope)}</p>"
        f"<pre dir='auto'>{escape(text)}</pre></article>"
    )


async def _serve(host: str, smtp_port: int, http_port: int) -> None:
    catcher = MailCatcher()
    async with catcher.smtp(host, smtp_port):
        await server_for(catcher.app(), host, http_port).serve()


def main(arguments: list[str] | None = None) -> None:
    """Catch mail until a signal ends the process."""
    parser = argparse.ArgumentParser(prog="python -m dunning.sandbox.mail", description="A mail catcher.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--smtp-port", type=int, default=1025)
    parser.add_argument("--http-port", type=int, default=8025)
    options = parser.parse_args(arguments)
    _smtp_class()
    asyncio.run(_serve(options.host, options.smtp_port, options.http_port))


if __name__ == "__main__":
    main()
