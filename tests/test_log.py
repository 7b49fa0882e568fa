"""The log: one form for all processes, and nothing private in it. SPEC 18."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from dunning.log import configure_logging, get_logger
from dunning.redaction import REDACTED, is_private, redact, redact_text
from dunning.settings import load_settings


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(level="debug", service="worker", stream=stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("sent to ana.b+c@shop.example.co.id today", "ana.b+c@shop.example.co.id"),
        ("sent to +62 812-3456-7890 today", "812"),
        ("sent to +6281234567890", "6281234567890"),
        ("Authorization: Bearer eyJhbGciOi.J9", "eyJhbGciOi"),
        ("signed with whsec_c2VjcmV0c2VjcmV0", "c2VjcmV0"),
        ("key dodo_live_abc.DEF-1", "abc.DEF-1"),
        ("postgresql://dunning:hunter2@127.0.0.1:5432/dunning", "hunter2"),
    ],
)
def test_private_looking_text_is_redacted_wherever_it_stands(text: str, private: str) -> None:
    redacted = redact_text(text)

    assert private not in redacted
    assert REDACTED in redacted


@pytest.mark.parametrize(
    "text",
    [
        "retry 2 of 3, IDR 100,000, 2026-03-15T13:10:04+07:00",
        "subscription/demo/sub_81-2",
        "http://127.0.0.1:8088/subscriptions",
        "0f8fad5b-d9cb-469f-a165-70867728950e",
        "epoch 3+12",
    ],
)
def test_what_operators_need_stays_readable(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "email",
        "customer_email",
        "phone",
        "token",
        "apiKey",
        "X-Api-Key",
        "Authorization",
        "backend_secret",
        "wa_id",
    ],
)
def test_fields_are_private_by_name(name: str) -> None:
    assert is_private(name)
    assert redact({name: "anything"}) == {name: REDACTED}


@pytest.mark.parametrize("name", ["attempt_key", "amount", "subscription", "tokenizer", "channel", "merchant_account"])
def test_other_fields_are_not_private(name: str) -> None:
    assert not is_private(name)
    assert redact({name: "anything"}) == {name: "anything"}


def test_private_values_are_found_at_any_depth() -> None:
    value = {"a": [{"b": ({"phone": "+6281234567890", "has_token": True},)}, SecretStr("x")], "n": 3}

    assert redact(value) == {"a": [{"b": [{"phone": REDACTED, "has_token": True}]}, REDACTED], "n": 3}


def test_structlog_and_the_standard_library_share_one_form(stream: io.StringIO) -> None:
    get_logger("dunning.here").info("charge sent", attempt=2, email="a@b.example")
    logging.getLogger("elsewhere").warning("called %s", "+6281234567890")

    ours, theirs = lines(stream)
    assert (ours["event"], ours["attempt"], ours["email"]) == ("charge sent", 2, REDACTED)
    assert theirs["event"] == f"called {REDACTED}"
    for line in (ours, theirs):
        assert line["service"] == "worker"
        assert line["at"].endswith("Z")
    assert [line["level"] for line in (ours, theirs)] == ["info", "warning"]
    assert [line["logger"] for line in (ours, theirs)] == ["dunning.here", "elsewhere"]


def test_tracebacks_are_redacted(stream: io.StringIO) -> None:
    try:
        raise ValueError("no such customer ana@shop.example")
    except ValueError:
        get_logger("here").exception("failed")
        logging.getLogger("there").exception("failed")

    for line in lines(stream):
        assert "ana@shop.example" not in json.dumps(line)
        assert "ValueError" in line["exception"]


def test_console_lines_are_redacted_as_well(stream: io.StringIO) -> None:
    configure_logging(form="console", stream=stream)

    get_logger("here").info("sent", to_email="a@b.example", note="to +6281234567890")

    assert "sent" in stream.getvalue()
    assert "a@b.example" not in stream.getvalue()
    assert "6281234567890" not in stream.getvalue()


def test_settings_say_level_and_form(stream: io.StringIO) -> None:
    configure_logging(load_settings(log_level="error", log_format="console"), stream=stream)

    get_logger("here").warning("not said")
    get_logger("here").error("said")

    assert "not said" not in stream.getvalue()
    assert "said" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
