"""Free ports, private directories, and where the programs and files of the stack are."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dunning.errors import StackError

# Below what kernels hand out to outgoing connections, which could take a port between choice and use.
_PORTS = range(20_000, 32_000)
_taken: set[int] = set()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on; this process gets each only once."""
    for port in random.SystemRandom().sample(_PORTS, k=len(_PORTS)):
        if port not in _taken and is_free(port):
            _taken.add(port)
            return port
    raise StackError("no free port between 20000 and 32000")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextlib.contextmanager
def private_directory(prefix: str) -> Iterator[Path]:
    """A directory that is gone after the block; those that killed processes left behind go as well."""
    _sweep(prefix)
    directory = Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))
    # Root's PostgreSQL runs as somebody else, who must be able to pass through.
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def program(name: str) -> str:
    """A program of this environment or of the path; raises `StackError` naming what to install."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise StackError(f"the program {name!r} is missing: install the development requirements")
    return found


def checkout() -> Path:
    """The checkout with `temporal-dev.yml`: the current directory, or the one this library is run from."""
    for place in (Path.cwd(), *Path(__file__).resolve().parents):
        if (place / "temporal-dev.yml").exists() and (place / "pyproject.toml").exists():
            return place
    raise StackError("temporal-dev.yml was not found: run this in a checkout of the engine")


def _sweep(prefix: str) -> None:
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*-*"):
        owner = left.name.removeprefix(prefix).partition("-")[0]
        if owner.isdigit() and not _is_alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
