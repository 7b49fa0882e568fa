"""Whatever a stranger sends, nothing takes effect and nothing is an error of ours. SPEC 18.

The same attack with 100,000 requests is `python -m benchmarks --only hostile`.
"""

from __future__ import annotations

import pytest

from benchmarks.hostile import storm
from benchmarks.hostile_families import FAMILIES
from benchmarks.hostile_pushes import play_door, whatsapp_door
from dunning.sandbox.play_push import SigningKey

pytestmark = pytest.mark.server
PROVIDERS = ("dodo", "omise", "xendit")
PUSHES = (play_door(SigningKey()), whatsapp_door())
EACH = 50


async def test_hostile_requests_of_each_family_at_each_door_have_no_effect(ledger_url: str) -> None:
    cells = len(FAMILIES) * len(PROVIDERS) + sum(len(door.families) for door in PUSHES)
    report = await storm(ledger_url, EACH * cells)
    assert report.faults == []
    assert all(count >= 12 for count in (len(FAMILIES), *(len(door.families) for door in PUSHES)))
    for door in PUSHES:
        for name, (_, expected) in door.families.items():
            assert sum(report.statuses[name, door.name, status] for status in expected) == EACH, (name, door.name)
    for name, (_, expected) in FAMILIES.items():
        for provider in PROVIDERS:
            foreseen = sum(report.statuses[name, provider, status] for status in expected)
            assert foreseen == EACH, (name, provider)
