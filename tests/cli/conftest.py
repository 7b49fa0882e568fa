"""The command, run in this process; and files for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from dunning.cli.app import app
from tests.builders import CREATED, subscription_data

Dunning = Callable[..., Result]
Foretell = Callable[..., dict[str, Any]]


@pytest.fixture
def dunning() -> Dunning:
    """`dunning("preview", file)` runs the command; its result has `exit_code`, `stdout` and `stderr`."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(one) for one in arguments])

    return run


@pytest.fixture
def file_of(tmp_path: Path) -> Callable[..., Path]:
    """`file_of(retry=...)` writes the usual monthly subscription, with changes, as JSON."""

    def write(name: str = "one.json", **changes: Any) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(subscription_data(created_at=CREATED, **changes)), encoding="utf-8")
        return path

    return write


@pytest.fixture
def foretell(dunning: Dunning, file_of: Callable[..., Path]) -> Foretell:
    """`foretell("INSUFFICIENT_FUNDS", ..., cycles=1, retry=...)` gives what `preview --json` prints."""

    def run(*outcomes: str, cycles: int = 1, **changes: Any) -> dict[str, Any]:
        options = ["--cycles", cycles, "--json"]
        if outcomes:
            options += ["--outcomes", ",".join(outcomes)]
        done = dunning("preview", file_of(**changes), *options)
        assert done.exit_code == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    return run
