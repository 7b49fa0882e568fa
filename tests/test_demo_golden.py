"""The demo's golden instants, worked out by hand, are the preview's whenever the demo is started. SPEC 17, 20."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from dunning.demo.golden import instant, read_golden
from dunning.importing import read_subscriptions
from dunning.previewing import foretell
from tests.builders import at

PORTFOLIO = Path(__file__).parents[1] / "examples" / "portfolio.csv"
STARTS = [
    "2026-03-05T10:00",
    "2026-11-13T01:29:59",  # two days before a 15th at 01:30, by a second
    "2026-11-13T01:30:01",
    "2027-01-30T22:30",  # the first due instant is on the 31st
    "2027-12-31T21:59:59",
    "2028-02-28T23:59",
    "2027-02-01T19:40:49",  # late enough for an outage's last probe to run on the next date
]


@pytest.mark.parametrize("start", STARTS)
def test_preview_and_golden_instants_agree_whenever_the_demo_starts(start: str) -> None:
    now = at(start)
    golden = read_golden(PORTFOLIO.with_suffix(".golden.yml"))
    entries = read_subscriptions(PORTFOLIO, now=now)
    assert [entry.faults for entry in entries if entry.faults] == []
    assert {str(entry.document["id"]) for entry in entries} == set(golden)
    for entry in entries:
        assert entry.subscription is not None
        assert entry.script is not None
        wanted = golden[entry.subscription.id]
        foretold = foretell(entry.subscription, entry.script, created_at=now, cycles=wanted.cycles)
        planned: dict[str, list[datetime]] = {
            "od" if owed.id.startswith("od-") else owed.id: [one.planned_at for one in owed.attempts]
            for owed in foretold.obligations
            if owed.attempts
        }
        anchor = now + timedelta(hours=2)
        assert planned == {owed: [instant(one, anchor) for one in words] for owed, words in wanted.attempts.items()}
        assert foretold.state.status.value == wanted.status
