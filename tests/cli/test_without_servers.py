"""What commands say when servers are away, and how they find their account."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dunning.cli.session import chosen_account
from dunning.errors import ConfigurationError
from dunning.settings import Settings
from tests.cli.conftest import Dunning

ACCOUNT = {"provider": "dodo", "mode": "test", "api_key": "dodo_test_x", "merchant_name": "Kopi"}


@pytest.fixture(autouse=True)
def _nobody_listens(monkeypatch: pytest.MonkeyPatch, free_port: int) -> None:
    monkeypatch.setenv("DUNNING_LEDGER_URL", f"postgresql://nobody@127.0.0.1:{free_port}/none")
    monkeypatch.setenv("TEMPORAL_ADDRESS", f"127.0.0.1:{free_port}")
    monkeypatch.setenv("DUNNING_GATEWAY_URL", f"http://127.0.0.1:{free_port}")
    monkeypatch.delenv("DUNNING_ACCOUNTS_FILE", raising=False)


@pytest.mark.parametrize(
    "arguments",
    [("show", "sub-1"), ("list",), ("attempts", "sub-1"), ("pause", "sub-1"), ("clock", "now", "sub-1")],
    ids=" ".join,
)
def test_a_server_that_is_away_ends_with_4_and_a_sentence(dunning: Dunning, arguments: tuple[str, ...]) -> None:
    done = dunning(*arguments)
    assert done.exit_code == 4
    assert "reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_names_every_server_that_is_away_and_what_to_do(dunning: Dunning) -> None:
    done = dunning("doctor")
    assert done.exit_code == 4
    told = [line.split(":")[0].split() for line in done.stdout.splitlines() if not line.startswith(" ")]
    verdicts = {" ".join(words[1:]): words[0] for words in told}
    assert verdicts == {"settings": "ok", "Temporal": "away", "ledger": "away", "accounts": "fault", "gateway": "away"}
    assert "DUNNING_ACCOUNTS_FILE" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("defer", "sub-1", "366"), "days"),
        (("charge", "sub-1", "0"), "amount"),
        (("charge", "sub-1", "100", "--metadata", "{"), "--metadata"),
        (("pause", "sub-1", "--until", "2026-05-01T00:00:00"), "until"),
        (("set-policy", "sub-1", "--ladder-days", "10,3"), "retry.ladder_days.1"),
        (("set-policy", "sub-1", "--ladder-days", "many"), "--ladder-days"),
        (("set-policy", "sub-1", "--every-days", "3"), "retry.total"),
        (("cancel", "sub-1", "--id", "no spaces"), "command_id"),
        (("change-items", "sub-1", "--base", "a b"), "items.0.product_id"),
        (("change-items", "sub-1", "--base", "pro", "--period", "monthly"), "items.0.period"),
        (("play", "refund", "no/order"), "ORDER"),
        (("play", "migrate", "show", "a b"), "NAME"),
        (("play", "migrate", "start", "may", "nowhere.json", "--regions-version", "2022/02"), "COHORTS"),
        (("clock", "advance", "sub-1", "17"), "BY"),
        (("clock", "advance", "sub-1"), "BY"),
        (("clock", "advance", "sub-1", "--until", "2026-05-01"), "--until"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_command_that_cannot_be_meant_is_refused_before_any_server_is_asked(
    dunning: Dunning, arguments: tuple[str, ...], field: str
) -> None:
    done = dunning(*arguments)
    assert done.exit_code == 2
    assert field in done.stderr


def test_a_file_of_cohorts_is_checked_whole_before_anything_is_moved(dunning: Dunning, tmp_path: Path) -> None:
    file = tmp_path / "cohorts.json"
    rows = [
        {"product_id": "pro", "base_plan_id": "monthly", "region_code": "us", "oldest_allowed_at": "2026-06-01"},
        {"product_id": "pro", "base_plan_id": "monthly", "region_code": "US", "oldest_allowed_at": "2026-06-01T00:00"},
    ]
    file.write_text(json.dumps(rows), encoding="utf-8")
    done = dunning("play", "migrate", "start", "may", file, "--regions-version", "2022/02")
    assert done.exit_code == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "0.region_code",
        "0.oldest_allowed_at",
        "1.oldest_allowed_at",
    ]


def test_start_lists_the_faults_of_all_files_and_starts_nothing(dunning: Dunning, file_of: Callable[..., Path]) -> None:
    files = [file_of("a.json", currency="idr"), file_of("good.json"), file_of("b.json", provider="paypal")]
    done = dunning("start", *files)
    assert done.exit_code == 2
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [
        "a.json",
        "b.json",
        "2 faults; nothing has been started",
    ]


def test_a_method_that_has_expired_by_now_is_a_fault_at_start_alone(
    dunning: Dunning, file_of: Callable[..., Path]
) -> None:
    file = file_of(payment_methods=[{"token": "pm_1", "authorized_at": "2020-03-05T13:10:00Z", "expires": "2020-12"}])
    done = dunning("start", file)
    assert done.exit_code == 2
    assert "payment_methods" in done.stderr


def test_clocks_of_servers_elsewhere_are_never_moved(dunning: Dunning, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPORAL_ADDRESS", "temporal.example.com:7233")
    done = dunning("clock", "advance", "sub-1", "17d")
    assert done.exit_code == 2
    assert "development server" in done.stderr


def test_the_account_is_the_one_given_else_demo_else_the_only_one() -> None:
    def of(*names: str) -> Settings:
        return Settings(accounts=dict.fromkeys(names, ACCOUNT))

    assert chosen_account(of("a", "b"), "b") == "b"
    assert chosen_account(of("a", "demo"), None) == "demo"
    assert chosen_account(of("a"), None) == "a"
    with pytest.raises(ConfigurationError, match="a, b"):
        chosen_account(of("a", "b"), None)
    with pytest.raises(ConfigurationError, match="'c'"):
        chosen_account(of("a", "b"), "c")
