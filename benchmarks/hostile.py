"""100,000 hostile requests against the gateway in this process, over a real ledger: none takes effect, none is a 500.

The families stand in `benchmarks/hostile_families.py` and, of Google Play's pushes and WhatsApp's statuses, in
`benchmarks/hostile_pushes.py`. Before and after the attack every table of the ledger is read whole; a single changed
byte fails the run, and so does a status that a family does not expect. Only the count of refused messages may grow,
by a row for each reason at most. At the end a genuine message takes effect at each door, and settles the attempt that
the attack was about: it could have been settled all the while.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import random
import time
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
import structlog
from fastapi import FastAPI
from psycopg import sql
from pydantic import SecretStr

from benchmarks import hostile_families as families
from benchmarks import hostile_pushes
from benchmarks.data import subscription_data
from benchmarks.hostile_families import FAMILIES, Request, Target, genuine, requests
from benchmarks.hostile_pushes import Door as PushDoor
from benchmarks.rows import Row
from dunning.client import DunningClient, connect
from dunning.contract import ProviderFact
from dunning.domain.attempts import Attempt, Trigger, attempt_key
from dunning.gateway.api import Api
from dunning.gateway.api.limiting import Limiter
from dunning.gateway.app import Door, create_app
from dunning.gateway.dispatcher import Dispatcher
from dunning.gateway.play_push import PlayDoor
from dunning.intake import parse_subscription
from dunning.ledger import Ledger, Limits, migrate
from dunning.ledger.models import ChargeInput
from dunning.ledger.schema import metadata
from dunning.providers.base import PaymentProvider
from dunning.providers.dodo import DodoProvider
from dunning.providers.google_play import GooglePlayProvider
from dunning.providers.google_play_push import FixedKeys, PushVerifier
from dunning.providers.omise import OmiseProvider
from dunning.providers.xendit import XenditProvider
from dunning.sandbox.play_push import SigningKey
from dunning.settings import AccountSettings
from dunning.stack.postgres import postgres_server

FULL, QUICK = 100_000, 10_000
AT = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)
NOWHERE = "http://127.0.0.1:9"
SEED = 20_260_305


@dataclass
class Report:
    """What came of an attack."""

    statuses: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        return sum(self.statuses.values())


@dataclass
class Fort:
    """The gateway as it is deployed, with its HTTP API, and what it would tell workflows."""

    app: FastAPI
    ledger: Ledger
    dispatcher: Dispatcher
    told: list[ProviderFact]
    targets: list[Target]
    pushes: list[PushDoor]

    async def ask(self, request: Request) -> tuple[int, bytes]:
        """Status and body of one answer; 500 when the application raises."""
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": request.method,
            "scheme": "http", "path": request.path, "raw_path": request.path.encode(), "root_path": "",
            "query_string": b"", "headers": request.headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80),
        }  # fmt: skip
        pieces = [request.body[start : start + 65_536] for start in range(0, max(1, len(request.body)), 65_536)]
        waiting = iter(pieces)
        sent: list[dict[str, Any]] = []
        left = len(pieces)

        async def receive() -> dict[str, Any]:
            nonlocal left
            left -= 1
            return {"type": "http.request", "body": next(waiting, b""), "more_body": left > 0}

        async def send(message: Any) -> None:
            sent.append(message)

        try:
            await self.app(scope, receive, send)
        except Exception:
            return 500, b""
        return sent[0]["status"], b"".join(one.get("body", b"") for one in sent[1:])

    async def attack(self, count: int, seed: int = SEED) -> Report:
        """So many requests, one after the other."""
        report, began = Report(), time.monotonic()
        own = sum(len(door.families) for door in self.pushes)
        share = count * own // (own + len(FAMILIES) * len(self.targets))
        for name, target, request in requests(self.targets, count - share, seed):
            status, body = await self._note(report, name, target.provider, request, FAMILIES[name][1])
            if status == 200 and b"repeated" not in body:
                report.faults.append(f"{name} at {target.provider}: {body[:80]!r}")
        for door, name, request in self._pushes(share, seed):
            await self._note(report, name, door.name, request, door.families[name][1])
        report.seconds = time.monotonic() - began
        return report

    def _pushes(self, count: int, seed: int) -> Iterator[tuple[PushDoor, str, Request]]:
        rng = random.Random(seed)
        cells = [(door, name) for door in self.pushes for name in door.families]
        for number in range(count):
            door, name = cells[number % len(cells)]
            yield door, name, door.families[name][0](rng)

    async def _note(
        self, report: Report, name: str, where: str, request: Request, expected: frozenset[int]
    ) -> tuple[int, bytes]:
        status, body = await self.ask(request)
        report.statuses[name, where, status] += 1
        if status not in expected and len(report.faults) < 50:
            report.faults.append(f"{name} at {where}: {status} {body[:80]!r} for {request.path} {request.body[:120]!r}")
        return status, body


COUNTED = "refused_messages"
"""Why messages were refused, by account and reason: the one thing that a stranger makes the gateway write."""
MOST_REASONS = 20


async def everything(url: str) -> dict[str, str]:
    """A mark of each table's whole content, but of the one that counts refusals."""
    found = {}
    async with await psycopg.AsyncConnection.connect(url) as connection:
        for table in metadata.tables.keys() - {COUNTED}:
            query = sql.SQL("select count(*) || md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {} t")
            row = await (await connection.execute(query.format(sql.Identifier(table)))).fetchone()
            found[table] = str(row[0]) if row else ""
    return found


def _standard(raw: bytes) -> str:
    return "whsec_" + b64encode(raw).decode()


def _plain(raw: bytes) -> str:
    return b64encode(raw).decode()


async def _victim(ledger: Ledger, account: str, number: int) -> str:
    """An attempt that was sent, and whose answer is still to come; gives its key."""
    key = attempt_key(account, "sub-1", 1, str(number), 1)
    attempt = Attempt(number=1, trigger=Trigger.DUE, method="pm_1", planned_at=AT, because="it is due", key=key)
    request = ChargeInput(
        account=account, subscription="sub-1", generation=1, customer=f"cust-{account}-{number}",
        obligation=str(number), attempt=attempt, amount=100_000, currency="IDR", description="Pro plan",
        reference="sub_dodo_1", business_at=AT,
    )  # fmt: skip
    admission = await ledger.admit(request, owner="bench", limits=Limits())
    if admission.claim is None:
        raise RuntimeError("the attempt was not admitted")
    await ledger.mark_sent(admission.claim)
    return key


@asynccontextmanager
async def open_fort(url: str) -> AsyncIterator[Fort]:
    """The gateway over this ledger: an account, its double with another secret, and a victim for each provider."""
    ledger = await Ledger.open(url)
    told: list[ProviderFact] = []

    async def signal(account: str, subscription: str, fact: ProviderFact) -> None:
        told.append(fact)

    async def is_well() -> bool:
        return True

    providers: dict[str, PaymentProvider] = {
        "dodo": DodoProvider(SecretStr("dodo_test_key"), is_test=True, base_url=NOWHERE),
        "omise": OmiseProvider(SecretStr("skey_test_key"), is_test=True, base_url=NOWHERE),
        "xendit": XenditProvider(SecretStr("xnd_development_key"), is_test=True, base_url=NOWHERE),
    }
    secret_of: dict[str, Callable[[bytes], str]] = {"dodo": _standard, "omise": _plain, "xendit": bytes.hex}
    secrets = {name: make(f"the secret of {name:<12}".encode()) for name, make in secret_of.items()}
    doors: dict[str, Door] = {}
    for name, provider in providers.items():
        doors[name] = Door(provider, (secrets[name],))
        doors[f"{name}-two"] = Door(provider, (secret_of[name](f"another of {name:<13}".encode()),))
    dispatcher = Dispatcher(ledger, signal)
    api = Api(DunningClient(await connect(lazy=True), ledger), Limiter(10_000, 10_000))
    key = SigningKey()
    play = _play(key)
    app = create_app(
        doors, ledger, dispatcher, is_temporal_well=is_well, api=api, accounts={"dodo": _with_whatsapp()},
        play={"play": play},
    )  # fmt: skip
    await _purchase(ledger)
    pushes = [hostile_pushes.play_door(key), hostile_pushes.whatsapp_door()]
    try:
        targets = [await _target(ledger, name, secrets[name], secret_of[name]) for name in providers]
        fort = Fort(app, ledger, dispatcher, told, targets, pushes)
        for place, target in enumerate(targets):
            await _tell_once(fort, place, target)
        for door in pushes:
            await fort.ask(door.genuine("told_before"))
        yield fort
    finally:
        await play.provider.aclose()
        for provider in providers.values():
            await provider.aclose()
        await ledger.aclose()


def _play(key: SigningKey) -> PlayDoor:
    provider = GooglePlayProvider(
        _service_account(key), package_name=hostile_pushes.PACKAGE, is_test=True, base_url=NOWHERE
    )
    keys = FixedKeys({key.key_id: key.certificate})
    return PlayDoor(provider, PushVerifier(keys, audience=hostile_pushes.AUDIENCE, email=hostile_pushes.EMAIL))


def _service_account(key: SigningKey) -> SecretStr:
    info = {"type": "service_account", "client_email": "dunning@sandbox.iam.gserviceaccount.com",
            "private_key": key.private_pem, "private_key_id": "k1", "token_uri": NOWHERE}  # fmt: skip
    return SecretStr(json.dumps(info))


def _with_whatsapp() -> AccountSettings:
    whatsapp = {"phone_number_id": hostile_pushes.PHONE, "token": "token", "app_secret": hostile_pushes.APP_SECRET,
                "verify_token": "only Meta and we know it"}  # fmt: skip
    given = {
        "provider": "dodo",
        "mode": "test",
        "api_key": "dodo_test_key",
        "merchant_name": "Kopi",
        "whatsapp": whatsapp,
    }
    return AccountSettings.model_validate(given)


async def _purchase(ledger: Ledger) -> None:
    """A purchase that the ledger knows, so that a genuine push about it would be told."""
    options = {"purchase_token": hostile_pushes.PURCHASE, "package_name": hostile_pushes.PACKAGE}
    given = {**subscription_data(AT), "merchant_account": "play", "provider": "google_play", "collection": "provider",
             "provider_options": options, "payment_methods": [], "currency": "USD"}  # fmt: skip
    await ledger.create_subscription(parse_subscription(given), now=AT)


async def _target(ledger: Ledger, name: str, secret: str, secret_of: Any) -> Target:
    # The ledger keeps it under the provider's account; which provider its terms name plays no part here.
    given = parse_subscription({**subscription_data(AT), "merchant_account": name})
    await ledger.create_subscription(given, now=AT)
    return Target(
        provider=name,
        account=name,
        secret=secret,
        key=await _victim(ledger, name, 1),
        sign=getattr(families, f"{name}_sign"),
        body=getattr(families, f"{name}_body"),
        secret_of=secret_of,
    )


async def _tell_once(fort: Fort, place: int, target: Target) -> None:
    """A genuine message about another attempt, which the attack replays."""
    other = await _victim(fort.ledger, target.account, 2)
    told = genuine(target, "told_before", other)
    status, body = await fort.ask(told)
    if status != 200 or b"stored" not in body:
        raise RuntimeError(f"{target.provider}: the genuine message was answered with {status} {body!r}")
    fort.targets[place] = dataclasses.replace(target, told=told)


async def storm(url: str, count: int, seed: int = SEED) -> Report:
    """The attack with its proof: what changed goes into the report's faults."""
    async with open_fort(url) as fort:
        await fort.dispatcher.drain()
        before, told = await everything(url), len(fort.told)
        report = await fort.attack(count, seed)
        await fort.dispatcher.drain()
        after = await everything(url)
        report.faults += [f"table {name} has changed" for name in before if before[name] != after[name]]
        for target in fort.targets:
            reasons = len(await fort.ledger.refusals(target.account))
            if not 0 < reasons <= MOST_REASONS:
                report.faults.append(f"{target.provider}: {reasons} reasons of refusal are written down")
        if len(fort.told) != told:
            report.faults.append(f"{len(fort.told) - told} facts were told to workflows")
        for door in fort.pushes:
            status, _ = await fort.ask(door.genuine("at_the_end"))
            if status != 200 or await everything(url) == after:
                report.faults.append(f"{door.name}: the genuine message at the end had no effect: {status}")
            after = await everything(url)
        for target in fort.targets:
            status, body = await fort.ask(genuine(target, "at_the_end"))
            await fort.dispatcher.drain()
            row = await fort.ledger.attempt(target.key)
            if status != 200 or row is None or row.settled_at is None:
                report.faults.append(f"{target.provider}: the genuine message at the end had no effect: {body!r}")
    return report


def statuses_by_family(report: Report) -> Mapping[str, Counter[int]]:
    """Family -> statuses, over all providers."""
    found: dict[str, Counter[int]] = {}
    for (name, _, status), number in report.statuses.items():
        found.setdefault(name, Counter())[status] += number
    return found


async def _full(count: int) -> Report:
    async with postgres_server() as server:
        url = server.url_of()
        await migrate(url)
        return await storm(url, count)


def run(*, is_quick: bool = False) -> list[Row]:
    """Faults, of which there may be none, and how fast the requests were turned away."""
    # A line of the log for each would cost more than the request.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    report = asyncio.run(_full(QUICK if is_quick else FULL))
    for name, statuses in statuses_by_family(report).items():
        print(f"     {name:<32} " + ", ".join(f"{status}: {number}" for status, number in sorted(statuses.items())))
    for fault in report.faults:
        print(f"     fault: {fault}")
    server_errors = sum(number for (_, _, status), number in report.statuses.items() if status >= 500)
    return [
        Row("hostile requests sent", report.count, "", at_least=QUICK if is_quick else FULL),
        Row("hostile requests that had an effect or surprised", len(report.faults), "", at_most=0),
        Row("hostile requests answered with 5xx", server_errors, "", at_most=0),
        Row("hostile requests turned away in a second", report.count / report.seconds, "1/s"),
    ]
