"""The Play client, the sandbox that it speaks to, and Google's own description of both sides of every exchange."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from functools import cache
from importlib import resources
from typing import Any

import httpx
import jsonschema
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr

from dunning.providers.google_play_client import PlayClient
from dunning.sandbox import SandboxServer
from tests.domain.calendars import at

PACKAGE = "com.your.app"
START = at("2026-08-01T00:00")


@cache
def document() -> dict[str, Any]:
    """The discovery document that comes with Google's client."""
    folder = resources.files("googleapiclient.discovery_cache.documents")
    found: dict[str, Any] = json.loads((folder / "androidpublisher.v3.json").read_text())
    return found


@cache
def schemas() -> dict[str, Any]:
    """Its schemas as JSON Schema, closed: a field that Google does not name is a fault."""

    def turn(node: Any) -> Any:
        if isinstance(node, list):
            return [turn(one) for one in node]
        if not isinstance(node, dict):
            return node
        if isinstance(node.get("$ref"), str):
            return {"$ref": f"#/$defs/{node['$ref']}"}
        kept = {}
        for name in ("type", "enum", "items", "properties", "additionalProperties"):
            if name in node and not (name == "type" and node[name] == "any"):
                value = node[name]
                named = name == "properties"
                kept[name] = {key: turn(one) for key, one in value.items()} if named else turn(value)
        if node.get("type") == "object" and "additionalProperties" not in node:
            kept["additionalProperties"] = False
        return kept

    return {name: turn(schema) for name, schema in document()["schemas"].items()}


@cache
def methods() -> list[dict[str, Any]]:
    """Every method of the API."""

    def walk(node: dict[str, Any]) -> list[dict[str, Any]]:
        found = list(node.get("methods", {}).values())
        for child in node.get("resources", {}).values():
            found += walk(child)
        return found

    return walk(document())


@cache
def _patterns() -> list[tuple[str, Any, dict[str, Any]]]:
    return [(one["httpMethod"], _pattern(one), one) for one in methods()]


def method_of(verb: str, path: str) -> dict[str, Any]:
    """The method that a request calls."""
    found = [one for called, pattern, one in _patterns() if called == verb and pattern.fullmatch(path)]
    # `orders/{orderId}` also matches `orders:batchGet` only where the template says so, so one is left.
    assert len(found) == 1, (verb, path, [one["id"] for one in found])
    return found[0]


def _pattern(method: dict[str, Any]) -> Any:
    template = method.get("flatPath") or method["path"]
    return re.compile("/" + re.sub(r"\\{[^}]*\\}", "[^/:]+", re.escape(template)))


def check(name: str, content: Any) -> None:
    """Hold content against a schema."""
    _validator(name).validate(content)


@cache
def _validator(name: str) -> Any:
    # Google's schemas are taken as they are: checking all of them takes seconds each time.
    return jsonschema.Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": schemas()})


class Checked(httpx.AsyncBaseTransport):
    """Every request and every good answer is what the discovery document says; `seen`: ids of methods called."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport()
        self.seen: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        body = await answer.aread()
        path = request.url.path
        if path.startswith("/play/androidpublisher"):
            method = method_of(request.method, path.removeprefix("/play"))
            self.seen.append(method["id"])
            known = {**method.get("parameters", {}), **document()["parameters"]}
            assert set(request.url.params) <= set(known), request.url
            if request.content and request.content != b"null":
                check(method["request"]["$ref"], json.loads(request.content))
            if answer.is_success and "response" in method:
                check(method["response"]["$ref"], json.loads(body))
        headers = [(key, value) for key, value in answer.headers.raw if key.lower() != b"content-encoding"]
        return httpx.Response(answer.status_code, headers=headers, content=body)

    async def aclose(self) -> None:
        await self._inner.aclose()


@cache
def service_account() -> SecretStr:
    """A service account's key file, of a key made here."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    info = {"type": "service_account", "client_email": "dunning@sandbox.iam.gserviceaccount.com", "private_key": pem}
    info |= {"private_key_id": "k1", "token_uri": "https://oauth2.googleapis.com/token"}
    return SecretStr(json.dumps(info))


class PlayRig:
    """One sandbox with a client."""

    def __init__(self, sandbox: SandboxServer, control: httpx.AsyncClient) -> None:
        self.sandbox = sandbox
        self.control = control
        self.checked = Checked()
        self.url = f"{sandbox.url}/play"
        self.client = PlayClient(
            service_account(),
            package_name=PACKAGE,
            is_test=True,
            base_url=self.url,
            token_url=f"{self.url}/token",
            transport=self.checked,
        )

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self.control.post(f"/_sandbox/play/{path}", json=body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def buy(self, *items: dict[str, Any], token: str = "token-1", start: Any = START, **given: Any) -> str:
        base = {"product_id": "base", "price": 2_000, "is_base": True}
        rows = [
            {**(base if place == 0 else {"product_id": f"addon{place}", "price": 1_000}), **one}
            for place, one in enumerate(items or ({},))
        ]
        body = {"token": token, "package": PACKAGE, "at": start.isoformat(), "items": rows, **given}
        await self.post("purchases", body)
        return token

    async def acknowledged(self, *items: dict[str, Any], **given: Any) -> str:
        token = await self.buy(*items, **given)
        await self.client.acknowledge(token, "base")
        return token

    async def g1(self, **given: Any) -> str:
        """The guide's purchase: base from the 1st, an add-on of $10 from Aug 15 with a trial of seven days."""
        token = await self.acknowledged(script=["DECLINED"], **given)
        item = {"product_id": "addon", "price": 1_000, "trial_days": 7}
        await self.post(f"purchases/{token}/items", {"at": (START + timedelta(days=14)).isoformat(), "item": item})
        return token

    async def deed(self, token: str, deed: str, when: str | None = None, **more: Any) -> None:
        moment = {"at": at(when).isoformat()} if when else {}
        await self.post(f"purchases/{token}/deeds", {"deed": deed, **moment, **more})

    async def advance(self, token: str, when: str) -> dict[str, Any]:
        return await self.post(f"purchases/{token}/advance", {"at": at(when).isoformat()})

    async def close(self) -> None:
        await self.client.aclose()
