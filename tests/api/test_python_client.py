"""The Python client has the verbs of the HTTP API, and its page says the truth."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dunning.errors import ConfigurationError, InvalidInput, NotFound
from dunning.gateway.api.steering import COMMANDS
from dunning.stack import Stack
from tests.api.desk import Desk
from tests.builders import CREATED, subscription
from tests.ledger.test_records import event, record

pytestmark = pytest.mark.server
PAGE = (Path(__file__).parents[2] / "docs" / "python-client.md").read_text(encoding="utf-8")

VERBS = {
    "create_subscription": "create",
    "list_subscriptions": "list",
    "read_subscription": "read",
    "list_occurrences": "occurrences",
    "list_attempts": "attempts",
    "list_notices": "notices",
    "list_events": "events",
    "list_event_types": "event_types",
    "list_undelivered_events": "undelivered",
    "redeliver_events": "redeliver_since",
    "redeliver_event": "redeliver",
    "send_test_event": "send_test_event",
    "create_portal_link": "portal_link",
    "read_command": "command_result",
    "preview": "preview",
    "read_reach": "reach",
    "replace_opt_outs": "replace_opt_outs",
    "refund_order": "refund_order",
    **dict.fromkeys(COMMANDS, "command"),
}


async def test_every_operation_of_the_api_is_a_verb_of_the_client_and_stands_on_its_page(desk: Desk) -> None:
    described = (await desk.http.get("/openapi.json")).json()
    names = {
        operation["operationId"]
        for path, operations in described["paths"].items()
        for operation in operations.values()
        if path.startswith("/v1/")
    }
    known = {name for name in names if any(name == n or name.startswith(f"{n}_v1_") for n in VERBS)}
    assert known == names
    merchant = desk.dunning.merchant("demo")
    for verb in VERBS.values():
        assert callable(getattr(merchant, verb))
        assert f"`{verb}(" in PAGE, verb


def test_the_block_of_the_page_runs_as_it_stands_there(stack: Stack, tmp_path: Path) -> None:
    [block] = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    own = uuid.uuid4().hex[:8]
    program = tmp_path / "example.py"
    program.write_text(re.sub(r"\b(sub|order|cust|policy)-\d+", rf"\g<0>-{own}", block))
    done = subprocess.run(
        [sys.executable, str(program)], env={**os.environ, **stack.env}, capture_output=True, text=True,
        timeout=90, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"subscription/demo/sub-4711-{own} done" in done.stdout


class TestMerchant:
    async def test_it_sees_and_takes_its_own_account_only(self, desk: Desk) -> None:
        await desk.have("mine")
        mine, other = desk.dunning.merchant("demo"), desk.dunning.merchant("other")
        assert [one.id for one in await mine.list()] == ["mine"]
        assert await other.list() == []
        for ask in (other.read, other.attempts, other.notices, other.events):
            with pytest.raises(NotFound):
                await ask("mine")
        with pytest.raises(InvalidInput, match="merchant_account"):
            await other.create(subscription(id="foreign", merchant_account="demo"))

    async def test_it_reads_what_the_ledger_has(self, desk: Desk) -> None:
        await desk.have("mine")
        mine = desk.dunning.merchant("demo")
        assert (await mine.read("mine", from_ledger=True)).state.id == "mine"
        for number in (1, 2, 3):
            await desk.ledger.record(record(number, subscription="mine", events=(event(number),)))
        assert [e.sequence for e in await mine.events("mine", after=1)] == [2, 3]
        with pytest.raises(NotFound):
            await mine.command_result("mine", "never-sent")
        with pytest.raises(NotFound):
            await mine.redeliver("evt_nobody")
        assert await mine.redeliver_since(datetime.now(UTC) - timedelta(hours=1)) == 3
        assert await mine.undelivered() == []
        with pytest.raises(ConfigurationError):
            await mine.send_test_event()

    async def test_a_preview_is_the_apis(self, desk: Desk) -> None:
        told = desk.dunning.merchant("demo").preview(subscription(created_at=CREATED), ["INSUFFICIENT_FUNDS"], cycles=1)
        assert [a.planned_at.day for a in told.obligations[0].attempts] == [5, 8]
