"""What follows from a step is written, whatever becomes of the charge that carries it. SPEC 10."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from dunning.ledger.models import Record
from tests.workflows.world import World

pytestmark = pytest.mark.server


@pytest.mark.parametrize("failure", [OSError("the ledger is away"), RuntimeError("the worker died")])
async def test_events_carried_by_a_charge_that_was_never_admitted_are_written_once(
    world: World, failure: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit = world.ledger.admit
    refused: list[Record] = []

    async def fail_once(request: Any, **more: Any) -> Any:
        if not refused:
            refused.append(request.carry)
            raise failure
        return await admit(request, **more)

    monkeypatch.setattr(world.ledger, "admit", fail_once)
    life = await world.begin("SUCCEEDED")
    await life.until(lambda s: s.paid_until is not None, step=timedelta(hours=1))

    assert refused
    assert refused[0].events
    written = await world.ledger.events_of("demo", life.name)
    carried = [e.type.value for e in refused[0].events]
    assert [e["type"] for e in written if e["type"] in carried] == carried
    assert [e["sequence"] for e in written] == list(range(1, len(written) + 1))
    assert [c["status"] for c in await life.charges()] == ["succeeded"]
