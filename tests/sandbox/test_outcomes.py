"""The outcome vocabulary. SPEC 17."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dunning.domain.outcomes import (
    OutcomeSyntaxError,
    ScriptedDecline,
    ScriptedOutage,
    ScriptedPending,
    ScriptedSuccess,
    ScriptedTimeout,
    format_duration,
    parse_duration,
    parse_outcome,
    parse_outcomes,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SUCCEEDED", ScriptedSuccess()),
        ("TIMEOUT_COMMITTED", ScriptedTimeout()),
        ("INSUFFICIENT_FUNDS", ScriptedDecline(code="INSUFFICIENT_FUNDS")),
        ("insufficient_fund", ScriptedDecline(code="insufficient_fund")),
        ("TRY_AGAIN_LATER/wait=10d", ScriptedDecline(code="TRY_AGAIN_LATER", wait=timedelta(days=10))),
        ("OUTAGE/36h", ScriptedOutage(lasts=timedelta(hours=36))),
        ("PENDING/2h/SUCCEEDED", ScriptedPending(lasts=timedelta(hours=2), then=ScriptedSuccess())),
        (
            "PENDING/90m/DO_NOT_HONOR",
            ScriptedPending(lasts=timedelta(minutes=90), then=ScriptedDecline(code="DO_NOT_HONOR")),
        ),
        (
            "PENDING/1d/LIMIT_EXCEEDED/wait=2d",
            ScriptedPending(
                lasts=timedelta(days=1), then=ScriptedDecline(code="LIMIT_EXCEEDED", wait=timedelta(days=2))
            ),
        ),
    ],
)
def test_each_word_is_read_as_the_specification_says(text: str, expected: object) -> None:
    assert parse_outcome(text) == expected
    assert parse_outcome(f"  {text} ") == expected


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("succeeded", "SUCCEEDED in capitals"),
        ("Pending/2h/SUCCEEDED", "PENDING in capitals"),
        ("SUCCEEDED/2h", "takes nothing"),
        ("TIMEOUT_COMMITTED/2h", "takes nothing"),
        ("OUTAGE", "OUTAGE/36h"),
        ("OUTAGE/36", "36h, 10d"),
        ("OUTAGE/0h", "longer than zero"),
        ("OUTAGE/1.5h", "not a duration"),
        ("OUTAGE/1h/2h", "OUTAGE/36h"),
        ("PENDING/2h", "what follows"),
        ("PENDING/2h/PENDING/2h/SUCCEEDED", "SUCCEEDED or in a decline"),
        ("PENDING/2h/OUTAGE/1h", "SUCCEEDED or in a decline"),
        ("PENDING/2h/", "empty"),
        ("CODE/wait=", "not a duration"),
        ("CODE/later", "advised wait"),
        ("CODE/wait=1d/wait=2d", "advised wait"),
        ("two words", "letters"),
    ],
)
def test_an_unreadable_word_is_refused_with_the_reason(text: str, because: str) -> None:
    with pytest.raises(OutcomeSyntaxError, match=because) as refused:
        parse_outcome(text)
    assert refused.value.because in str(refused.value)


def test_a_script_is_a_list_or_one_string_and_blanks_are_skipped() -> None:
    expected = (ScriptedDecline(code="A"), ScriptedSuccess())
    assert parse_outcomes("A, SUCCEEDED,") == expected
    assert parse_outcomes(["A", "", "SUCCEEDED"]) == expected
    assert parse_outcomes("") == ()


@pytest.mark.parametrize("text", ["45s", "90m", "36h", "10d", "1s", "1d"])
def test_durations_are_written_back_as_they_were_read(text: str) -> None:
    assert format_duration(parse_duration(text)) == text


@pytest.mark.parametrize(
    "text",
    ["SUCCEEDED", "A_CODE", "A_CODE/wait=10d", "OUTAGE/36h", "TIMEOUT_COMMITTED", "PENDING/2h/B/wait=1d"],
)
def test_an_outcome_is_written_back_as_it_was_read(text: str) -> None:
    assert str(parse_outcome(text)) == text
