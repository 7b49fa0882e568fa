"""`dunning preview`: its JSON, its files, its refusals. It needs no server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.builders import CREATED, subscription_data
from tests.cli.conftest import Dunning, Foretell

SHORT = "INSUFFICIENT_FUNDS"
EXAMPLES = Path(__file__).parents[2] / "examples"
OF_SUBSCRIPTIONS = [EXAMPLES / "first.yml", EXAMPLES / "monthly.yml", EXAMPLES / "weekly-on-hold.json"]


def test_the_json_has_exactly_the_fields_of_the_specification(foretell: Foretell) -> None:
    told = foretell(SHORT, "SUCCEEDED")
    assert list(told) == ["cycles", "on_demand", "dropped_rungs", "warnings", "final_status"]
    cycle = told["cycles"][0]
    assert list(cycle) == ["number", "due_at", "amount", "currency", "status", "attempts", "notices"]
    assert cycle["attempts"][1] == {
        "number": 2,
        "planned_at": "2026-03-08T13:10:00Z",
        "at": "2026-03-08T13:10:00Z",
        "local_at": "2026-03-08T13:10:00+00:00",
        "trigger": "ladder",
        "rung": 1,
        "method": "pm_1",
        "outcome": "SUCCEEDED",
        "class": None,
        "reason": "day 3 of the ladder",
    }
    assert [list(n) for n in cycle["notices"]] == [["occasion", "channel", "at", "reason"]] * 2
    assert [(n["occasion"], n["at"]) for n in cycle["notices"]] == [
        ("failed", "2026-03-05T13:10:00Z"),
        ("recovered", "2026-03-08T13:10:00Z"),
    ]


def test_each_channel_is_one_notice_and_a_channel_that_reaches_nobody_is_none(foretell: Foretell) -> None:
    both = {"failed": ["WHATSAPP", "EMAIL"]}
    told = foretell(SHORT, "SUCCEEDED", notifications=both)
    assert [n["channel"] for n in told["cycles"][0]["notices"]] == ["WHATSAPP", "EMAIL"]
    refused = {"id": "c", "email": "a@example.com", "phone": "+6281234567890", "opt_in": {"EMAIL": True}}
    told = foretell(SHORT, "SUCCEEDED", notifications=both, customer=refused)
    assert [n["channel"] for n in told["cycles"][0]["notices"]] == ["EMAIL"]
    assert any("WHATSAPP" in warning for warning in told["warnings"])


def test_without_outcomes_the_files_script_decides(foretell: Foretell) -> None:
    told = foretell(script={"outcomes": ["PENDING/2h/SUCCEEDED"]})
    assert [a["outcome"] for a in told["cycles"][0]["attempts"]] == ["SUCCEEDED"]
    assert foretell(script={"outcomes": [SHORT]})["cycles"][0]["attempts"][0]["outcome"] == SHORT


def test_a_payment_whose_answer_never_came_is_found_and_charged_once(foretell: Foretell) -> None:
    attempts = foretell("TIMEOUT_COMMITTED")["cycles"][0]["attempts"]
    assert [a["outcome"] for a in attempts] == ["SUCCEEDED"]


def test_a_mandate_that_is_never_completed_leaves_no_cycle(foretell: Foretell) -> None:
    told = foretell(
        payment_methods=[], provider_options={"country": "ID", "product_id": "pdt_1"}, script={"mandate": "never"}
    )
    assert told["cycles"] == []
    assert told["final_status"] == "failed"


def test_cycles_are_twelve_unless_said_and_until_counts_the_whole_day(
    dunning: Dunning, file_of: Callable[..., Path]
) -> None:
    file = file_of()
    assert len(json.loads(dunning("preview", file, "--json").stdout)["cycles"]) == 12
    told = json.loads(dunning("preview", file, "--until", "2026-05-05", "--json").stdout)
    assert [c["due_at"] for c in told["cycles"]] == [
        "2026-03-05T13:10:00Z", "2026-04-05T13:10:00Z", "2026-05-05T13:10:00Z",
    ]  # fmt: skip
    told = json.loads(dunning("preview", file, "--until", "2026-05-05T13:09:59Z", "--json").stdout)
    assert len(told["cycles"]) == 2


def test_json_yaml_and_csv_foretell_the_same(dunning: Dunning, tmp_path: Path) -> None:
    data = subscription_data(created_at=CREATED)
    (tmp_path / "one.json").write_text(json.dumps(data))
    # dumped without quotes where YAML allows it: instants must stay text all the same
    (tmp_path / "one.yml").write_text(yaml.safe_dump(data).replace("'2026", "2026").replace("00:00'", "00:00"))
    cells = {key: value if isinstance(value, str) else json.dumps(value) for key, value in data.items()}
    quoted = ('"' + cell.replace('"', '""') + '"' for cell in cells.values())
    (tmp_path / "one.csv").write_text(",".join(cells) + "\n" + ",".join(quoted) + "\n")
    told = [
        dunning("preview", tmp_path / f"one.{kind}", "--outcomes", SHORT, "--cycles", 2, "--json")
        for kind in ("json", "yml", "csv")
    ]
    assert [t.exit_code for t in told] == [0, 0, 0], [t.stderr for t in told]
    assert len({t.stdout for t in told}) == 1


def test_a_file_of_several_is_told_by_id_and_one_can_be_chosen(dunning: Dunning, tmp_path: Path) -> None:
    file = tmp_path / "two.jsonl"
    both = [subscription_data(id=name, created_at=CREATED) for name in ("a", "b")]
    file.write_text("\n".join(json.dumps(one) for one in both))
    told = json.loads(dunning("preview", file, "--cycles", 1, "--json").stdout)
    assert [(one["id"], len(one["preview"]["cycles"])) for one in told] == [("a", 1), ("b", 1)]
    assert "cycles" in json.loads(dunning("preview", file, "--id", "b", "--json").stdout)
    assert dunning("preview", file, "--id", "c").exit_code == 3


def test_tables_show_instants_reasons_and_the_end(dunning: Dunning, file_of: Callable[..., Path]) -> None:
    done = dunning("preview", file_of(), "--cycles", 1, "--outcomes", SHORT)
    assert done.exit_code == 0
    for words in ("2026-03-08 13:10:00", "day 3 of the ladder", "INSUFFICIENT_FUNDS (SOFT)", "sub-1 ends active."):
        assert words in done.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--outcomes", "SUCCEEDED/x"], "--outcomes"),
        (["--until", "soon"], "--until"),
        (["--until", "2026-05-05T00:00:00"], "offset"),
        (["--until", "2026-05-05", "--cycles", "2"], "--cycles"),
        (["--cycles", "0"], "--cycles"),
    ],
)
def test_options_that_cannot_be_read_are_bad_input(
    dunning: Dunning, file_of: Callable[..., Path], options: list[str], words: str
) -> None:
    done = dunning("preview", file_of(), *options)
    assert done.exit_code == 2
    assert words in done.stderr


def test_every_fault_of_a_file_is_listed_with_line_field_rule_and_value(dunning: Dunning, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    bad: dict[str, Any] = subscription_data(currency="idr", grace_days=31)
    file.write_text(json.dumps(subscription_data(id="good")) + "\n" + json.dumps(bad))
    done = dunning("preview", file)
    assert done.exit_code == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["bad.jsonl:2"] * 2
    assert any("currency" in line and "'idr'" in line for line in lines)
    assert any("grace_days" in line and "31" in line for line in lines)


@pytest.mark.parametrize("name", ["missing.json", "missing.yml", "what.txt"])
def test_a_file_that_cannot_be_read_is_bad_input(dunning: Dunning, tmp_path: Path, name: str) -> None:
    done = dunning("preview", tmp_path / name)
    assert done.exit_code == 2
    assert name in done.stderr


@pytest.mark.parametrize("file", OF_SUBSCRIPTIONS, ids=lambda path: path.name)
def test_the_examples_can_be_previewed(dunning: Dunning, file: Path) -> None:
    done = dunning("preview", file, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["cycles"]


def test_a_process_of_its_own_foretells_without_loading_temporal_or_a_database(file_of: Callable[..., Path]) -> None:
    program = (
        "import sys; from dunning.cli.app import app\n"
        "try: app()\n"
        "except SystemExit as end: print({'temporalio', 'sqlalchemy'} & set(sys.modules), end.code, file=sys.stderr)"
    )
    arguments = [sys.executable, "-c", program, "preview", str(file_of()), "--cycles", "1", "--json"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == "set() 0\n"
    assert json.loads(done.stdout)["final_status"] == "active"


def test_main_ends_the_process_with_the_commands_code(file_of: Callable[..., Path]) -> None:
    program = "from dunning.cli import main; main()"
    arguments = [sys.executable, "-c", program, "preview", str(file_of()), "--until", "never"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "--until" in done.stderr
