"""Hostile requests to the doors of another form: Google Play's pushes and WhatsApp's statuses."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.hostile_families import Request
from dunning.gateway.notices import MAX_STATUSES
from dunning.gateway.play_push import MAX_BODY as MAX_PUSH
from dunning.sandbox.play_push import SigningKey, envelope, notification

PACKAGE, PURCHASE = "com.example.app", "token-1"
AUDIENCE, EMAIL = "https://billing.example.com/webhooks/google_play/play", "push@project.iam.gserviceaccount.com"
APP_SECRET, PHONE = "the secret of the app", "1234567890"
PLAY, WHATSAPP = "/webhooks/google_play/play", "/webhooks/whatsapp/dodo"

Made = Callable[[random.Random], Request]


@dataclass(frozen=True)
class Door:
    """A door, its families with the statuses that may answer them, and a message that it takes."""

    name: str
    families: dict[str, tuple[Made, frozenset[int]]]
    genuine: Callable[[str], Request]


def _nonsense(rng: random.Random, body: bytes) -> bytes:
    return rng.choice(
        [
            b"", b"null", b"[]", b"0", b'""', b"{", b"{}", b"\x00", rng.randbytes(rng.randint(1, 300)),
            body[: rng.randint(1, len(body) - 1)], body + body, b"[" * rng.randint(10_000, 100_000), b'{"a":' * 20_000,
            b"NaN",
        ]
    )  # fmt: skip


def _other_encoding(rng: random.Random, body: bytes) -> bytes:
    """Bytes that are no UTF-8 JSON, or that hold none of what is needed."""
    return rng.choice([b"\xff" + body, b64encode(body), body.replace(b'"', b"'"), b"payload=" + body, b"\x80" + body])


# --- Google Play --------------------------------------------------------------------------------------


def play_door(key: SigningKey) -> Door:
    """Pushes to one account, signed by `key`."""
    stranger = SigningKey()

    def token(at: timedelta = timedelta(), by: SigningKey = key, **claims: Any) -> str:
        given = {"audience": AUDIENCE, "email": EMAIL, "now": datetime.now(UTC) + at, **claims}
        return by.token(**given)

    def about(ident: str, **changes: Any) -> bytes:
        said = {"version": "1.0", "notificationType": 2, "purchaseToken": PURCHASE, **changes}
        told = notification(PACKAGE, datetime.now(UTC), subscriptionNotification=said)
        return envelope(told, ident)

    def push(body: bytes, bearer: str | None, *more: str, path: str = PLAY, method: str = "POST") -> Request:
        shown = [one for one in (bearer, *more) if one is not None]
        headers = [(b"authorization", f"Bearer {one}".encode()) for one in shown]
        return Request(method, path, headers, body)

    def ident(rng: random.Random) -> str:
        return f"push_{rng.getrandbits(64):016x}"

    def broken(rng: random.Random) -> str:
        header, claims, signature = token().split(".")
        return rng.choice(
            ["", "x", "a.b", "e30.e30.e30", f"{header}.{claims}.", f"{header}.{claims}.{signature[:-8]}AAAAAAAA",
             f"bnVsbA.{claims}.{signature}", f"{header}.e30.{signature}", "." * rng.randint(1, 9), "A" * 9_000]
        )  # fmt: skip

    def unstorable(rng: random.Random) -> bytes:
        return about(ident(rng), purchaseToken=rng.choice(["a\x00b", "\ud800", "\udfff\ud800"]))

    refused, read = frozenset({401}), frozenset({200})
    families: dict[str, tuple[Made, frozenset[int]]] = {
        "unsigned": (lambda rng: push(about(ident(rng)), None), refused),
        "another key": (lambda rng: push(about(ident(rng)), token(by=stranger)), refused),
        "another audience": (lambda rng: push(about(ident(rng)), token(audience=f"{AUDIENCE}-two")), refused),
        "another issuer": (lambda rng: push(about(ident(rng)), token(iss="https://accounts.example.com")), refused),
        "another sender": (lambda rng: push(about(ident(rng)), token(email=f"x{EMAIL}")), refused),
        "unverified sender": (
            lambda rng: push(about(ident(rng)), token(email_verified=rng.choice([False, "true", 1, None]))), refused),
        "old": (lambda rng: push(about(ident(rng)), token(-timedelta(hours=rng.randint(3, 9_999)))), refused),
        "from the future": (lambda rng: push(about(ident(rng)), token(timedelta(hours=rng.randint(1, 9)))), refused),
        "broken tokens": (lambda rng: push(about(ident(rng)), broken(rng)), refused),
        "doubled tokens": (lambda rng: push(about(ident(rng)), broken(rng), token(by=stranger)), refused),
        "signed nonsense": (lambda rng: push(_nonsense(rng, about(ident(rng))), token()), read),
        "signed, another encoding": (lambda rng: push(_other_encoding(rng, about(ident(rng))), token()), read),
        "signed, not storable": (lambda rng: push(unstorable(rng), token()), read),
        "signed, too large": (
            lambda rng: push(about(ident(rng)) + b" " * (MAX_PUSH + rng.randint(0, 99)), token()), frozenset({413})),
        "replayed": (lambda rng: push(about("told_before"), token()), read),
        "another method": (
            lambda rng: push(about(ident(rng)), token(), method=rng.choice(["GET", "PUT", "DELETE"])),
            frozenset({405})),
        "another place": (
            lambda rng: push(about(ident(rng)), token(), path=f"{PLAY}{rng.choice(['-two', '/more', '%00'])}"),
            frozenset({404})),
    }  # fmt: skip
    return Door("google_play", families, lambda name: push(about(name), token()))


# --- WhatsApp -----------------------------------------------------------------------------------------


def _signed(body: bytes, secret: str = APP_SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def _statuses(ident: str, **changes: Any) -> bytes:
    status = {"id": ident, "status": "delivered", "timestamp": "1772716200", "recipient_id": "6281234567890", **changes}
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": PHONE}, "statuses": [status]}
    return json.dumps(
        {"object": "x", "entry": [{"id": "0", "changes": [{"field": "messages", "value": value}]}]}
    ).encode()


def _review(ident: str) -> bytes:
    """News of a template: recorded, whatever it says."""
    change = {"field": "template_category_update", "value": {"event": "PENDING", "of": ident}}
    return json.dumps({"object": "x", "entry": [{"id": "0", "changes": [change]}]}).encode()


def _post(body: bytes, *signatures: str, path: str = WHATSAPP, method: str = "POST") -> Request:
    return Request(method, path, [(b"x-hub-signature-256", one.encode("latin-1")) for one in signatures], body)


def whatsapp_door() -> Door:
    """Statuses to one account."""

    def body(rng: random.Random) -> bytes:
        return _statuses(f"wamid.{rng.getrandbits(64):016x}")

    def altered(rng: random.Random) -> Request:
        said = body(rng)
        return _post(rng.choice([said[:-1], said + b" ", said.replace(b"1", b"2", 1)]), _signed(said))

    def of_other_shape(rng: random.Random) -> Request:
        wrong = rng.choice([[], 7, "text", [[]], [{"changes": 3}], [{"changes": [7]}], [{}]])
        said = json.dumps({"object": "x", "entry": wrong}).encode()
        return _post(said, _signed(said)) if wrong != [] else _post(b"{}", _signed(b"{}"))

    def unstorable(rng: random.Random) -> bytes:
        bad = rng.choice(["a\x00b", "\ud800", "\udfff\ud800"])
        return _statuses(bad, status="failed") if rng.random() < 0.5 else _statuses("wamid.1", status=f"new{bad}")

    def rubbish(rng: random.Random) -> str:
        return rng.choice(
            ["", "sha256=", "sha256=zz", "sha1=" + "a" * 40, "a" * 64, "sha256=" + "A" * 5_000, "\xff\xfe"]
        )

    def signed(made: Callable[[random.Random], bytes], **where: str) -> Made:
        def make(rng: random.Random) -> Request:
            said = made(rng)
            return _post(said, _signed(said), **where)

        return make

    refused = frozenset({401})
    families: dict[str, tuple[Made, frozenset[int]]] = {
        "unsigned": (lambda rng: _post(body(rng)), refused),
        "another secret": (lambda rng: _post(said := body(rng), _signed(said, f"s{rng.random()}")), refused),
        "signature of another body": (lambda rng: _post(body(rng), _signed(body(rng))), refused),
        "altered after signing": (altered, refused),
        "broken signatures": (lambda rng: _post(body(rng), rubbish(rng)), refused),
        "doubled signatures": (lambda rng: _post(body(rng), _signed(body(rng)), _signed(body(rng))), refused),
        "older algorithm": (lambda rng: _post(body(rng), "sha1=" + hashlib.sha1(body(rng)).hexdigest()), refused),
        "signed nonsense": (signed(lambda rng: _nonsense(rng, body(rng))), refused),
        "signed, wrong shapes": (of_other_shape, refused),
        "signed, another encoding": (signed(lambda rng: _other_encoding(rng, body(rng))), refused),
        "signed, too large": (
            signed(lambda rng: body(rng) + b" " * (MAX_STATUSES + rng.randint(0, 99))), frozenset({413})),
        "signed, about nobody": (signed(body), frozenset({200})),
        "signed, not storable": (signed(unstorable), refused),
        "replayed": (signed(lambda rng: _review("told_before")), frozenset({200})),
        "another method": (
            lambda rng: _post(body(rng), method=rng.choice(["PUT", "DELETE", "PATCH"])), frozenset({405})),
        "another place": (signed(body, path=f"{WHATSAPP}-two"), frozenset({404})),
        "challenge of a stranger": (
            lambda rng: Request("GET", WHATSAPP, [], b""), frozenset({403})),
    }  # fmt: skip
    return Door("whatsapp", families, lambda name: _post(_review(name), _signed(_review(name))))
