"""Processor time of the processes of a stage, from the kernel's own books (Linux; elsewhere nothing is told)."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

_PROC = Path("/proc")
_PARENT, _USER, _SYSTEM, _USER_OF_ENDED, _SYSTEM_OF_ENDED = 1, 11, 12, 13, 14
"""Places in `/proc/PID/stat` after the name (proc(5) counts from 1 and has two fields more)."""


def processor_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """Seconds that each process and all its descendants have used so far, and `driver`, this process."""
    told = {"driver": time.process_time()}
    if not (_PROC / "self/stat").exists():
        return told
    stats = _stats()
    children: dict[int, list[int]] = {}
    for pid, fields in stats.items():
        children.setdefault(fields[_PARENT], []).append(pid)
    return {**told, **{name: _of_family(pid, stats, children) for name, pid in pids.items()}}


def _stats() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue  # it ended meanwhile
        # The name is in brackets and may hold anything; what follows the last one is numbers, but for the state.
        fields = text.rpartition(")")[2].split()
        found[int(entry.name)] = [0, *(int(field) for field in fields[1:])]
    return found


def _of_family(pid: int, stats: Mapping[int, list[int]], children: Mapping[int, list[int]]) -> float:
    fields = stats.get(pid)
    if fields is None:
        return 0.0
    # Children that have ended and were waited for are in their parent's books.
    own = sum(fields[place] for place in (_USER, _SYSTEM, _USER_OF_ENDED, _SYSTEM_OF_ENDED))
    return own / os.sysconf("SC_CLK_TCK") + sum(_of_family(child, stats, children) for child in children.get(pid, ()))
