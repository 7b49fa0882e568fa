"""The codec server: opens sealed payloads for the Temporal UI and for Temporal's own command line. SPEC 15, 18.

The browser sends what it got from Temporal to `/decode` and shows the answer; keys never leave this server. Whoever
reaches it reads everything, so it listens on the loopback interface unless a token is set.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, Response
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload, Payloads

from dunning.sealing import EncryptionCodec, Unreadable

MAX_BODY = 16 * 1024 * 1024
"""Bytes: a page of a long history in base64."""

Work = Callable[[Sequence[Payload]], Awaitable[list[Payload]]]


def create_app(codec: EncryptionCodec, *, origins: Sequence[str], token: SecretStr | None) -> FastAPI:
    """`POST /decode` and `POST /encode` in Temporal's remote codec protocol.

    Args:
        origins: addresses of the Temporal UI whose pages may ask (CORS), as `https://temporal.example.com`.
        token: asked for as `Authorization: Bearer ...`; None asks for nothing.
    """
    app = FastAPI(title="Dunning codec server", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=list(origins),
        allow_methods=["POST"],
        allow_headers=["authorization", "content-type", "x-namespace"],
        allow_credentials=True,
        max_age=600,
    )

    async def answer(request: Request, work: Work) -> Response:
        if token is not None and not _is_allowed(request, token):
            return _problem(401, "a valid bearer token is needed")
        try:
            payloads = ParseDict(await _document(request), Payloads()).payloads
            done = await work(payloads)
        except (ParseError, ValueError):
            return _problem(400, "the body is not a JSON form of Temporal's Payloads")
        except Unreadable as failure:
            return _problem(422, str(failure))
        headers = {"cache-control": "no-store"}
        return JSONResponse(MessageToDict(Payloads(payloads=done)), headers=headers)

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/decode")
    async def decode(request: Request) -> Response:
        return await answer(request, codec.decode)

    @app.post("/encode")
    async def encode(request: Request) -> Response:
        return await answer(request, codec.encode)

    return app


def _is_allowed(request: Request, token: SecretStr) -> bool:
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    is_same = secrets.compare_digest(given.strip().encode(), token.get_secret_value().encode())
    return kind.lower() == "bearer" and is_same


async def _document(request: Request) -> Any:
    """The body as JSON, read no further than the limit; raises ValueError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise ValueError("too large")
    found = _json(bytes(body))
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return found


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _problem(status: int, because: str) -> JSONResponse:
    return JSONResponse({"message": because}, status_code=status, headers={"cache-control": "no-store"})
