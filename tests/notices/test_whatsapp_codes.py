"""What follows from each error code of WhatsApp: every documented code has one row."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from dunning.notices.whatsapp import read_answer
from dunning.notices.whatsapp_codes import ERROR_CODES, Sent

FIXTURE = Path(__file__).parents[1] / "fixtures" / "whatsapp_error_codes.txt"


def documented() -> dict[int, tuple[str, bool]]:
    rows: dict[int, tuple[str, bool]] = {}
    for line in FIXTURE.read_text().splitlines():
        if line.startswith("#"):
            continue
        codes, klass, *mark = line.split()
        first, _, last = codes.partition("-")
        rows.update({code: (klass, bool(mark)) for code in range(int(first), int(last or first) + 1)})
    return rows


def test_the_table_is_the_documented_list() -> None:
    ours = {code: (row.sent.name, row.needs_attention) for code, row in ERROR_CODES.items()}

    assert ours == documented()


def test_only_a_long_wait_has_a_length_and_every_long_wait_has_one() -> None:
    waits = {code: row.wait for code, row in ERROR_CODES.items() if row.wait is not None}

    assert set(waits) == {code for code, row in ERROR_CODES.items() if row.sent is Sent.WAIT}
    assert waits[131049] == timedelta(hours=24)


@pytest.mark.parametrize(
    ("status", "code", "sent"),
    [
        (400, 131026, Sent.RECIPIENT),
        (500, 131026, Sent.RECIPIENT),  # the code decides, not the status
        (429, 131056, Sent.TRANSIENT),
        (503, 131016, Sent.TRANSIENT),  # says that nothing was sent
        (400, 131000, Sent.TRANSIENT),
        (500, 131000, Sent.UNCLEAR),  # something went wrong, after who knows what
        (503, 2, Sent.UNCLEAR),
        (404, 132001, Sent.CONFIG),
        (400, 777777, Sent.TRANSIENT),  # new: once more, and a person is told
        (500, 777777, Sent.UNCLEAR),
    ],
)
def test_the_code_says_what_follows(status: int, code: int, sent: Sent) -> None:
    answer = read_answer(httpx.Response(status, json={"error": {"code": code, "message": "m"}}))

    assert (answer.sent, answer.code, answer.message_id) == (sent, code, None)


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, {"json": {"messages": []}}),
        (200, {"json": ["?"]}),
        (200, {"text": "<html>"}),
        (502, {"text": "Bad gateway"}),
        (400, {"json": {"error": "no"}}),
    ],
)
def test_an_answer_that_cannot_be_read_may_mean_that_it_was_sent(status: int, content: dict[str, Any]) -> None:
    assert read_answer(httpx.Response(status, **content)).sent is Sent.UNCLEAR


def test_accepted_carries_the_messages_id_and_its_state() -> None:
    body = {"messages": [{"id": "wamid.X", "message_status": "held_for_quality_assessment"}]}

    answer = read_answer(httpx.Response(200, json=body))

    assert (answer.sent, answer.message_id, answer.because) == (Sent.ACCEPTED, "wamid.X", "held_for_quality_assessment")
