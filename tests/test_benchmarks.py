"""The harness of the benchmarks: bounds decide, and what is measured is the work it claims. No timing here."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as harness
from benchmarks import preview
from benchmarks.rows import Row
from dunning.domain.tables import SubscriptionStatus


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
