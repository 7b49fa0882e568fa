"""Requests that must have no effect, by families: what is wrong with them, for each provider's way of signing."""

from __future__ import annotations

import gzip
import hashlib
import hmac
import json
import random
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dunning.gateway.app import MAX_BODY
from dunning.providers import omise_signature
from dunning.providers.omise_signature import decode_secret
from dunning.providers.standard_webhooks import decode_secret as standard_secret

Headers = list[tuple[bytes, bytes]]
MINUTES = 60


class Request(NamedTuple):
    """One request as it comes over the wire."""

    method: str
    path: str
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class Target:
    """One merchant account's door, with what only the provider and we know.

    Attributes:
        key: of an attempt that was sent and is not settled: an accepted message would settle it.
        told: a genuine message that was taken already, as it was sent.
        secret_of: makes a secret of the right form out of 24 bytes.
    """

    provider: str
    account: str
    secret: str
    key: str
    sign: Callable[[bytes, int, str, str], dict[str, str]]
    body: Callable[[str, str], dict[str, Any]]
    secret_of: Callable[[bytes], str]
    told: Request | None = None

    @property
    def path(self) -> str:
        return f"/webhooks/{self.provider}/{self.account}"

    @property
    def has_clock(self) -> bool:
        """Whether the time is signed: Xendit's token says nothing about it."""
        return self.provider != "xendit"


def now() -> int:
    return int(datetime.now(UTC).timestamp())


def genuine(target: Target, ident: str, key: str | None = None) -> Request:
    """A message as the provider sends it."""
    body = json.dumps(target.body(key or target.key, ident)).encode()
    return signed(target, body, ident)


def signed(target: Target, body: bytes, ident: str, *, at: int | None = None, secret: str | None = None) -> Request:
    """Any body, signed rightly (unless another secret is given)."""
    headers = target.sign(body, now() if at is None else at, secret or target.secret, ident)
    return Request("POST", target.path, _raw(headers), body)


def _raw(headers: dict[str, str]) -> Headers:
    pairs = {"content-type": "application/json", **headers}
    return [(name.encode(), value.encode("latin-1")) for name, value in pairs.items()]


def _valid(target: Target, rng: random.Random) -> tuple[bytes, str]:
    ident = f"msg_{rng.getrandbits(64):016x}"
    return json.dumps(target.body(target.key, ident)).encode(), ident


# --- who may speak ----------------------------------------------------------------------------------


def unsigned(target: Target, rng: random.Random) -> Request:
    body, ident = _valid(target, rng)
    kept = {"webhook-id": ident} if rng.random() < 0.5 else {}
    return Request("POST", target.path, _raw(kept), body)


def signed_by_another_secret(target: Target, rng: random.Random) -> Request:
    body, ident = _valid(target, rng)
    return signed(target, body, ident, secret=target.secret_of(rng.randbytes(24)))


def signature_of_another_body(target: Target, rng: random.Random) -> Request:
    """For a static token: a token that is nearly right."""
    body, ident = _valid(target, rng)
    if not target.has_clock:
        return signed(target, body, ident, secret=_nearly(target.secret, rng))
    other, _ = _valid(target, rng)
    return signed(target, other, ident)._replace(body=body)


def altered_after_signing(target: Target, rng: random.Random) -> Request:
    body, ident = _valid(target, rng)
    if not target.has_clock:
        return signed(target, body, ident, secret=target.secret + rng.choice(["x", "=", "0"]))
    changed = [body[:-1], body + b" ", b" " + body, body.replace(b"1", b"2", 1)]
    return signed(target, body, ident)._replace(body=rng.choice(changed))


def old(target: Target, rng: random.Random) -> Request:
    """For a static token: the token that was valid before."""
    body, ident = _valid(target, rng)
    if not target.has_clock:
        return signed(target, body, ident, secret=f"{target.secret}-of-last-year")
    return signed(target, body, ident, at=now() - rng.randint(6 * MINUTES, 10**8))


def from_the_future(target: Target, rng: random.Random) -> Request:
    body, ident = _valid(target, rng)
    if not target.has_clock:
        return signed(target, body, ident, secret=target.secret.swapcase())
    return signed(target, body, ident, at=now() + rng.randint(6 * MINUTES, 10**9))


def doubled_signatures(target: Target, rng: random.Random) -> Request:
    """Many guesses in one header, or the header twice; none is right."""
    body, ident = _valid(target, rng)
    wrong = [target.sign(body, now(), target.secret_of(rng.randbytes(24)), ident) for _ in range(rng.randint(2, 5))]
    if rng.random() < 0.5:
        separator = {"dodo": " ", "omise": ","}.get(target.provider, ",")
        name = _signature_header(target)
        joined = separator.join(one[name] for one in wrong) * rng.randint(1, 20)
        return Request("POST", target.path, _raw({**wrong[0], name: joined}), body)
    return Request("POST", target.path, [pair for one in wrong for pair in _raw(one)], body)


def broken_headers(target: Target, rng: random.Random) -> Request:
    body, ident = _valid(target, rng)
    headers = target.sign(body, now(), target.secret, ident)
    name = _signature_header(target)
    rubbish = rng.choice([b"", b"\xff\xfe", b"v1,", b",,,,", b"v1," + b"A" * 5_000, rng.randbytes(40), b"v2,abc", b"0"])
    raw = [(n, v) for n, v in _raw(headers) if n.decode() != name]
    return Request("POST", target.path, [*raw, (name.encode(), rubbish.replace(b"\n", b"").replace(b"\r", b""))], body)


def broken_times(target: Target, rng: random.Random) -> Request:
    """For a static token: no token at all, and a strange id."""
    body, ident = _valid(target, rng)
    if not target.has_clock:
        return Request("POST", target.path, [(b"webhook-id", rng.randbytes(30).hex().encode())], body)
    name = {"dodo": "webhook-timestamp", "omise": "omise-signature-timestamp"}[target.provider]
    headers = target.sign(body, now(), target.secret, ident)
    headers[name] = rng.choice(
        ["", "x", "-1", "1e9", "9" * 40, "NaN", f"{now()}.5", f"+{now() - 7200}", "\u00b2\u00b3"]
    )
    return Request("POST", target.path, _raw(headers), body)


def meant_for_another_account(target: Target, rng: random.Random) -> Request:
    body, ident = _valid(target, rng)
    return signed(target, body, ident)._replace(path=f"/webhooks/{target.provider}/{target.account}-two")


# --- signed, and yet wrong --------------------------------------------------------------------------


def signed_nonsense(target: Target, rng: random.Random) -> Request:
    body, ident = _valid(target, rng)
    made = rng.choice(
        [
            b"", b"null", b"[]", b"0", b'""', b"{", b"{}", b"\x00", rng.randbytes(rng.randint(1, 300)),
            body[: rng.randint(1, len(body) - 1)], body + body, b"[" * rng.randint(10_000, 100_000),
            b'{"a":' * 20_000, b"NaN", b'{"type":', b'{"event":7,"data":3}',
        ]
    )  # fmt: skip
    return signed(target, made, ident)


def signed_wrong_shapes(target: Target, rng: random.Random) -> Request:
    """One needed field is missing or of another type."""
    ident = f"msg_{rng.getrandbits(64):016x}"
    document = target.body(target.key, ident)
    data = document["data"]
    ids = [name for name in ("payment_id", "payment_request_id", "id") if name in data]
    rubbish: list[Any] = [[], {"a": 1}, True, {"deep": [[[]]]}]
    match rng.randrange(5):
        case 0:
            document["data"] = rng.choice([[], "text", 7, True])
        case 1:
            for name in ids:
                data[name] = rng.choice([[], {"a": 1}])
        case 2:
            for name in ("total_amount", "amount", "request_amount"):
                if name in data:
                    data[name] = rng.choice(["much", [], {}, "1e999", 10**40, "NaN", "-Infinity"])
        case 3:
            data["currency"] = rng.choice(rubbish)
        case _:
            data["metadata"] = rng.choice(["text", 7, [1]])
    return signed(target, json.dumps(document).encode(), ident)


def signed_and_too_large(target: Target, rng: random.Random) -> Request:
    body, ident = _valid(target, rng)
    return signed(target, body[:-1] + b" " * (MAX_BODY + rng.randint(0, 9_999)) + b"}", ident)


def signed_in_another_encoding(target: Target, rng: random.Random) -> Request:
    body, ident = _valid(target, rng)
    text = body.decode()
    made = rng.choice(
        [
            text.encode("utf-16"), text.encode("utf-16-le"), text.encode("utf-32"), b"\xef\xbb\xbf\xff" + body,
            text.replace("IDR", "\u00ceDR").encode("latin-1") + b"\xe9", gzip.compress(body), b64encode(body),
            body.replace(b"{", b"\x80{", 1), body.replace(b'"', b"'"), b"payload=" + body,
        ]
    )  # fmt: skip
    return signed(target, made, ident)


def signed_and_not_storable(target: Target, rng: random.Random) -> Request:
    """Characters that no text of the ledger can hold."""
    ident = f"msg_{rng.getrandbits(64):016x}"
    document = target.body(target.key, ident)
    data = document["data"]
    bad = rng.choice(["\\u0000", "\\ud800", "\\udfff\\ud800"])
    for name in ("payment_id", "payment_request_id", "id"):
        if name in data:
            data[name] = "BAD"
    return signed(target, json.dumps(document).replace("BAD", f"x{bad}x").encode(), ident)


# --- other places and ways --------------------------------------------------------------------------


def replayed(target: Target, rng: random.Random) -> Request:
    """A genuine message that was taken already: acknowledged, and nothing more."""
    if target.told is None:
        raise RuntimeError("there is nothing to replay yet")
    return target.told


def to_another_place(target: Target, rng: random.Random) -> Request:
    body, ident = _valid(target, rng)
    base, other = target.path, rng.choice(["stripe", "DODO", "google_play", ""])
    path = rng.choice(
        [
            f"/webhooks/{other}/{target.account}", f"/webhooks/{target.provider}/nobody-{rng.getrandbits(30)}",
            f"{base}/more", f"{base}/../../v1/subscriptions", f"{base}\x00", base.replace("webhooks", "webhook"),
            "/webhooks", f"/webhooks/{target.provider}/{'a' * 3000}", f"{base}%00", "//webhooks//", f"{base};x=1",
            f"/webhooks/{target.provider}/\u202e{target.account}",
        ]
    )  # fmt: skip
    return signed(target, body, ident)._replace(path=path)


def by_another_method(target: Target, rng: random.Random) -> Request:
    body, ident = _valid(target, rng)
    method = rng.choice(["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW"])
    return signed(target, body, ident)._replace(method=method)


def unsigned_as_something_else(target: Target, rng: random.Random) -> Request:
    """Another content type, without a signature that holds."""
    body, ident = _valid(target, rng)
    kind = rng.choice(
        ["text/plain", "application/xml", "multipart/form-data; boundary=x", "", "application/json; charset=utf-16"]
    )
    made = signed(target, body, ident, secret=target.secret_of(rng.randbytes(24)))
    headers = [(n, v) for n, v in made.headers if n != b"content-type"]
    return made._replace(headers=[*headers, (b"content-type", kind.encode()), (b"content-encoding", b"gzip")])


REFUSED = frozenset({401})
Family = Callable[[Target, random.Random], Request]
FAMILIES: dict[str, tuple[Family, frozenset[int]]] = {
    "unsigned": (unsigned, REFUSED),
    "another secret": (signed_by_another_secret, REFUSED),
    "signature of another body": (signature_of_another_body, REFUSED),
    "altered after signing": (altered_after_signing, REFUSED),
    "old": (old, REFUSED),
    "from the future": (from_the_future, REFUSED),
    "doubled signatures": (doubled_signatures, REFUSED),
    "broken headers": (broken_headers, REFUSED),
    "broken times": (broken_times, REFUSED),
    "meant for another account": (meant_for_another_account, REFUSED),
    "signed nonsense": (signed_nonsense, REFUSED),
    "signed, wrong shapes": (signed_wrong_shapes, REFUSED),
    "signed, too large": (signed_and_too_large, frozenset({413})),
    "signed, another encoding": (signed_in_another_encoding, REFUSED),
    "signed, not storable": (signed_and_not_storable, REFUSED),
    "replayed": (replayed, frozenset({200})),
    "another place": (to_another_place, frozenset({404})),
    "another method": (by_another_method, frozenset({405})),
    "unsigned, another content type": (unsigned_as_something_else, REFUSED),
}
"""Name -> how one is made, and the statuses that may answer it."""


def _signature_header(target: Target) -> str:
    return {"dodo": "webhook-signature", "omise": "omise-signature", "xendit": "x-callback-token"}[target.provider]


def _nearly(secret: str, rng: random.Random) -> str:
    place = rng.randrange(len(secret))
    return secret[:place] + ("a" if secret[place] != "a" else "b") + secret[place + 1 :]


# --- how each provider signs, and what it says ------------------------------------------------------


def dodo_sign(body: bytes, at: int, secret: str, ident: str) -> dict[str, str]:
    made = hmac.new(standard_secret(secret), b".".join((ident.encode(), str(at).encode(), body)), hashlib.sha256)
    signature = f"v1,{b64encode(made.digest()).decode()}"
    return {"webhook-id": ident, "webhook-timestamp": str(at), "webhook-signature": signature}


def omise_sign(body: bytes, at: int, secret: str, ident: str) -> dict[str, str]:
    made = omise_signature.sign(decode_secret(secret), str(at), body)
    return {"omise-signature": made, "omise-signature-timestamp": str(at)}


def xendit_sign(body: bytes, at: int, secret: str, ident: str) -> dict[str, str]:
    return {"x-callback-token": secret, "webhook-id": ident}


def dodo_body(key: str, ident: str) -> dict[str, Any]:
    data = {
        "payload_type": "Payment", "payment_id": f"pay_{ident}", "status": "succeeded", "total_amount": 100_000,
        "currency": "IDR", "subscription_id": "sub_dodo_1", "metadata": {"subscription": "sub-1", "dunning_key": key},
        "created_at": datetime.now(UTC).isoformat(),
    }  # fmt: skip
    return {"type": "payment.succeeded", "timestamp": datetime.now(UTC).isoformat(), "data": data}


def omise_body(key: str, ident: str) -> dict[str, Any]:
    data = {
        "object": "charge", "id": f"chrg_test_{ident}", "status": "successful", "amount": 100_000, "currency": "idr",
        "metadata": {"subscription": "sub-1", "dunning_key": key}, "customer": "cust_1",
    }  # fmt: skip
    return {"object": "event", "id": f"evnt_{ident}", "key": "charge.complete", "livemode": False, "data": data}


def xendit_body(key: str, ident: str) -> dict[str, Any]:
    data = {
        "payment_request_id": f"pr-{ident}", "reference_id": key, "status": "SUCCEEDED", "request_amount": 1_000,
        "currency": "IDR", "metadata": {"subscription": "sub-1", "dunning_key": key},
    }  # fmt: skip
    return {"event": "payment.capture", "created": datetime.now(UTC).isoformat(), "data": data}


def requests(targets: list[Target], count: int, seed: int) -> Iterator[tuple[str, Target, Request]]:
    """So many requests, evenly over all families of all targets; the same ones for the same seed, clocks aside."""
    rng = random.Random(seed)
    cells = [(name, target) for name in FAMILIES for target in targets]
    for number in range(count):
        name, target = cells[number % len(cells)]
        yield name, target, FAMILIES[name][0](target, rng)
