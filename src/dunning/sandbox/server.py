"""The sandbox inside a test's own event loop."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from dunning.sandbox.app import create_app
from dunning.sandbox.serving import serving
from dunning.sandbox.settings import SandboxSettings
from dunning.sandbox.state import Sandbox


class SandboxServer:
    """A running sandbox: `url` is its base URL over real HTTP, `state` everything that it remembers."""

    def __init__(self, url: str, state: Sandbox) -> None:
        self.url = url
        self.state = state

    @classmethod
    @contextlib.asynccontextmanager
    async def start(cls, *, host: str = "127.0.0.1", port: int = 0, **settings: Any) -> AsyncIterator[SandboxServer]:
        """Run a sandbox while the block lasts, on a free port unless one is given.

        `settings` are the fields of `SandboxSettings`, such as `webhook_url` and `webhook_secret`; those not
        given come from the environment.
        """
        state = Sandbox(SandboxSettings(**settings))
        async with serving(create_app(state), host, port) as url:
            try:
                yield cls(url, state)
            finally:
                await state.close()
