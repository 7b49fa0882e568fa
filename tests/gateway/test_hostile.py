"""Whatever a stranger sends, nothing takes effect and nothing is an error of ours. SPEC 18.

The same attack with 100,000 requests is `python -m benchmarks --only hostile`.
"""

from __future__ import annotations

import pytest

from benchmarks.hostile import storm
from benchmarks.hostile_families import FAMILIES

pytestmark = pytest.mark.server
PROVIDERS = ("dodo", "omise", "xendit")
EACH = 100


async def test_a_hundred_hostile_requests_of_each_family_at_each_provider_have_no_effect(ledger_url: str) -> None:
    report = await storm(ledger_url, EACH * len(FAMILIES) * len(PROVIDERS))
    assert report.faults == []
    assert len(FAMILIES) >= 12
    for name, (_, expected) in FAMILIES.items():
        for provider in PROVIDERS:
            foreseen = sum(report.statuses[name, provider, status] for status in expected)
            assert foreseen == EACH, (name, provider)
