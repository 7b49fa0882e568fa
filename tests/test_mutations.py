"""The guards of charging once are held by tests: take one out, and the suite turns red. SPEC 20.

Each mutation is made in a copy of the sources, never in the tree; the tests run in a process of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = [pytest.mark.server, pytest.mark.beside]
ROOT = Path(__file__).parents[1]
TESTS = (
    "tests/ledger/test_claims.py::test_an_ended_lease_that_sent_is_unknown_and_never_a_claim",
    "tests/ledger/test_claims.py::test_an_owner_whose_lease_ended_sends_nothing",
    "tests/ledger/test_claims.py::test_of_two_different_settlements_at_one_moment_one_is_recorded_and_both_return_it",
    "tests/ledger/test_limits.py::test_an_account_has_so_many_charges_in_flight_and_no_more",
    "tests/charging/test_charging.py::test_a_charge_whose_answer_is_lost_is_unknown_and_found_by_look_up",
    "tests/charging/test_stalled.py::test_who_wakes_after_its_attempt_was_closed_as_absent_adds_no_second_charge",
)


@dataclass(frozen=True)
class Mutation:
    """One guard taken out, and the tests that must notice."""

    name: str
    file: str
    old: str
    new: str
    noticed_by: tuple[str, ...]


MUTATIONS = (
    Mutation(
        "an unclear charge is sent again without a look-up",
        "ledger/attempts.py",
        "    if not resending.is_allowed:\n        return False\n",
        "    if not resending.is_allowed:\n        return True\n",
        (
            "test_an_ended_lease_that_sent_is_unknown_and_never_a_claim",
            "test_a_charge_whose_answer_is_lost_is_unknown_and_found_by_look_up",
        ),
    ),
    Mutation(
        "the lease is not checked before the first byte",
        "ledger/attempts.py",
        "        attempts.c.lease_until > func.clock_timestamp(),\n    )\n    .values(",
        "    )\n    .values(",
        ("test_an_owner_whose_lease_ended_sends_nothing",),
    ),
    Mutation(
        "the lease is not checked where the bytes leave",
        "providers/http.py",
        "and is_leaving and not still_holds():",
        "and is_leaving and not True:",
        ("test_who_wakes_after_its_attempt_was_closed_as_absent_adds_no_second_charge",),
    ),
    Mutation(
        "an attempt's row is not locked",
        "ledger/attempts.py",
        "_LOCKED = Statement(_ROW.with_for_update())",
        "_LOCKED = Statement(_ROW)",
        ("test_of_two_different_settlements_at_one_moment_one_is_recorded_and_both_return_it",),
    ),
    Mutation(
        "an account's gate is not locked",
        "ledger/limits.py",
        "_ACCOUNT_GATE(new_account=account,",
        # Everybody locks a row of his own.
        '_ACCOUNT_GATE(new_account=f"{account} {datetime.now()}",',
        ("test_an_account_has_so_many_charges_in_flight_and_no_more",),
    ),
)


def copied(to: Path) -> Path:
    """A copy of the sources."""
    shutil.copytree(ROOT / "src", to / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return to / "src"


def failures(source: Path) -> tuple[int, set[str], str]:
    """Run the chosen tests over a copy: exit code, names of failed tests, what was printed."""
    command = [sys.executable, "-m", "pytest", "-q", "-rf", "--tb=line", "-p", "no:cacheprovider", *TESTS]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(source), str(ROOT)))}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    failed = set(re.findall(r"^FAILED \S+::(\w+)", done.stdout, flags=re.MULTILINE))
    return done.returncode, failed, done.stdout + done.stderr


def test_the_copy_is_what_is_tested(tmp_path: Path) -> None:
    source = copied(tmp_path)
    found = subprocess.run(
        [sys.executable, "-c", "import dunning.ledger; print(dunning.ledger.__file__)"],
        env={**os.environ, "PYTHONPATH": str(source)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(found.stdout.strip()).is_relative_to(source)


def test_sources_without_a_mutation_pass(tmp_path: Path) -> None:
    code, failed, told = failures(copied(tmp_path))
    assert (code, failed) == (0, set()), told
    assert re.search(r"[1-9]\d* passed", told)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)
def test_a_guard_that_is_taken_out_is_noticed(tmp_path: Path, mutation: Mutation) -> None:
    source = copied(tmp_path)
    file = source / "dunning" / mutation.file
    text = file.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, "the guard is not where it was: bring this mutation up to date"
    file.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    code, failed, told = failures(source)
    assert code == 1, told
    assert failed == set(mutation.noticed_by), told
