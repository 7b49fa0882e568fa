"""A desk to ask at, and the development stack for what needs workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from dunning.stack import Stack
from tests.api.desk import Desk, open_desk

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def desk(ledger_url: str, dev_server: WorkflowEnvironment) -> AsyncIterator[Desk]:
    async with open_desk(ledger_url, dev_server.client) as found:
        yield found


@pytest.fixture(scope="session")
async def stack() -> AsyncIterator[Stack]:
    """The whole stack on free ports. Its API lets a test ask as often as it likes."""
    plenty = {"DUNNING_API_REQUESTS_PER_SECOND": "10000", "DUNNING_API_BURST": "10000"}
    async with Stack.start(environment=plenty) as running:
        yield running


@pytest.fixture(scope="session")
def api_key(stack: Stack) -> str:
    """A key of the account `demo`, made on the command line."""
    program = [sys.executable, "-c", "from dunning.cli import main; main()"]
    made = subprocess.run(
        [*program, "keys", "create", "--account", "demo", "--name", "test"],
        env={**os.environ, **stack.env},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return made.stdout.strip()
