"""A sandbox that tells notifications to the mailbox, and the rig over it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from dunning.sandbox import SandboxServer
from tests.providers.google_play.rig import PlayRig
from tests.providers.rigging import Mailbox


@pytest.fixture(scope="module")
async def sandbox(mailbox: Mailbox) -> AsyncIterator[SandboxServer]:
    async with SandboxServer.start(play_push_url=mailbox.url, hold_seconds=0.05) as server:
        yield server


@pytest.fixture
async def play(sandbox: SandboxServer, mailbox: Mailbox) -> AsyncIterator[PlayRig]:
    async with httpx.AsyncClient(base_url=sandbox.url, timeout=10) as control:
        found = PlayRig(sandbox, control)
        yield found
        await found.close()
    await sandbox.state.reset()
    mailbox.got.clear()
