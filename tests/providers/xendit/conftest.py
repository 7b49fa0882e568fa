"""A sandbox that tells Xendit's messages to the mailbox, and the rig over it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from dunning.sandbox import SandboxServer
from tests.providers.rigging import Mailbox
from tests.providers.xendit.rig import SECRET, XenditRig


@pytest.fixture(scope="module")
async def sandbox(mailbox: Mailbox) -> AsyncIterator[SandboxServer]:
    async with SandboxServer.start(
        xendit_webhook_url=mailbox.url, xendit_callback_token=SECRET, settle_seconds=0.005, hold_seconds=0.05
    ) as server:
        yield server


@pytest.fixture
async def rig(sandbox: SandboxServer, mailbox: Mailbox) -> AsyncIterator[XenditRig]:
    async with httpx.AsyncClient(base_url=sandbox.url, timeout=10) as control:
        found = XenditRig(sandbox, mailbox, control)
        yield found
        await found.provider.aclose()
    await sandbox.state.reset()
    mailbox.got.clear()
