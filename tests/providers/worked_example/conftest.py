"""The worked example's adapter, over a face of the sandbox that stands in for its provider."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from dunning.sandbox import SandboxServer
from examples.adding_a_provider.tinypay import TinyPay
from tests.providers.omise.rig import KEY, SECRET, OmiseRig
from tests.providers.rigging import Mailbox


class TinyPayRig(OmiseRig):
    """The same customers and faults, asked for through the example's adapter."""

    def __init__(self, sandbox: SandboxServer, mailbox: Mailbox, control: httpx.AsyncClient) -> None:
        super().__init__(sandbox, mailbox, control)
        self.provider: Any = TinyPay(KEY, base_url=f"{sandbox.url}/omise")

    def unreachable(self) -> Any:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            return TinyPay(KEY, base_url=f"http://127.0.0.1:{taken.getsockname()[1]}")


@pytest.fixture(scope="module")
async def sandbox(mailbox: Mailbox) -> AsyncIterator[SandboxServer]:
    async with SandboxServer.start(
        omise_webhook_url=mailbox.url, omise_webhook_secret=SECRET, settle_seconds=0.005, hold_seconds=0.05
    ) as server:
        yield server


@pytest.fixture
async def rig(sandbox: SandboxServer, mailbox: Mailbox) -> AsyncIterator[TinyPayRig]:
    async with httpx.AsyncClient(base_url=sandbox.url, timeout=10) as control:
        found = TinyPayRig(sandbox, mailbox, control)
        yield found
        await found.provider.aclose()
    await sandbox.state.reset()
    mailbox.got.clear()
