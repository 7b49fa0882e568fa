"""`dunning dev`: the development stack until Ctrl-C. SPEC 16, 17."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from dunning.cli.output import note, say
from dunning.stack import Stack


def dev(
    *,
    free: Annotated[bool, typer.Option("--free-ports", help="any free ports, so that several stacks can run")] = False,
    durable: Annotated[bool, typer.Option("--durable", help="Temporal keeps its state over a restart")] = False,
    logs: Annotated[Path | None, typer.Option("--logs", help="where to keep the logs")] = None,
) -> None:
    """Start the whole stack, the gateway, a worker and the example backend included, and leave it running."""
    asyncio.run(_run(free=free, durable=durable, logs=logs))


async def _run(*, free: bool, durable: bool, logs: Path | None) -> None:
    started = time.monotonic()
    note("Starting Temporal, PostgreSQL, mail catcher, sandbox, gateway and worker ...")
    ports: Literal["fixed", "free"] = "free" if free else "fixed"
    async with Stack.start(ports=ports, directory=logs, durable=durable) as stack:
        note(f"up after {time.monotonic() - started:.1f} s")
        say(*addresses(stack), "")
        if free:
            say("In another terminal:", *(f"  export {name}='{stack.env[name]}'" for name in _exported(stack)), "")
        say("Stop it with Ctrl-C.")
        await stack.wait()
        note("Stopping ...")


def addresses(stack: Stack) -> list[str]:
    """Where everything is, one line each."""
    names = {
        "Temporal UI": "temporal_ui",
        "Temporal": "temporal",
        "Gateway": "gateway",
        "Backend": "backend",
        "Sandbox": "sandbox",
        "Mails": "mail",
        "SMTP": "smtp",
        "Ledger": "ledger",
    }
    lines = [f"{label:<12} {stack.urls[name]}" for label, name in names.items() if stack.urls.get(name)]
    return [*lines, f"{'Log':<12} {stack.log_file}"]


def _exported(stack: Stack) -> list[str]:
    return sorted(name for name in stack.env if name.startswith(("DUNNING_", "TEMPORAL_")) and "SECRET" not in name)
