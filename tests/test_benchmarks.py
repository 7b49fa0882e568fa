"""The harness of the benchmarks: bounds decide, and what is measured is the work it claims. No timing here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from benchmarks import __main__ as harness
from benchmarks import cycles, memory, preview
from benchmarks.rows import Row
from benchmarks.stage import Stage, open_stage
from dunning.domain.tables import SubscriptionStatus


@pytest.fixture(scope="module")
async def stage() -> AsyncIterator[Stage]:
    async with open_stage() as opened:
        yield opened


def test_a_row_keeps_its_bounds_inclusively_and_breaks_them_beyond() -> None:
    assert Row("a", 5, "", at_least=5).is_good
    assert not Row("a", 4.9, "", at_least=5).is_good
    assert Row("a", 5, "", at_most=5).is_good
    assert not Row("a", 5.1, "", at_most=5).is_good


@pytest.mark.parametrize(("value", "code"), [(10, 0), (9, 1)])
def test_the_run_fails_when_a_row_is_below_its_floor(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], value: float, code: int
) -> None:
    monkeypatch.setattr(harness, "BENCHES", {"fixed": lambda *, is_quick: [Row("figure", value, "x", at_least=10)]})

    assert harness.main(["--check", "--only", "fixed"]) == code
    assert "figure" in capsys.readouterr().out


def test_the_stop_year_is_one_whole_ladder_and_the_end() -> None:
    foretold = preview.walk(preview.terms("STOP"))

    assert [len(o.attempts) for o in foretold.obligations] == [4]
    assert foretold.state.status is SubscriptionStatus.INACTIVE


def test_the_resume_year_is_twelve_whole_ladders() -> None:
    foretold = preview.walk(preview.terms("RESUME"))

    assert [len(o.attempts) for o in foretold.obligations] == [4] * 12


def test_a_floor_that_only_a_guard_holds_is_said_to_be_not_reached_and_the_other_breaks_the_run() -> None:
    speed, cpu = cycles.rows(cycles.SPEED_ASKED - 0.01, cycles.CPU_ASKED + 0.01, is_enforced=True)

    assert speed.is_good
    assert "NOT reached" in speed.line()
    assert not cpu.is_good


@pytest.mark.server
async def test_a_round_is_one_good_cycle_of_every_run_and_nothing_else(stage: Stage) -> None:
    for side in (cycles.BARE, cycles.OURS):
        label = f"round-{side.kind}"
        measured = await cycles.one_round(stage, side, label, 3, 8.0)

        assert measured.cycles_per_second > 0
        assert measured.cpu_per_cycle > 0
        renewed = f"WorkflowId STARTS_WITH '{side.prefix}{label}-' AND ExecutionStatus = 'ContinuedAsNew'"
        assert await stage.count(renewed) == 3


@pytest.mark.server
async def test_runs_that_are_not_waiting_when_they_fall_due_are_no_round(stage: Stage) -> None:
    with pytest.raises(cycles.TooLate):
        await cycles.one_round(stage, cycles.OURS, "late", 1, -5.0)


@pytest.mark.server
async def test_what_memory_is_measured_of_is_the_subscription_that_the_specification_names(stage: Stage) -> None:
    async with stage.worker("ours") as worker:
        await memory.begin(stage, ["ladder-1"])
        state = (await stage.dunning.show("demo", "ladder-1")).state
        used = await worker.used(is_clean=True)

    assert state is not None
    assert state.open_cycle is not None
    assert len(state.open_cycle.attempts) == 1
    assert len(state.terms.items) == 3
    assert len(state.terms.metadata) == 20
    assert used.rss > 0
