"""What is certain after one request: real sockets, since that is where money gets lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest

from dunning.providers import http, sending
from dunning.providers.http import HttpCaller, retry_after

pytestmark = pytest.mark.server
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[HttpCaller]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await talk(reader, writer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    caller = HttpCaller(f"http://127.0.0.1:{port}", {})
    async with listening:
        yield caller
        await caller.aclose()


class Ear:
    """Hears every byte that arrives, and answers a whole request."""

    def __init__(self) -> None:
        self.heard = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65_536):
            self.heard += piece
            if self.heard.endswith(b"}") or b"content-length" not in self.heard:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")


def saying(answer: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    return talk


async def test_a_refused_connection_surely_sent_nothing() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    caller = HttpCaller(f"http://127.0.0.1:{port}", {})
    reply = await caller.call("POST", "/x", json_body={})
    await caller.aclose()
    assert (reply.status, reply.is_unsent) == (None, True)


async def test_a_name_that_does_not_resolve_surely_sent_nothing() -> None:
    caller = HttpCaller("http://nobody.invalid", {})
    reply = await caller.call("POST", "/x", json_body={})
    await caller.aclose()
    assert reply.is_unsent


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{", b"I am no web server\r\n\r\n"],
    ids=["dropped", "cut off", "not http"],
)
async def test_after_the_first_byte_a_lost_answer_is_unclear(answer: bytes) -> None:
    async with server(saying(answer)) as caller:
        reply = await caller.call("POST", "/x", json_body={})
    assert (reply.status, reply.is_unsent) == (None, False)


async def test_silence_after_the_request_is_unclear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CALL_SECONDS", 0.2)
    released = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await released.wait()

    async with server(silent) as caller:
        reply = await caller.call("POST", "/x", json_body={})
        released.set()
    assert (reply.status, reply.is_unsent) == (None, False)


async def test_an_answer_that_trickles_for_ever_ends_at_the_deadline_of_the_whole_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "CALL_SECONDS", 0.3)

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
        left = asyncio.ensure_future(reader.read())
        while not left.done():
            writer.write(b" ")
            await writer.drain()
            await asyncio.wait([left], timeout=0.02)

    async with server(trickle) as caller:
        loop = asyncio.get_running_loop()
        began = loop.time()
        reply = await caller.call("POST", "/x", json_body={})
    assert (reply.status, reply.is_unsent) == (None, False)
    assert loop.time() - began < 5


async def test_a_body_that_is_not_json_keeps_the_status_and_is_no_good_answer() -> None:
    async with server(saying(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhey!")) as caller:
        reply = await caller.call("GET", "/x")
    assert (reply.status, reply.body, reply.is_ok) == (200, None, False)


async def test_a_redirect_is_not_followed() -> None:
    there = b"HTTP/1.1 307 Go\r\nlocation: http://127.0.0.1:1/x\r\ncontent-length: 0\r\n\r\n"
    async with server(saying(there)) as caller:
        reply = await caller.call("POST", "/x", json_body={})
    assert (reply.status, reply.is_ok, reply.is_unsent) == (307, False, False)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("30", 30),
        ("Thu, 05 Mar 2026 13:12:00 GMT", 120),
        ("Thu, 05 Mar 2026 13:00:00 GMT", 0),
        ("99999999999999", 86_400),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(said: str, seconds: int | None) -> None:
    assert retry_after({"retry-after": said}, datetime(2026, 3, 5, 13, 10, tzinfo=UTC)) == seconds


# --- a lease that ends on the way --------------------------------------------------------------------


def times(monkeypatch: pytest.MonkeyPatch, *instants: float) -> None:
    """The holder's clock shows these instants, one for each look at it, then the last for ever."""
    left = list(instants)
    monkeypatch.setattr(sending, "now", lambda: left.pop(0) if len(left) > 1 else left[0])


async def test_a_request_whose_lease_has_ended_leaves_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Ear()
    times(monkeypatch, 90.0)
    async with server(ear) as caller:
        with sending.sending_until(90.0):
            reply = await caller.call("POST", "/x", json_body={"a": 1})
    assert (reply.is_ok, reply.is_unsent) == (False, True)
    assert "lease" in reply.because
    assert ear.heard == b""


async def test_a_lease_that_ends_between_head_and_body_keeps_the_body_back_and_is_unclear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ear = Ear()
    times(monkeypatch, 89.0, 90.0)
    async with server(ear) as caller:
        with sending.sending_until(90.0):
            reply = await caller.call("POST", "/x", json_body={"amount": 100_000})
    assert (reply.is_ok, reply.is_unsent) == (False, False)
    assert b"100000" not in ear.heard


async def test_a_connection_that_stayed_open_is_held_back_too_and_serves_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ear = Ear()
    times(monkeypatch, 0.0, 0.0, 90.0, 0.0)
    async with server(ear) as caller:
        with sending.sending_until(90.0):
            assert (await caller.call("POST", "/x", json_body={"n": "first"})).is_ok
            assert (await caller.call("POST", "/x", json_body={"n": "second"})).is_unsent
            assert (await caller.call("POST", "/x", json_body={"n": "third"})).is_ok
    assert [word for word in (b"first", b"second", b"third") if word in ear.heard] == [b"first", b"third"]


async def test_a_question_and_a_request_without_a_lease_are_never_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    times(monkeypatch, 1e9)
    async with server(Ear()) as caller:
        with sending.sending_until(90.0):
            assert (await caller.call("GET", "/x")).is_ok
        assert (await caller.call("POST", "/x", json_body={})).is_ok


def test_the_holders_clock_is_never_set_back() -> None:
    looks = [sending.now() for _ in range(100)]
    assert looks == sorted(looks)
