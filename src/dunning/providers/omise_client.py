"""HTTP to Omise: credentials, what an answer amounts to, and lists read to their end. Sheet B1, B9."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any, TypeVar

import httpx
from pydantic import Field, SecretStr, ValidationError

from dunning.domain.declines import classify
from dunning.providers.base import AnswerKind, ChargeAnswer, ProviderRefused, ProviderUnavailable
from dunning.providers.http import HttpCaller, Reply
from dunning.providers.omise_declines import API, API_CARD, OMISE_DECLINES
from dunning.providers.omise_wire import Wire

W = TypeVar("W", bound=Wire)

API_URL = "https://api.omise.co"
API_VERSION = "2019-05-29"
BUSINESS_AT_HEADER = "x-dunning-business-at"
"""Sent in test mode only: the sandbox settles scripted pending charges by the business clock."""
PAGE_SIZE = 100
MAX_PAGES = 200
_TEST_KEY = "skey_test_"
_NOT_CERTAIN = "backend_error"
"""An error of the provider's own machinery, although it comes with a client error's status."""


class _List(Wire):
    data: list[dict[str, Any]]
    total: int | None = Field(default=None, ge=0)


class OmiseClient:
    """One account's requests, each sent once."""

    def __init__(
        self,
        api_key: SecretStr,
        *,
        is_test: bool,
        base_url: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Connect nothing yet.

        Raises:
            ValueError: a public key, or a key of the other mode (SPEC 12: never mixed).
        """
        key = api_key.get_secret_value()
        if key.startswith("pkey_"):
            raise ValueError("this account's Omise key is a public one; the secret key is needed")
        if key.startswith(_TEST_KEY) is not is_test:
            mode = "test" if is_test else "live"
            raise ValueError(f"this account is in {mode} mode and its Omise key is of the other mode")
        self._is_test = is_test
        credentials = base64.b64encode(f"{key}:".encode()).decode()
        headers = {"authorization": f"Basic {credentials}", "omise-version": API_VERSION}
        self._http = HttpCaller(base_url or API_URL, headers, transport=transport)

    async def get(self, path: str, business_at: datetime | None = None, **query: str | int) -> Reply:
        """Read. `business_at` reaches a test server only."""
        return await self._http.call("GET", path, query=query or None, headers=self._clock(business_at))

    def _clock(self, business_at: datetime | None) -> dict[str, str]:
        is_told = business_at is not None and self._is_test
        return {BUSINESS_AT_HEADER: business_at.isoformat()} if is_told and business_at is not None else {}

    async def send(self, method: str, path: str, body: Mapping[str, Any], business_at: datetime | None = None) -> Reply:
        """Change something, once. `business_at` reaches a test server only."""
        return await self._http.call(method, path, json_body=body, headers=self._clock(business_at))

    async def rows(self, path: str, model: type[W], **query: str | int) -> AsyncGenerator[W, None]:
        """Everything in a list, which must come to its end.

        Raises:
            ProviderUnavailable: a page could not be had or read.
            ProviderRefused: the list does not exist.
        """
        taken = 0
        for _ in range(MAX_PAGES):
            page = read(_List, required(await self.get(path, None, **query, limit=PAGE_SIZE, offset=taken)))
            for row in page.data:
                yield _validated(model, row)
            taken += len(page.data)
            if not page.data or (page.total is not None and taken >= page.total):
                return
        raise ProviderUnavailable(f"the list {path} did not end after {MAX_PAGES} pages")

    async def aclose(self) -> None:
        """Close connections."""
        await self._http.aclose()


def required(reply: Reply) -> Reply:
    """The answer, if it is a good one; raises what else it amounts to."""
    if reply.is_ok and reply.text("object") != "error":
        return reply
    code = _certain_refusal(reply)
    if code is not None:
        raise ProviderRefused(code, reply.text("message") or reply.because)
    raise ProviderUnavailable(_outage(reply), reply.retry_after_seconds)


def read(model: type[W], reply: Reply) -> W:
    """The answer as a model; raises `ProviderUnavailable` when it cannot be read."""
    return _validated(model, reply.body)


def unpaid(reply: Reply) -> ChargeAnswer:
    """A charge request that brought no charge: certain that nothing was charged, refused, or unclear."""
    code = error_code(reply)
    wait = reply.retry_after_seconds
    if reply.is_unsent or reply.status in (401, 403, 429):
        return ChargeAnswer(kind=AnswerKind.OUTAGE, code=code, because=_outage(reply), retry_after_seconds=wait)
    refused = _certain_refusal(reply)
    if refused is not None:
        return refusal(ProviderRefused(refused, reply.text("message") or reply.because))
    return ChargeAnswer(kind=AnswerKind.UNCLEAR, code=code, because=reply.because)


def refusal(error: ProviderRefused) -> ChargeAnswer:
    """A request that Omise refused, with the field under which the table knows its code."""
    message = str(error).removeprefix(f"{error.code}: ")
    is_about_card = error.code == "not_found" and message.lower().startswith("card")
    field = API_CARD if is_about_card else API
    return ChargeAnswer(kind=AnswerKind.REFUSED, code_field=field, code=error.code, because=message)


def error_code(reply: Reply) -> str | None:
    """The code of an error object; whatever else stands in between (a proxy) has none."""
    return reply.text("code") if reply.text("object") == "error" else None


def _certain_refusal(reply: Reply) -> str | None:
    """The code with which Omise surely refused the request before doing anything."""
    code = error_code(reply)
    is_client_error = reply.status is not None and 400 <= reply.status < 500
    if code is None or not is_client_error or reply.status in (401, 403, 408, 429) or code == _NOT_CERTAIN:
        return None
    is_known = not classify(OMISE_DECLINES, API, code).is_unknown
    return code if is_known or reply.status != 409 else None


def _outage(reply: Reply) -> str:
    code = error_code(reply)
    if reply.status in (401, 403):
        return f"attention: Omise does not accept this account's key ({code or reply.status})"
    if reply.status == 429:
        return "Omise throttles this account"
    return f"{reply.because} ({code})" if code else reply.because


def _validated(model: type[W], content: object) -> W:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ProviderUnavailable(f"the answer cannot be read: {error.error_count()} faults") from None
