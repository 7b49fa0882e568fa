"""`dunning events`: what was missed, again, and a trial of the endpoint; with documented exit codes. SPEC 10, 17."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
from standardwebhooks import Webhook

from dunning.domain.event_catalogue import example_of, known_types
from tests.cli.conftest import Dunning

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"


class Endpoint(BaseHTTPRequestHandler):
    """Takes what is signed, once it is told to."""

    status = 204

    def do_POST(self) -> None:
        Webhook(SECRET).verify(self.rfile.read(int(self.headers["content-length"])), dict(self.headers.items()))
        self.send_response(Endpoint.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    Endpoint.status = 204
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/events"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def office(ledger_url: str, endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A ledger with three events, one of them given up, and an account with an endpoint; gives the ledger's URL."""
    account = {"provider": "dodo", "mode": "test", "api_key": "dodo_test_key", "merchant_name": "Kopi"}
    accounts = {"demo": {**account, "backend_url": endpoint, "backend_secret": SECRET}, "silent": account}
    (tmp_path / "accounts.json").write_text(json.dumps({"accounts": accounts}))
    monkeypatch.setenv("DUNNING_ACCOUNTS_FILE", str(tmp_path / "accounts.json"))
    monkeypatch.setenv("DUNNING_LEDGER_URL", ledger_url)
    data = json.dumps(example_of("subscription.resumed")["data"])
    with psycopg.connect(ledger_url) as connection:
        for number in (1, 2, 3):
            connection.execute(
                "insert into outbox (id, account, subscription, sequence, type, data, created_at, delivered_at,"
                " undelivered_at, last_error)"
                " values (%s, 'demo', 'sub-1', %s, 'subscription.resumed', %s, now(), %s, %s, %s)",
                (f"evt_{number}", number, data, *(("now()", None, None) if number != 2 else (None, "now()", "away"))),
            )
    return ledger_url


def waiting(url: str) -> list[int]:
    query = "select sequence from outbox where delivered_at is null and undelivered_at is null order by 1"
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute(query)]


@pytest.mark.server
def test_what_was_given_up_is_listed_and_delivered_again(dunning: Dunning, office: str) -> None:
    listed = json.loads(dunning("events", "undelivered", "--json").stdout)
    assert [(one["id"], one["last_error"]) for one in listed] == [("evt_2", "away")]
    since = dunning("events", "redeliver", "--since", "2020-01-01T00:00:00Z", "--undelivered", "--json")
    assert (json.loads(since.stdout), waiting(office)) == ({"events": 1}, [2])
    assert dunning("events", "redeliver", "evt_1").exit_code == 0
    assert waiting(office) == [1, 2]


@pytest.mark.server
def test_a_redelivery_that_is_not_clear_or_not_there_has_its_exit_code(dunning: Dunning, office: str) -> None:
    assert dunning("events", "redeliver").exit_code == 2
    assert dunning("events", "redeliver", "evt_1", "--since", "2020-01-01T00:00:00Z").exit_code == 2
    assert dunning("events", "redeliver", "--since", "2020-01-01T00:00:00").exit_code == 2
    assert dunning("events", "redeliver", "evt_nobody").exit_code == 3
    assert waiting(office) == []


@pytest.mark.server
def test_a_trial_shows_the_endpoints_answer(dunning: Dunning, office: str) -> None:
    taken = dunning("events", "test", "--json")
    assert (taken.exit_code, json.loads(taken.stdout)["status"]) == (0, 204)
    Endpoint.status = 500
    refused = dunning("events", "test")
    assert refused.exit_code == 1
    assert "it answered 500" in refused.stderr
    assert dunning("events", "test", "--account", "silent").exit_code == 2
    with psycopg.connect(office) as connection:
        assert connection.execute("select count(*) from outbox").fetchone() == (3,)


def test_every_event_and_its_schema_can_be_printed_without_a_server(dunning: Dunning) -> None:
    told = json.loads(dunning("events", "types", "--json").stdout)
    assert [one["type"] for one in told] == known_types()
    [one] = json.loads(dunning("events", "types", "payment.failed").stdout)
    assert one["example"]["type"] == "payment.failed"
    assert dunning("events", "types", "payment.lost").exit_code == 3
