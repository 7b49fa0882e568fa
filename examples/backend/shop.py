"""A small product backend: sells a plan, and gives and takes access from signed events alone.

It is written from docs/api.md and docs/events.md: no Temporal, nothing of the engine is imported. Besides Python's own
library it needs `standardwebhooks`, which checks signatures (https://www.standardwebhooks.com lists it for many
languages). Read it, copy it, run it:

    DUNNING_URL=http://127.0.0.1:8080 DUNNING_API_KEY=dnk_... DUNNING_EVENTS_SECRET=whsec_... python shop.py

With more than one merchant account, the others' keys are given as DUNNING_API_KEY_<ACCOUNT>.

Its own pages have no login, so it listens on this machine only; yours stand behind your own.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from standardwebhooks import Webhook, WebhookVerificationError

MAX_BODY = 1024 * 1024
LINK_SECONDS = 30

TABLES = """
create table if not exists events (
    id text primary key, subscription text not null, sequence integer not null, type text not null);
create table if not exists orders (subscription text primary key, account text not null);
create table if not exists access (
    subscription text primary key, sequence integer not null, granted integer not null, until text, reason text);
"""


class Refused(Exception):
    """Answered with a status and a body."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status)
        self.status, self.body = status, body


class Dunning:
    """The engine's HTTP API, as far as a shop needs it."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url.rstrip("/"), key

    def subscribe(self, document: dict[str, Any], query: str) -> dict[str, Any]:
        """Start a subscription. The same order sent twice starts one: the id is ours, and so is the key."""
        key = {"Idempotency-Key": f"order-{document.get('id')}"[:64]}
        path = "/v1/subscriptions" + (f"?{query}" if query else "")
        return self._ask("POST", path, document, key)

    def read(self, subscription: str) -> dict[str, Any]:
        """Where a subscription stands."""
        return self._ask("GET", f"/v1/subscriptions/{subscription}")

    def command(self, subscription: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Pause, cancel, charge, ...: the body carries a `command_id` of ours, so it is done once."""
        return self._ask("POST", f"/v1/subscriptions/{subscription}/{name}", body)

    def mandate_link(self, subscription: str) -> str:
        """Where the customer authorises charging; it is there a moment after the creation."""
        deadline = time.monotonic() + LINK_SECONDS
        while time.monotonic() < deadline:
            link = self.read(subscription)["mandate_link"]
            if link:
                return str(link)
            time.sleep(0.3)
        raise Refused(504, {"detail": "there is no mandate link yet"})

    def _ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        # The address is the operator's own.
        request = urllib.request.Request(self._url + path, method=method)  # noqa: S310
        request.add_header("Authorization", f"Bearer {self._key}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                found: dict[str, Any] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise Refused(error.code, json.load(error)) from None


class Shelf:
    """What the shop remembers: events that it took, and who may use the product."""

    def __init__(self, path: str) -> None:
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.executescript(TABLES)
        self._lock = threading.Lock()

    def sell(self, subscription: str, account: str) -> None:
        """Remember through which merchant account something is sold."""
        with self._lock, self._database:
            self._database.execute("insert or replace into orders values (?, ?)", (subscription, account))

    def account_of(self, subscription: str) -> str:
        """Through which account it was sold; empty for what this shop did not sell."""
        query = "select account from orders where subscription = ?"
        with self._lock:
            row = self._database.execute(query, (subscription,)).fetchone()
        return str(row[0]) if row else ""

    def take(self, event: dict[str, Any]) -> None:
        """Take an event in, in one transaction. A repeat changes nothing, nor does one that comes late.

        Every event that has a say in it carries `access`, whole: nothing is worked out here.
        """
        row = (event["id"], event["subscription_id"], event["sequence"], event["type"])
        with self._lock, self._database:
            self._database.execute("insert or ignore into events values (?, ?, ?, ?)", row)
            access = event["data"].get("access")
            if access is not None:
                self._database.execute(
                    "insert into access values (?, ?, ?, ?, ?) on conflict (subscription) do update set"
                    " sequence = excluded.sequence, granted = excluded.granted, until = excluded.until,"
                    " reason = excluded.reason where excluded.sequence > access.sequence",
                    (event["subscription_id"], event["sequence"], access["granted"], access["until"], access["reason"]),
                )

    def access(self, at: datetime) -> dict[str, bool]:
        """The access list: who may use the product at an instant."""
        with self._lock:
            rows = self._database.execute("select subscription, granted, until from access").fetchall()
        return {name: bool(granted) and (until is None or at < _instant(until)) for name, granted, until in rows}

    def received(self, subscription: str) -> list[dict[str, Any]]:
        """The events of one subscription, in order."""
        query = "select sequence, type, id from events where subscription = ? order by sequence"
        with self._lock:
            rows = self._database.execute(query, (subscription,)).fetchall()
        return [{"sequence": sequence, "type": type_, "id": id_} for sequence, type_, id_ in rows]


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Shop(ThreadingHTTPServer):
    """The shop's web server."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], engines: dict[str, Dunning], shelf: Shelf, secret: str) -> None:
        self._engines, self.shelf, self.webhook = engines, shelf, Webhook(secret)
        super().__init__(address, Pages)

    def engine(self, account: str) -> Dunning:
        """The engine's API with the key of a merchant account; a key opens one account alone."""
        return self._engines.get(account) or self._engines[""]


class Pages(BaseHTTPRequestHandler):
    """What the shop answers."""

    server: Shop
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Pages that change nothing."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Orders of customers, the desk's commands, and the engine's events."""
        self._answer(self._post)

    def log_message(self, *_: Any) -> None:
        """The shop is quiet."""

    def _get(self, path: list[str], query: dict[str, str]) -> tuple[int, Any]:
        at = _instant(query["at"]) if "at" in query else datetime.now(UTC)
        match path:
            case ["healthz"]:
                return 200, {"result": "ok"}
            case ["access"]:
                return 200, self.server.shelf.access(at)
            case ["access", subscription]:
                return 200, {"granted": self.server.shelf.access(at).get(subscription, False)}
            case ["received", subscription]:
                return 200, self.server.shelf.received(subscription)
        return 404, {"detail": "no such page"}

    def _post(self, path: list[str], query: dict[str, str]) -> tuple[int, Any]:
        body = self._body()
        match path:
            case ["events"]:
                return self._take_event(body)
            case ["orders"]:
                return self._order(json.loads(body), urlencode(query))
            case ["orders", subscription, command]:
                engine = self.server.engine(self.server.shelf.account_of(subscription))
                return 200, engine.command(subscription, command, json.loads(body))
        return 404, {"detail": "no such page"}

    def _order(self, document: dict[str, Any], query: str) -> tuple[int, Any]:
        """A customer buys the plan. Without a payment method, they are sent to the link to authorise charging."""
        account = str(document.get("merchant_account") or "")
        engine = self.server.engine(account)
        made = engine.subscribe(document, query)
        self.server.shelf.sell(document["id"], account)
        link = None if document.get("payment_methods") else engine.mandate_link(document["id"])
        return 201, {"subscription": made["id"], "link": link, "warnings": made["warnings"]}

    def _take_event(self, body: bytes) -> tuple[int, Any]:
        """Believe nothing before the signature of the raw bytes holds; answer 2xx only when it is written down."""
        try:
            self.server.webhook.verify(body, dict(self.headers.items()))
        except (WebhookVerificationError, ValueError):
            return 401, {"detail": "the signature does not hold"}
        self.server.shelf.take(json.loads(body))
        return 204, None

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            self.close_connection = True
            raise Refused(413, {"detail": "too large"})
        return self.rfile.read(length)

    def _answer(self, page: Any) -> None:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        try:
            status, body = page([part for part in parts.path.split("/") if part], query)
        except Refused as refused:
            status, body = refused.status, refused.body
        except (ValueError, KeyError, AttributeError):
            status, body = 400, {"detail": "this request cannot be read"}
        except OSError:
            status, body = 503, {"detail": "the engine does not answer"}
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def main() -> None:
    """Serve until the process is ended."""
    env, name = os.environ, "DUNNING_API_KEY"
    keys = {one.removeprefix(f"{name}_").lower(): key for one, key in env.items() if one.startswith(f"{name}_")}
    engines = {account: Dunning(env["DUNNING_URL"], key) for account, key in {**keys, "": env[name]}.items()}
    shelf = Shelf(env.get("SHOP_DATABASE", ":memory:"))
    address = (env.get("SHOP_HOST", "127.0.0.1"), int(env.get("SHOP_PORT", "8090")))
    Shop(address, engines, shelf, env["DUNNING_EVENTS_SECRET"]).serve_forever()


if __name__ == "__main__":
    main()
