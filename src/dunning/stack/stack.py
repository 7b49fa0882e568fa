"""Runs the services of `temporal-dev.yml` as local processes; see `Stack.start`. SPEC 17."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dunning.errors import StackError
from dunning.stack.compose import Composition, Service, compose, read_document
from dunning.stack.environment import child_environment, chosen_variables, refuse_taken_ports, shared
from dunning.stack.health import until_well
from dunning.stack.journal import Journal, Listener
from dunning.stack.places import checkout, private_directory, program
from dunning.stack.postgres import Installation, ensure_database, prepare, server_command
from dunning.stack.process import ManagedProcess

FILE = "temporal-dev.yml"


@dataclass
class Stack:
    """A running stack.

    Attributes:
        env: where everything is, as the environment variables that all our processes take.
        urls: the same by short name: `temporal` (host:port), `temporal_ui`, `ledger`, `sandbox`, `gateway`,
            `mail`, `smtp` (host:port).
        processes: by service name, in the order of start.
        log_file: the merged log, one JSON object a line.
    """

    root: Path
    directory: Path
    scratch: Path
    composition: Composition
    overrides: Mapping[str, str]
    journal: Journal
    env: dict[str, str]
    urls: dict[str, str]
    is_durable: bool = False
    processes: dict[str, ManagedProcess] = field(default_factory=dict)
    _kinds: dict[str, str] = field(default_factory=dict)
    _wanted: set[str] = field(default_factory=set)

    @classmethod
    @contextlib.asynccontextmanager
    async def start(
        cls,
        services: Sequence[str] | None = None,
        *,
        ports: Literal["fixed", "free"] = "free",
        directory: Path | None = None,
        environment: Mapping[str, str] | None = None,
        file: Path | None = None,
        on_log: Listener | None = None,
        durable: bool = False,
    ) -> AsyncIterator[Stack]:
        """Start services and what they depend on; the block begins when all are well, and they end with it.

        Nothing survives: however this process ends, the kernel ends the others. SIGTERM, unless the caller
        handles it, stops all services in order before it ends this process.

        Args:
            services: all of them when not given.
            ports: `fixed` are those of the file; `free` lets several stacks run side by side.
            directory: where logs are kept; a private one that goes with the stack when not given.
            environment: added to the environment of each of our own processes.
            file: another Compose file than the checkout's.
            on_log: called with each line of the merged log.
            durable: Temporal too finds its state again after `restart`; slower, because it writes to a file.

        Raises:
            StackError: a port is taken, a program is missing, or a service does not get well.
        """
        root = checkout() if file is None else file.parent.absolute()
        document = read_document(file or root / FILE)
        composition = compose(document, chosen_variables(document, ports))
        names = composition.needed_for(list(services or composition.services))
        refuse_taken_ports(composition, names)
        with private_directory("dunning-stack-") as scratch:
            logs = directory or scratch / "log"
            logs.mkdir(parents=True, exist_ok=True)
            env, urls = shared(composition, root)
            overrides = dict(environment or {})
            journal = Journal(logs / "stack.jsonl", on_log)
            stack = cls(root, logs, scratch, composition, overrides, journal, {**env, **overrides}, urls, durable)
            async with stack._running(names):
                yield stack

    @property
    def log_file(self) -> Path:
        """The merged log."""
        return self.journal.file

    async def kill(self, name: str) -> None:
        """SIGKILL, as a crash would be; returns when it is gone."""
        self._wanted.discard(name)
        await self._process(name).kill()

    async def stop(self, name: str) -> None:
        """Ask it to end, and wait for that."""
        self._wanted.discard(name)
        await self._process(name).stop()

    async def restart(self, name: str) -> None:
        """End it if it runs, start it again at the same address; returns when it is well.

        PostgreSQL keeps its data; Temporal starts empty unless the stack is durable.
        """
        await self.stop(name)
        await self._launch(name)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the service's process group: SIGSTOP stalls it, SIGCONT lets it go on."""
        self._process(name).signal(number)

    async def spawn(
        self, name: str, like: str, environment: Mapping[str, str] | None = None, *, is_awaited: bool = True
    ) -> ManagedProcess:
        """Start one more process of a kind, such as a second worker; `is_awaited`: return when it is well."""
        if name in self.processes:
            raise StackError(f"there is a process {name!r} already")
        self._kinds[name] = like
        await self._launch(name, environment, is_awaited=is_awaited)
        return self.processes[name]

    async def wait(self) -> None:
        """Wait for SIGINT or SIGTERM; raises `StackError` when a service ends by itself before that."""
        loop, asked = asyncio.get_running_loop(), asyncio.Event()
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.getsignal(number) for number in numbers}
        for number in numbers:
            loop.add_signal_handler(number, asked.set)
        try:
            while not asked.is_set():
                self.check()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asked.wait(), 0.5)
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
                signal.signal(number, before[number])

    def check(self) -> None:
        """Raise `StackError` when a service that should run has ended."""
        for name in self._wanted:
            process = self.processes[name]
            if not process.is_running:
                raise StackError(f"{name} ended with {process.returncode}:\n{process.last_words()}")

    @contextlib.asynccontextmanager
    async def _running(self, names: Sequence[str]) -> AsyncIterator[None]:
        self.journal.start()
        try:
            with self._ended_by_sigterm():
                await self._start_all(names)
                yield
        finally:
            await self._stop_all()
            await self.journal.stop()

    async def _start_all(self, names: Sequence[str]) -> None:
        well = {name: asyncio.Event() for name in names}
        for name in names:
            # Even one that never starts has a place in the order in which they are stopped.
            self._kinds[name] = name

        async def one(name: str) -> None:
            for other in self.composition.services[name].depends_on:
                await well[other].wait()
            await self._launch(name)
            well[name].set()

        try:
            async with asyncio.TaskGroup() as group:
                for name in names:
                    group.create_task(one(name))
        except* StackError as failures:
            raise failures.exceptions[0] from None

    async def _launch(
        self, name: str, environment: Mapping[str, str] | None = None, *, is_awaited: bool = True
    ) -> None:
        service = self.composition.services[self._kinds[name]]
        variables = {**child_environment(service), **self.overrides, **(environment or {})}
        process = self.processes.get(name)
        if process is None:
            process = await self._prepared(name, service, variables)
            self.processes[name] = process
            self.journal.follow(name, process.log_file)
        await process.start()
        if not is_awaited:
            self._wanted.add(name)
            return
        if service.healthcheck is None:
            await self._until_done(process)
            return
        await until_well(service, process, variables)
        if service.local.runner == "postgres":
            await _make_database(service)
        self._wanted.add(name)

    async def _prepared(self, name: str, service: Service, variables: dict[str, str]) -> ManagedProcess:
        command = [*service.entrypoint, *service.command]
        if self.is_durable:
            command += [argument.format(scratch=self.scratch) for argument in service.local.durable]
        user, death = None, signal.SIGKILL
        if service.local.runner == "postgres":
            found = await asyncio.to_thread(_prepare, self.scratch, service)
            command = server_command(found, self.scratch, command[1:])
            variables["PATH"] = f"{found.programs}{os.pathsep}{variables['PATH']}"
            user, death = found.user, signal.SIGQUIT
        elif command[0] == "python":
            command[0] = sys.executable
        else:
            command[0] = program(command[0])
        return ManagedProcess(
            name=name,
            command=command,
            environment=variables,
            directory=self.scratch if user else self.root,
            log_file=self.directory / f"{name}.log",
            user=user,
            death_signal=death,
            stop_signal=signal.Signals[service.stop_signal],
            stop_seconds=service.stop_seconds,
        )

    async def _until_done(self, process: ManagedProcess) -> None:
        if await process.wait() != 0:
            raise StackError(f"{process.name} ended with {process.returncode}:\n{process.last_words()}")

    async def _stop_all(self) -> None:
        self._wanted.clear()
        # Those that need others end first; those that nothing needs any more end together.
        remaining = dict(self.processes)
        while remaining:
            needed = {
                other
                for name in remaining
                for other in self.composition.services[self._kinds[name]].depends_on
                if other in remaining
            }
            leaves = [name for name in remaining if name not in needed]
            await asyncio.gather(*(remaining.pop(name).stop() for name in leaves))

    def _process(self, name: str) -> ManagedProcess:
        if name not in self.processes:
            raise StackError(f"no service {name!r} is running (there are: {', '.join(self.processes)})")
        return self.processes[name]

    @contextlib.contextmanager
    def _ended_by_sigterm(self) -> Iterator[None]:
        """End the stack, then this process, on SIGTERM; a handler of the caller's is left alone."""
        loop = asyncio.get_running_loop()
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            yield
            return
        ending: list[asyncio.Task[None]] = []

        async def end() -> None:
            await self._stop_all()
            self.journal.drain()
            loop.remove_signal_handler(signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)

        try:
            loop.add_signal_handler(signal.SIGTERM, lambda: ending.append(loop.create_task(end())))
        except (RuntimeError, ValueError):
            # Not the main thread: signals are somebody else's business.
            yield
            return
        try:
            yield
        finally:
            loop.remove_signal_handler(signal.SIGTERM)


def _prepare(scratch: Path, service: Service) -> Installation:
    return prepare(
        scratch, user=service.environment["POSTGRES_USER"], password=service.environment["POSTGRES_PASSWORD"]
    )


async def _make_database(service: Service) -> None:
    given = service.environment
    address = f"{given['POSTGRES_USER']}:{given['POSTGRES_PASSWORD']}@127.0.0.1:{service.host_ports[0]}"
    await ensure_database(f"postgresql://{address}/postgres", given["POSTGRES_DB"])
