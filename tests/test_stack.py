"""The embedded stack: services get well, are killed and restarted, and never outlive their parent. SPEC 17."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psycopg
import pytest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from dunning.errors import StackError
from dunning.stack import Stack
from dunning.stack.places import private_directory

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parents[1]
# A well web server, one that depends on it and refuses to end politely, and a job that must be done first.
SMALL = """
services:
  job:
    command: [python, -c, "print('job done')"]
  web:
    command: [python, -m, http.server, "${WEB_PORT:-8000}", --bind, 127.0.0.1]
    ports: ["127.0.0.1:${WEB_PORT:-8000}:${WEB_PORT:-8000}"]
    depends_on: {job: {condition: service_completed_successfully}}
    healthcheck:
      test: [CMD, python, -m, dunning.stack.probe, "http://127.0.0.1:${WEB_PORT:-8000}/"]
      start_interval: 50ms
      start_period: 20s
  stubborn:
    command:
      - python
      - -c
      - |
        import http.server, signal
        signal.signal(signal.SIGTERM, lambda *_: print("no", flush=True))
        http.server.HTTPServer(("127.0.0.1", ${OTHER_PORT:-8001}), http.server.SimpleHTTPRequestHandler).serve_forever()
    depends_on: [web]
    healthcheck:
      test: [CMD, python, -m, dunning.stack.probe, "http://127.0.0.1:${OTHER_PORT:-8001}/"]
      start_interval: 50ms
      start_period: 20s
    stop_grace_period: 200ms
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.yml"
    file.write_text(SMALL)
    return file


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return int(answer.status)


async def test_services_are_well_inside_the_block_and_gone_after_it() -> None:
    async with Stack.start(["postgres", "mail", "sandbox"]) as stack:
        pids = [process.pid for process in stack.processes.values()]
        async with await psycopg.AsyncConnection.connect(stack.env["DUNNING_LEDGER_URL"]) as connection:
            assert await (await connection.execute("select current_database()")).fetchone() == ("dunning",)
        for name in ("sandbox", "mail"):
            assert await asyncio.to_thread(get, f"{stack.urls[name]}/healthz") == 200
        assert all(is_running(pid) for pid in pids)

    assert len(pids) == 3
    assert not any(is_running(pid) for pid in pids)


async def test_the_whole_stack_gets_well_and_a_worker_more_can_join() -> None:
    async with Stack.start() as stack:
        assert set(stack.processes) == set(stack.composition.services)
        stack.check()
        assert await asyncio.to_thread(get, f"{stack.urls['gateway']}/readyz") == 200
        assert await asyncio.to_thread(get, stack.urls["temporal_ui"]) == 200

        await stack.kill("worker")
        second = await stack.spawn("worker2", like="worker")
        assert second.is_running
        assert not stack.processes["worker"].is_running
        said = [json.loads(line) for line in second.last_words().splitlines()]

    assert "worker.started" in [line["event"] for line in said]


async def test_two_stacks_run_side_by_side_with_apart_ledgers() -> None:
    async with Stack.start(["postgres"]) as one, Stack.start(["postgres"]) as other:
        async with await psycopg.AsyncConnection.connect(one.urls["ledger"], autocommit=True) as connection:
            await connection.execute("create table t (n int)")
        async with await psycopg.AsyncConnection.connect(other.urls["ledger"]) as connection:
            assert await (await connection.execute("select to_regclass('t')")).fetchone() == (None,)


async def test_a_killed_ledger_comes_back_at_its_address_with_its_data() -> None:
    async with Stack.start(["postgres"]) as stack:
        url = stack.urls["ledger"]
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("create table t as select 7 as n")

        await stack.kill("postgres")
        with pytest.raises(psycopg.OperationalError):
            await psycopg.AsyncConnection.connect(url)
        await stack.restart("postgres")

        async with await psycopg.AsyncConnection.connect(url) as connection:
            assert await (await connection.execute("select n from t")).fetchone() == (7,)


async def test_a_durable_temporal_finds_its_workflows_again_after_a_kill() -> None:
    async with Stack.start(["temporal"], durable=True) as stack:
        client = await Client.connect(stack.urls["temporal"])
        status = SearchAttributePair(SearchAttributeKey.for_keyword("DunningStatus"), "active")
        handle = await client.start_workflow(
            "NobodyRunsThis", id="kept", task_queue="nobody", search_attributes=TypedSearchAttributes([status])
        )

        await stack.kill("temporal")
        await stack.restart("temporal")

        found = await (await Client.connect(stack.urls["temporal"])).get_workflow_handle("kept").describe()
        assert found.run_id == handle.first_execution_run_id
        assert found.typed_search_attributes[status.key] == "active"


async def test_dependencies_come_along_and_a_job_is_done_first(small: Path) -> None:
    async with Stack.start(["web"], file=small) as stack:
        assert list(stack.processes) == ["job", "web"]
        assert stack.processes["job"].returncode == 0
        assert stack.processes["job"].last_words() == "job done"


async def test_one_that_does_not_end_politely_is_killed(small: Path) -> None:
    async with Stack.start(file=small) as stack:
        stubborn, web = stack.processes["stubborn"], stack.processes["web"]

    assert stubborn.returncode == -signal.SIGKILL
    assert web.returncode == -signal.SIGTERM


async def test_all_lines_come_together_in_one_log(small: Path, tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []
    async with Stack.start(
        ["job"], file=small, directory=tmp_path, on_log=lambda entry: heard.append((entry["service"], entry["event"]))
    ) as stack:
        log_file = stack.log_file

    assert heard == [("job", "job done")]
    assert [json.loads(line)["event"] for line in log_file.read_text().splitlines()] == ["job done"]


async def test_a_second_process_of_a_kind_gets_its_own_environment_and_log(small: Path) -> None:
    async with Stack.start(["job"], file=small) as stack:
        second = await stack.spawn("job2", like="job")

        assert second.returncode == 0
        assert second.log_file != stack.processes["job"].log_file
        with pytest.raises(StackError, match="already"):
            await stack.spawn("job2", like="job")


async def test_a_service_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    file = tmp_path / "broken.yml"
    file.write_text(
        """
services:
  well: {command: [python, -c, "import signal; signal.pause()"], healthcheck: {test: [CMD, python, -c, ""]}}
  broken:
    command: [python, -c, "raise SystemExit('no credentials')"]
    depends_on: [well]
"""
    )
    with pytest.raises(StackError, match="broken ended with 1:\nno credentials"):
        async with Stack.start(file=file, directory=tmp_path):
            pass

    # `well` had started by then; its log names no survivor because its process group is gone.
    assert (tmp_path / "well.log").exists()
    assert not _processes_with(str(tmp_path))


async def test_a_service_that_never_gets_well_is_given_up(tmp_path: Path) -> None:
    file = tmp_path / "deaf.yml"
    file.write_text(
        """
services:
  deaf:
    command: [python, -c, "import signal; signal.pause()"]
    healthcheck: {test: [CMD, python, -c, raise SystemExit(1)], interval: 100ms, retries: 2, start_interval: 50ms}
"""
    )
    with pytest.raises(StackError, match="deaf was not well after"):
        async with Stack.start(file=file):
            pass


async def test_a_death_while_running_is_noticed(small: Path) -> None:
    async with Stack.start(["web"], file=small) as stack:
        stack.check()
        os.kill(stack.processes["web"].pid, signal.SIGKILL)
        await stack.processes["web"].wait()

        with pytest.raises(StackError, match="web ended with -9"):
            stack.check()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux promises a signal at the parent's death")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_outlives_the_parent_however_it_ends(small: Path, tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.stack_parent", str(small), str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pids: dict[str, int] = json.loads(parent.stdout.readline())
        watches = {name: os.pidfd_open(pid) for name, pid in pids.items() if name != "job"}
        assert set(watches) == {"web", "stubborn"}

        parent.send_signal(number)

        try:
            assert parent.wait(20) == (-number if number is not signal.SIGINT else parent.returncode)
        finally:
            parent.kill()
        for name, watch in watches.items():
            assert select.select([watch], [], [], 10)[0], f"{name} outlived its parent"
            os.close(watch)


def test_what_killed_processes_left_behind_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, alive = tmp_path / f"x-{gone.pid}-abc", tmp_path / f"x-{os.getpid()}-abc"
    left.mkdir()
    alive.mkdir()

    with private_directory("x-") as mine:
        assert not left.exists()
        assert alive.exists()
    assert not mine.exists()


@pytest.mark.parametrize(("path", "status"), [("", 0), ("/nowhere", 1)])
async def test_the_probe_tells_by_its_exit_status(small: Path, path: str, status: int) -> None:
    async with Stack.start(["web"], file=small) as stack:
        port = stack.composition.services["web"].host_ports[0]
        probe = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "dunning.stack.probe", f"http://127.0.0.1:{port}{path}", cwd=ROOT
        )

        assert await probe.wait() == status


def _processes_with(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and "pytest" not in command:
            found.append(command)
    return found
