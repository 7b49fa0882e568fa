"""Schemathesis over the whole description, against the real gateway, ledger, Temporal and worker: no failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from dunning.gateway.api.examples import SUBSCRIPTION
from dunning.stack import Stack

pytestmark = [pytest.mark.server, pytest.mark.beside]

HERE = Path(__file__).parent
EXAMPLES = 3
"""Drawn for each operation, besides its own examples and the edges of every field."""
WORKERS = 1
"""CPython 3.11 cannot parse source text in two threads at once without failing now and then, and Hypothesis parses."""


def test_schemathesis_finds_nothing_wrong(stack: Stack, api_key: str, tmp_path: Path) -> None:
    url = stack.env["DUNNING_GATEWAY_URL"]
    authorization = {"Authorization": f"Bearer {api_key}"}
    httpx.post(f"{url}/v1/subscriptions", json=SUBSCRIPTION, headers=authorization, timeout=30).raise_for_status()
    words = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"),
        "run", f"{url}/openapi.json", "--header", f"Authorization: {authorization['Authorization']}",
        "--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", "1",
        "--workers", str(WORKERS), "--suppress-health-check", "all", "--warnings", "off", "--no-color",
    ]  # fmt: skip
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "schemathesis_hooks.py")}
    done = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    counted = re.search(r"(\d+) generated, (\d+) passed", done.stdout)
    assert counted is not None, done.stdout[-2000:]
    assert int(counted[1]) > 500
    operations = re.search(r"Tested: (\d+)", done.stdout)
    assert operations is not None
    described = httpx.get(f"{url}/openapi.json").json()
    assert int(operations[1]) == sum(len(path) for path in described["paths"].values())
