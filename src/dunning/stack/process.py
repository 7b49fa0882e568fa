"""One local process of the stack: its own process group, its own log file, never an orphan."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dunning.errors import StackError

_LEASH = Path(__file__).with_name("leash.py")
_TAIL_BYTES = 6000


@dataclass
class ManagedProcess:
    """A program with its command, environment and log.

    Attributes:
        user: whom root becomes first; None keeps the user.
        death_signal: what the kernel sends it when this process ends.
        stop_signal, stop_seconds: how it is asked to end, and for how long before it is killed.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    log_file: Path
    user: str | None = None
    death_signal: signal.Signals = signal.SIGKILL
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 10.0
    _process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def pid(self) -> int:
        """The process id, also of one that has ended; raises `StackError` when never started."""
        if self._process is None:
            raise StackError(f"{self.name} was never started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def returncode(self) -> int | None:
        """How it ended; negative for a signal, None while it runs."""
        return None if self._process is None else self._process.returncode

    async def start(self) -> None:
        """Start it; what it says is appended to its log file."""
        if self.is_running:
            raise StackError(f"{self.name} is running already")
        # A file and not a pipe: a process that talks while nobody listens must not stand still.
        with self.log_file.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                str(_LEASH),
                str(int(self.death_signal)),
                str(os.getpid()),
                self.user or "-",
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env=dict(self.environment),
                start_new_session=True,
            )

    async def wait(self) -> int:
        """Wait for its end; the return code."""
        if self._process is None:
            raise StackError(f"{self.name} was never started")
        return await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its whole group; nothing happens when it has ended."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    async def stop(self) -> None:
        """Ask it to end, and kill it when it does not; returns when it is gone."""
        if not self.is_running:
            return
        # A stopped process would not hear that it shall end.
        self.signal(signal.SIGCONT)
        self.signal(self.stop_signal)
        try:
            await asyncio.wait_for(self.wait(), self.stop_seconds)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.signal(signal.SIGKILL)
        if self.is_running:
            await self.wait()

    def last_words(self) -> str:
        """The end of its log, for error messages."""
        with contextlib.suppress(OSError), self.log_file.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _TAIL_BYTES))
            return log.read().decode("utf-8", errors="replace").strip()
        return ""
