"""The page for backend engineers says the truth: its commands are run in their order, with ids of this run's own."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from pathlib import Path

import pytest

from dunning.gateway.api.house import Caller
from dunning.gateway.api.previews import MAX_CYCLES
from dunning.gateway.api.requests import MAX_BODY, MAX_DEPTH
from dunning.gateway.api.steering import COMMANDS
from dunning.settings import Settings
from dunning.stack import Stack

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.server
def test_every_block_of_the_page_works_as_it_stands_there(stack: Stack, api_key: str, tmp_path: Path) -> None:
    environment = {**os.environ, "DUNNING_URL": stack.env["DUNNING_GATEWAY_URL"], "DUNNING_API_KEY": api_key}
    own = uuid.uuid4().hex[:8]
    blocks = [re.sub(r"\b(sub|order|cust|policy|support)-\d+", rf"\g<0>-{own}", block) for block in BLOCKS]
    script = "set -eu\n" + "\n".join(f"{block}\necho; echo '--- {number}'" for number, block in enumerate(blocks))
    done = subprocess.run(
        ["sh", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    told = re.split(r"--- \d+\n", done.stdout)
    assert len(told) == len(BLOCKS) + 1 > 10
    for what in (
        '"ledger":"ok"',
        '"outcome":"INSUFFICIENT_FUNDS"',
        '"status":"started"',
        "/pay/lnk_",
        '"granted":false',
        '"name":"set_policy"',
        "/docs#refused",
        "/docs#invalid-input",
        '"field":"id"',
        '"status":"done"',
    ):
        assert what in done.stdout, what


def test_the_page_knows_every_command_and_every_limit() -> None:
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert set(COMMANDS) <= set(re.findall(r"`(\w+)`", " ".join(rows)))
    fields = Settings.model_fields
    per_second, burst = fields["api_requests_per_second"].default, fields["api_burst"].default
    for limit in (
        f"{MAX_BODY // 1024} KiB, {MAX_DEPTH} levels deep",
        f"| a preview | {MAX_CYCLES} cycles |",
        f"{per_second:.0f} requests a second, {burst} at once",
    ):
        assert limit in PAGE, limit
    assert "key_id" in Caller.model_fields
