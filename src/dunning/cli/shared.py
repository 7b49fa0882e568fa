"""The console of commands that draw while they work."""

from __future__ import annotations

from dunning.cli import output

console = output.console()
