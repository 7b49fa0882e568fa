"""A process that runs a stack, for tests that end it: writes the pids of its services, then waits."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

from dunning.stack import Stack


async def main(file: Path, directory: Path) -> None:
    """Run the stack of this file until a signal comes."""
    async with Stack.start(file=file, directory=directory) as stack:
        pids = {name: process.pid for name, process in stack.processes.items()}
        sys.stdout.write(json.dumps(pids) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    # A run that a shell put in the background is given an ignored SIGINT, and so are its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
