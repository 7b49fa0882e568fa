"""Every command as a process of its own against the real stack, started by `dunning dev`. SPEC 16, 17."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.server

PROGRAM = [sys.executable, "-c", "from dunning.cli import main; main()"]
ROOT = Path(__file__).parents[2]
FIRST = (ROOT / "examples" / "first.yml").read_text(encoding="utf-8")

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """What `dunning dev --free-ports` says to export; Ctrl-C ends it with 0."""
    dev = subprocess.Popen([*PROGRAM, "dev", "--free-ports"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert dev.stdout is not None
    exported: dict[str, str] = {}
    for line in dev.stdout:
        found = re.match(r"\s+export (\w+)='(.*)'", line)
        if found:
            exported[found[1]] = found[2]
        if "Ctrl-C" in line:
            break
    try:
        assert exported, f"dev ended with {dev.poll()}"
        yield {**os.environ, **exported}
    finally:
        dev.send_signal(signal.SIGINT)
        assert dev.wait(60) == 0


@pytest.fixture
def dunning(environment: dict[str, str]) -> Run:
    def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        words = [*PROGRAM, *(str(one) for one in arguments)]
        done = subprocess.run(
            words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done

    return run


@pytest.fixture
def started(dunning: Run, tmp_path: Path) -> Callable[[str], Path]:
    """`started("name")` starts the first example under another id, on a test clock."""

    def start(name: str) -> Path:
        file = tmp_path / f"{name}.yml"
        file.write_text(FIRST.replace("id: first", f"id: {name}").replace("_first", f"_{name}"), encoding="utf-8")
        assert json.loads(dunning("start", file, "--test-clock", "--json").stdout)[0]["status"] == "started"
        return file

    return start


def read(done: subprocess.CompletedProcess[str]) -> Any:
    return json.loads(done.stdout)


def test_doctor_finds_the_stack_well(dunning: Run) -> None:
    findings = read(dunning("doctor", "--json"))
    assert {f["verdict"] for f in findings} <= {"ok", "warning"}
    assert {"Temporal", "search attributes", "workers", "ledger", "gateway", "account demo"} <= {
        f["what"] for f in findings
    }


def test_starting_again_changes_nothing_and_other_terms_are_refused(
    dunning: Run, started: Callable[[str], Path]
) -> None:
    file = started("again")
    assert read(dunning("start", file, "--json"))[0]["status"] == "exists"
    file.write_text(file.read_text().replace("29900", "39900"))
    assert "other terms" in dunning("start", file, code=1).stderr


def test_a_subscription_is_moved_through_its_future_as_foretold(dunning: Run, started: Callable[[str], Path]) -> None:
    file = started("moved")
    moved = read(dunning("clock", "advance", "moved", "1d", "--json"))
    assert moved["status"] == "past_due"
    told = read(dunning("explain", "moved", "--json"))
    assert told["next"]["reason"] == "day 3 of the ladder"
    assert any("INSUFFICIENT_FUNDS, class SOFT" in line for line in told["obligations"][0]["reasons"])
    assert read(dunning("clock", "advance", "moved", "5d", "--json"))["status"] == "active"

    attempts = read(dunning("attempts", "moved", "--json"))
    foretold = read(dunning("preview", file, "--cycles", 1, "--json"))["cycles"][0]["attempts"]
    assert [(a["number"], a["trigger"]) for a in attempts] == [(a["number"], a["trigger"]) for a in foretold]
    # The sandbox's WhatsApp says through the gateway's door that its messages arrived.
    told = {(n["channel"], n["status"]) for n in read(dunning("notices", "moved", "--json"))}
    assert told == {("EMAIL", "sent"), ("WHATSAPP", "delivered")}
    assert "payment.succeeded" in {e["type"] for e in read(dunning("events", "moved", "--json"))}


@pytest.mark.parametrize(("provider", "due"), [("omise", "1d"), ("xendit", "2d")])
def test_a_subscription_at_another_provider_is_recovered_as_foretold(dunning: Run, provider: str, due: str) -> None:
    file, name = ROOT / "examples" / f"{provider}.yml", f"{provider}-first"

    def advance(span: str) -> str:
        return str(read(dunning("clock", "advance", name, span, "--account", provider, "--json"))["status"])

    assert read(dunning("start", file, "--test-clock", "--json"))[0]["status"] == "started"
    assert advance(due) == "past_due"
    assert advance("5d") == "active"
    attempts = read(dunning("attempts", name, "--account", provider, "--json"))
    foretold = read(dunning("preview", file, "--cycles", 1, "--json"))["cycles"][0]["attempts"]
    assert [(a["number"], a["trigger"]) for a in attempts] == [(a["number"], a["trigger"]) for a in foretold]
    assert len(attempts) == 2


def test_a_plan_that_xendit_runs_is_followed_as_foretold(dunning: Run) -> None:
    file, account = ROOT / "examples" / "xendit-plan.yml", ("--account", "xendit")
    assert read(dunning("start", file, "--test-clock", "--json"))[0]["status"] == "started"
    dunning("clock", "advance", "xendit-plan", "60d", *account)
    attempts = read(dunning("attempts", "xendit-plan", *account, "--json"))
    foretold = read(dunning("preview", file, "--cycles", 2, "--json"))["cycles"]
    wanted = [(a["number"], a["trigger"], a["outcome"]) for cycle in foretold for a in cycle["attempts"]]
    assert [(a["number"], a["trigger"]) for a in attempts] == [(number, trigger) for number, trigger, _ in wanted]
    assert [trigger for _, trigger, _ in wanted] == ["due", "due", "provider"]


def test_commands_are_done_or_refused_and_an_id_gives_its_first_result(
    dunning: Run, started: Callable[[str], Path]
) -> None:
    started("steered")
    done = read(dunning("pause", "steered", "--id", "support-1", "--json"))
    assert done["status"] == "done"
    assert read(dunning("pause", "steered", "--id", "support-1", "--json")) == done
    assert "paused already" in dunning("pause", "steered", code=1).stdout
    dunning("resume", "steered")
    dunning("defer", "steered", 5)
    dunning("skip-cycle", "steered")
    dunning("set-policy", "steered", "--ladder-days", "2,4", "--grace-days", "3")
    dunning("update-payment-method", "steered", "pm_steered")
    assert read(dunning("charge", "steered", 5000, "--json"))["detail"]["obligation"].startswith("od-cli-charge-")
    dunning("retry-now", "steered")  # the charge was declined: the script's first word
    for refused in ("restore", "retry-now", "mark-fixed", "reinstate"):
        assert "refused" in dunning(refused, "steered", code=1).stdout
    dunning("cancel", "steered")
    assert read(dunning("show", "steered", "--json"))["status"] in ("canceled", "inactive")


def test_the_customers_own_page_is_linked_where_the_provider_has_one(
    dunning: Run, started: Callable[[str], Path]
) -> None:
    started("visitor")
    assert read(dunning("portal", "visitor", "--json"))["url"].startswith("http")
    dunning("portal", "nobody", code=3)


def test_what_is_not_there_ends_with_3(dunning: Run) -> None:
    for arguments in (("show", "nobody"), ("attempts", "nobody"), ("pause", "nobody"), ("clock", "now", "nobody")):
        dunning(*arguments, code=3)


def test_lists_are_by_status_and_the_same_from_the_ledger(dunning: Run, started: Callable[[str], Path]) -> None:
    started("listed")
    dunning("show", "listed")
    stored = read(dunning("list", "--ledger", "--status", "active", "--json"))
    assert "listed" in {row["id"] for row in stored}
    listed = read(dunning("list", "--status", "active", "--json"))
    assert {row["status"] for row in listed} <= {"active"}


def test_migrating_a_current_ledger_changes_nothing(dunning: Run) -> None:
    assert "already" in dunning("ledger", "migrate").stdout
