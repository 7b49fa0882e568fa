"""Both programs as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import smtplib
import socket
import sys
from collections.abc import AsyncIterator
from email.message import EmailMessage

import httpx
import pytest

pytestmark = pytest.mark.server


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.asynccontextmanager
async def program(*arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *arguments, env={**os.environ, **environment}, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def patient(url: str) -> httpx.AsyncClient:
    """A client that tries refused connections again with growing pauses, for at most half a minute."""
    return httpx.AsyncClient(base_url=url, transport=httpx.AsyncHTTPTransport(retries=7), timeout=30)


async def test_the_sandbox_serves_with_the_settings_of_its_environment_and_ends_on_a_signal() -> None:
    port = free_port()
    settings = {
        "DUNNING_SANDBOX_WEBHOOK_URL": "http://127.0.0.1:9/hook",
        "DUNNING_SANDBOX_MINIMUM_AMOUNT": "3",
    }
    async with program("dunning.sandbox", "--port", str(port), "--settle-seconds", "0", **settings) as process:
        async with patient(f"http://127.0.0.1:{port}") as client:
            assert (await client.get("/healthz")).json() == {"status": "ok"}
            shown = (await client.get("/_sandbox/configuration")).json()
        assert (shown["webhook_url"], shown["minimum_amount"], shown["settle_seconds"]) == (
            "http://127.0.0.1:9/hook",
            3,
            0,
        )
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 20)
        assert process.stderr is not None
        assert b"Traceback" not in await process.stderr.read()


async def test_the_mail_catcher_takes_mail_as_a_process_of_its_own() -> None:
    smtp_port, http_port = free_port(), free_port()
    arguments = ("dunning.sandbox.mail", "--smtp-port", str(smtp_port), "--http-port", str(http_port))
    async with program(*arguments) as process, patient(f"http://127.0.0.1:{http_port}") as client:
        assert (await client.get("/healthz")).status_code == 200
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", "Hello"

        def talk() -> None:
            with smtplib.SMTP("127.0.0.1", smtp_port, timeout=10) as smtp:
                smtp.send_message(mail)

        await asyncio.to_thread(talk)
        assert [one["subject"] for one in (await client.get("/messages")).json()] == ["Hello"]
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 20)
