"""HTTP to Xendit: credentials, API versions, what an answer amounts to, and lists read to their end. Sheet A1."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from dunning.domain.declines import DeclineClass, classify
from dunning.providers.base import AnswerKind, ChargeAnswer, ProviderRefused, ProviderUnavailable
from dunning.providers.http import HttpCaller, Reply
from dunning.providers.xendit_declines import API, XENDIT_DECLINES
from dunning.providers.xendit_wire import Wire

W = TypeVar("W", bound=BaseModel)

API_URL = "https://api.xendit.co"
BUSINESS_AT_HEADER = "x-dunning-business-at"
"""Sent in test mode only: the sandbox settles scripted pending payments by the business clock."""
PAYMENTS_VERSION = "2024-11-11"
CUSTOMERS_VERSION = "2020-10-31"
PLANS_VERSION = "2026-01-01"
LEGACY_PLANS_VERSION = "2022-10-01"
PAGE_SIZE = 50
MAX_PAGES = 200
_TEST_KEY = "xnd_development_"
_PUBLIC_KEY = "xnd_public_"
_THROTTLED = "PAYMENT_REQUEST_RATE_LIMITED"
_KEY_LACKS = "REQUEST_FORBIDDEN_ERROR"


class _List(Wire):
    data: list[dict[str, Any]]
    has_more: bool = False


class XenditClient:
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
        if key.startswith(_PUBLIC_KEY):
            raise ValueError("this account's Xendit key is a public one; the secret key is needed")
        if key.startswith(_TEST_KEY) is not is_test:
            mode = "test" if is_test else "live"
            raise ValueError(f"this account is in {mode} mode and its Xendit key is of the other mode")
        self._is_test = is_test
        credentials = base64.b64encode(f"{key}:".encode()).decode()
        self._http = HttpCaller(base_url or API_URL, {"authorization": f"Basic {credentials}"}, transport=transport)

    async def get(
        self, path: str, business_at: datetime | None = None, query: Mapping[str, str] | None = None
    ) -> Reply:
        """Read. `business_at` reaches a test server only."""
        headers = _version(path)
        if business_at is not None and self._is_test:
            headers[BUSINESS_AT_HEADER] = business_at.isoformat()
        return await self._http.call("GET", path, query=query or None, headers=headers)

    async def plans(
        self,
        method: str,
        path: str,
        business_at: datetime,
        *,
        version: str,
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request about plans, once. `business_at` reaches a test server only."""
        headers = {"api-version": version}
        if self._is_test:
            headers[BUSINESS_AT_HEADER] = business_at.isoformat()
        if idempotency_key is not None:
            headers["idempotency-key"] = idempotency_key
        return await self._http.call(
            method, f"/recurring/plans{path}", json_body=body, query=query or None, headers=headers
        )

    async def post(self, path: str, body: Mapping[str, Any], *, idempotency_key: str | None = None) -> Reply:
        """Change something, once; the key only where the contract knows it (customers, refunds)."""
        headers = _version(path)
        if idempotency_key is not None:
            headers["idempotency-key"] = idempotency_key
        return await self._http.call("POST", path, json_body=body, headers=headers)

    async def rows(self, path: str, model: type[W], query: Mapping[str, str]) -> AsyncGenerator[W, None]:
        """Everything in a list, which must come to its end.

        Raises:
            ProviderUnavailable: a page could not be had or read.
            ProviderRefused: the list does not exist.
        """
        asked = {**query, "limit": str(PAGE_SIZE)}
        for _ in range(MAX_PAGES):
            page = read(_List, required(await self.get(path, query=asked)))
            for row in page.data:
                yield validated(model, row)
            last = page.data[-1].get("id") if page.data else None
            if not page.has_more:
                return
            if not isinstance(last, str):
                raise ProviderUnavailable(f"the list {path} says that there is more, and not where")
            asked["after_id"] = last
        raise ProviderUnavailable(f"the list {path} did not end after {MAX_PAGES} pages")

    async def aclose(self) -> None:
        """Close connections."""
        await self._http.aclose()


def required(reply: Reply) -> Reply:
    """The answer, if it is a good one; raises what else it amounts to."""
    if reply.is_ok:
        return reply
    code = _certain_refusal(reply)
    if code is not None:
        raise ProviderRefused(code, reply.text("message") or reply.because)
    raise ProviderUnavailable(_outage(reply), reply.retry_after_seconds)


def read(model: type[W], reply: Reply) -> W:
    """The answer as a model; raises `ProviderUnavailable` when it cannot be read."""
    return validated(model, reply.body)


def unpaid(reply: Reply) -> ChargeAnswer:
    """A charge request that brought no payment: certain that nothing was charged, refused, or unclear."""
    code, wait = reply.text("error_code"), reply.retry_after_seconds
    is_turned_away = reply.status in (401, 429) or (reply.status == 403 and _certain_refusal(reply) is None)
    if reply.is_unsent or is_turned_away or (reply.status == 400 and code == _THROTTLED):
        return ChargeAnswer(kind=AnswerKind.OUTAGE, code=code, because=_outage(reply), retry_after_seconds=wait)
    refused = _certain_refusal(reply)
    if refused is not None:
        return refusal(ProviderRefused(refused, reply.text("message") or reply.because))
    if reply.status == 409:
        because = "Xendit knows this reference already: that proves a payment request, not what became of it"
        return ChargeAnswer(kind=AnswerKind.UNCLEAR, code=code, because=because)
    return ChargeAnswer(kind=AnswerKind.UNCLEAR, code=code, because=reply.because)


def refusal(error: ProviderRefused) -> ChargeAnswer:
    """A request that was refused, by Xendit or before it was sent."""
    because = str(error).removeprefix(f"{error.code}: ")
    return ChargeAnswer(kind=AnswerKind.REFUSED, code_field=API, code=error.code, because=because)


def validated(model: type[W], content: object) -> W:
    """Content as a model; raises `ProviderUnavailable` when it cannot be read."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ProviderUnavailable(f"the answer cannot be read: {error.error_count()} faults") from None


def _version(path: str) -> dict[str, str]:
    return {"api-version": CUSTOMERS_VERSION if path.startswith("/customers") else PAYMENTS_VERSION}


def _certain_refusal(reply: Reply) -> str | None:
    """The code with which Xendit surely refused the request before doing anything.

    An unavailable channel or issuer is such an answer too, although it is a 503 (sheet A7); a conflict never is.
    """
    code, status = reply.text("error_code"), reply.status
    if code is None or status is None or status in (401, 408, 409, 429) or code in (_THROTTLED, _KEY_LACKS):
        return None
    found = classify(XENDIT_DECLINES, API, code)
    if status in {403, 503}:
        is_told = not found.is_unknown and (status == 403 or found.klass is DeclineClass.TECHNICAL)
        return code if is_told else None
    return code if 400 <= status < 500 else None


def _outage(reply: Reply) -> str:
    code = reply.text("error_code")
    if reply.status in (401, 403):
        return f"attention: Xendit does not accept this account's key ({code or reply.status})"
    if reply.status == 429 or code == _THROTTLED:
        return "Xendit throttles this account"
    return f"{reply.because} ({code})" if code else reply.because


def refused_or_unsent(reply: Reply) -> None:
    """Raise what is certain of an answer that is not good; nothing is raised where the request may have taken effect.

    Raises:
        ProviderRefused: Xendit refused it before doing anything.
        ProviderUnavailable: it surely never reached Xendit, or was turned away.
    """
    code = _certain_refusal(reply)
    if code is not None:
        raise ProviderRefused(code, reply.text("message") or reply.because)
    if reply.is_unsent or reply.status in (401, 403, 429):
        raise ProviderUnavailable(_outage(reply), reply.retry_after_seconds)
