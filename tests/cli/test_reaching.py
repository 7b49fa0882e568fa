"""`dunning notices reach`, `opt-out`, `bounce`, and what `show` says of them; only the ledger is there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from dunning.domain.terms import Channel
from dunning.ledger import Ledger
from dunning.ledger.notices import NoticeToClaim
from tests.builders import at, subscription
from tests.cli.conftest import Dunning
from tests.notices.test_reaching import report

pytestmark = pytest.mark.server
IDENTITY = "<abc@kopi.example>"


@pytest.fixture
async def told(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A ledger with one subscription whose customer got one mail."""
    monkeypatch.setenv("DUNNING_LEDGER_URL", ledger_url)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:9")
    ledger = await Ledger.open(ledger_url)
    await ledger.create_subscription(subscription(), now=at("2026-03-01T00:00"))
    await ledger.claim_notice(
        NoticeToClaim(
            account="demo", subscription="sub-1", key="1/1/1/failed", channel="EMAIL", customer="cust-1",
            occasion="failed", planned_at=at("2026-03-05T13:10"), because="attempt 1 was declined",
            business_at=at("2026-03-05T13:10"),
        )
    )  # fmt: skip
    await ledger.settle_notice(
        "demo", "sub-1", "1/1/1/failed", "EMAIL", status="sent", outcome="accepted", provider_id=IDENTITY
    )
    await ledger.aclose()
    return ledger_url


async def test_a_bounce_is_taken_in_and_show_says_that_the_address_is_dead(
    told: str, dunning: Dunning, tmp_path: Path
) -> None:
    file = tmp_path / "bounce.eml"
    file.write_bytes(report(IDENTITY))

    taken = await asyncio.to_thread(dunning, "notices", "bounce", file)
    shown = await asyncio.to_thread(dunning, "show", "sub-1")
    data = json.loads((await asyncio.to_thread(dunning, "show", "sub-1", "--json")).stdout)
    listed = json.loads((await asyncio.to_thread(dunning, "notices", "sub-1", "--json")).stdout)

    assert (taken.exit_code, "not written to again" in taken.stdout) == (0, True)
    assert "EMAIL reaches nobody: the mail came back: 5.1.1" in shown.stdout
    assert IDENTITY in shown.stdout
    assert data["unreachable"] == {"EMAIL": "the mail came back: 5.1.1"}
    assert [(row["status"], row["provider_id"]) for row in listed] == [("failed", IDENTITY)]
    assert listed == data["notices"]
    assert "ayu@example.com" not in shown.stdout

    assert (await asyncio.to_thread(dunning, "notices", "reachable", "cust-1")).exit_code == 0
    again = await asyncio.to_thread(dunning, "show", "sub-1")
    assert "reaches nobody" not in again.stdout


async def test_an_opt_out_is_written_shown_and_taken_back(told: str, dunning: Dunning) -> None:
    done = await asyncio.to_thread(dunning, "notices", "opt-out", "cust-1", "EMAIL")
    shown = await asyncio.to_thread(dunning, "show", "sub-1")
    rows = json.loads((await asyncio.to_thread(dunning, "notices", "reach", "cust-1", "--json")).stdout)
    await asyncio.to_thread(dunning, "notices", "opt-out", "cust-1", "EMAIL", "--undo")
    after = json.loads((await asyncio.to_thread(dunning, "notices", "reach", "cust-1", "--json")).stdout)

    assert done.exit_code == 0
    assert "EMAIL: the customer opted out of routine notices" in shown.stdout
    reached = {(row["channel"], row["kind"]): row["reached"] for row in rows}
    assert (reached["EMAIL", "routine"], reached["EMAIL", "service"]) == (False, True)
    assert all(row["reached"] for row in after if row["channel"] == Channel.EMAIL.value)


async def test_what_is_no_bounce_and_who_is_no_customer_are_refused(
    told: str, dunning: Dunning, tmp_path: Path
) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(b"Subject: hi\r\n\r\nhi")

    assert (await asyncio.to_thread(dunning, "notices", "bounce", file)).exit_code == 2
    assert (await asyncio.to_thread(dunning, "notices", "reach", "nobody")).exit_code == 3
    assert (await asyncio.to_thread(dunning, "notices", "opt-out", "nobody", "EMAIL")).exit_code == 3
