"""`python -m dunning.sandbox`: the sandbox as a process."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from dunning.sandbox.app import create_app
from dunning.sandbox.serving import server_for
from dunning.sandbox.settings import SandboxSettings
from dunning.sandbox.state import Sandbox


def main(arguments: list[str] | None = None) -> None:
    """Serve until a signal ends the process; everything remembered is gone then."""
    options = vars(_parser().parse_args(arguments))
    host, port, log_level = options.pop("host"), options.pop("port"), options.pop("log_level")
    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    asyncio.run(_serve(SandboxSettings(**given), host, port, log_level))


async def _serve(settings: SandboxSettings, host: str, port: int, log_level: str) -> None:
    sandbox = Sandbox(settings)
    server = server_for(create_app(sandbox), host, port, log_level)
    try:
        await server.serve()
    finally:
        await sandbox.close()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dunning.sandbox",
        description="Dodo Payments and the WhatsApp Cloud API as a local server.",
        epilog="Every setting can be given as DUNNING_SANDBOX_... in the environment; secrets only there.",
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8088)
    parser.add_argument("--log-level", default="warning", choices=["debug", "info", "warning", "error"])
    parser.add_argument("--webhook-url", help="where Dodo's webhooks go (DUNNING_SANDBOX_WEBHOOK_URL)")
    parser.add_argument("--whatsapp-webhook-url", help="where WhatsApp's statuses go")
    parser.add_argument("--public-url", help="what hosted links start with")
    parser.add_argument("--settle-seconds", type=float, help="machine seconds from a charge to its outcome")
    return parser


if __name__ == "__main__":
    main()
