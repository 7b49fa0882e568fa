"""One structured log of all processes: what each wrote into its own file, merged as it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dunning.redaction import redact

Listener = Callable[[dict[str, Any]], None]
_INTERVAL_SECONDS = 0.2


class Journal:
    """Follows log files. Each line becomes a JSON object with `service`, `event`, `at`, and is redacted."""

    def __init__(self, file: Path, listener: Listener | None = None) -> None:
        self.file = file
        self._listener = listener
        self._positions: dict[str, tuple[Path, int]] = {}
        self._task: asyncio.Task[None] | None = None

    def follow(self, service: str, log_file: Path) -> None:
        """From now on take over what stands in this file; following twice is once."""
        self._positions.setdefault(service, (log_file, 0))

    def start(self) -> None:
        """Begin to merge in the background."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Merge what is left and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.drain()

    def drain(self) -> None:
        """Merge what was written since the last time. A line that is not finished yet waits."""
        with self.file.open("a", encoding="utf-8") as merged:
            for service, (log_file, position) in list(self._positions.items()):
                if not log_file.exists():
                    continue
                with log_file.open("rb") as log:
                    log.seek(position)
                    read = log.read()
                finished = read[: read.rfind(b"\n") + 1]
                self._positions[service] = (log_file, position + len(finished))
                for line in finished.decode("utf-8", errors="replace").splitlines():
                    if line.strip():
                        self._say(merged.write, service, line)

    def _say(self, write: Callable[[str], int], service: str, line: str) -> None:
        entry = structured(service, line)
        write(json.dumps(entry, ensure_ascii=False) + "\n")
        if self._listener is not None:
            self._listener(entry)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS)
            self.drain()


def structured(service: str, line: str) -> dict[str, Any]:
    """A line of any program in the one form of ours."""
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    fields: dict[str, Any] = dict(found) if isinstance(found, dict) else {"event": line}
    entry = {
        "at": fields.pop("at", None) or fields.pop("ts", None) or datetime.now(UTC).isoformat(),
        "service": service,
        "level": fields.pop("level", "info"),
        "event": fields.pop("event", None) or fields.pop("msg", ""),
    }
    fields.pop("service", None)
    cleaned: dict[str, Any] = redact({**entry, **fields})
    return cleaned
