"""Every call of the Google Play Developer API that the engine makes, each sent once. Sheet G.1, G.2.

Nothing there carries an idempotency key. A deferral is guarded by the purchase's `etag`; everything else is read
before and after, so that a repeat finds that there is nothing left to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import httpx
from pydantic import SecretStr, ValidationError

from dunning.domain.commands import CancelType
from dunning.providers.base import ProviderRefused, ProviderUnavailable
from dunning.providers.following import PlanUnclear
from dunning.providers.google_play_auth import ServiceAccount, Tokens
from dunning.providers.google_play_quota import Meter, Quota
from dunning.providers.google_play_wire import (
    Wire,
    WireDeferred,
    WireOrder,
    WirePurchase,
    WireVoidedPage,
)
from dunning.providers.http import HttpCaller, Reply

W = TypeVar("W", bound=Wire)

API_URL = "https://androidpublisher.googleapis.com"
BUSINESS_AT_HEADER = "x-dunning-business-at"
"""Sent in test mode only: the sandbox's purchases live by the business clock."""
MAX_ORDERS = 1000
VOIDED_DAYS = 30
"""Voided purchases are listed so far back."""
GONE = frozenset({"purchaseTokenNoLongerValid", "purchaseTokenNotFound", "gone"})
_THROTTLED = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "RESOURCE_EXHAUSTED"})


class PlayClient:
    """The API for one app (`package_name`), as one service account."""

    def __init__(
        self,
        key: SecretStr,
        *,
        package_name: str,
        is_test: bool,
        base_url: str | None = None,
        token_url: str | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        meter: Meter | None = None,
    ) -> None:
        """Connect nothing yet; raises `ValueError` for a key that is no service account's."""
        self.package_name = package_name
        self._is_test = is_test
        self._meter = meter or Meter()
        self._tokens = Tokens(ServiceAccount(key, token_url), transport=transport)
        self._http = HttpCaller(base_url or API_URL, {}, transport=transport)
        self._app = f"/androidpublisher/v3/applications/{part(package_name)}"

    async def purchase(self, token: str, *, business_at: datetime | None = None) -> WirePurchase:
        """`purchases.subscriptionsv2.get`: the source of truth."""
        return read(WirePurchase, await self._get(self._token(token), business_at))

    async def cancel(self, token: str, kind: CancelType, *, business_at: datetime | None = None) -> None:
        """`subscriptionsv2.cancel`: no refund; access runs on to each item's expiry."""
        body = {"cancellationContext": {"cancellationType": kind.value}}
        await self._post(f"{self._token(token)}:cancel", body, business_at, Quota.SUBSCRIPTION_UPDATES)

    async def defer(
        self,
        token: str,
        by: timedelta,
        etag: str,
        *,
        is_dry_run: bool = False,
        business_at: datetime | None = None,
    ) -> WireDeferred:
        """`subscriptionsv2.defer`: every item by the same time, while the purchase still has this `etag`."""
        seconds = f"{int(by.total_seconds())}s"
        context = {"deferDuration": seconds, "etag": etag, "validateOnly": is_dry_run}
        path, body = f"{self._token(token)}:defer", {"deferralContext": context}
        return read(WireDeferred, await self._post(path, body, business_at, Quota.SUBSCRIPTION_UPDATES))

    async def revoke(
        self,
        token: str,
        *,
        is_prorated: bool = False,
        product_id: str | None = None,
        business_at: datetime | None = None,
    ) -> None:
        """`subscriptionsv2.revoke`: access ends now; the money back in full, by the time left, or of one item."""
        kind: dict[str, Any] = {"proratedRefund": {}} if is_prorated else {"fullRefund": {}}
        if product_id is not None:
            kind = {"itemBasedRefund": {"productId": product_id}}
        path, body = f"{self._token(token)}:revoke", {"revocationContext": kind}
        await self._post(path, body, business_at, Quota.SUBSCRIPTION_UPDATES)

    async def acknowledge(self, token: str, product_id: str, *, business_at: datetime | None = None) -> None:
        """`subscriptions.acknowledge`: within three days of a purchase; never for a renewal."""
        path = f"{self._app}/purchases/subscriptions/{part(product_id)}/tokens/{part(token)}:acknowledge"
        await self._post(path, {}, business_at, Quota.SUBSCRIPTIONS)

    async def order(self, order_id: str, *, business_at: datetime | None = None) -> WireOrder:
        """`orders.get`."""
        return read(WireOrder, await self._get(f"{self._app}/orders/{part(order_id)}", business_at, Quota.ORDERS))

    async def orders(self, order_ids: Sequence[str], *, business_at: datetime | None = None) -> tuple[WireOrder, ...]:
        """`orders.batchGet`, a thousand at a time; one unknown id fails its whole batch."""
        found: list[WireOrder] = []
        ids = list(dict.fromkeys(order_ids))
        for start in range(0, len(ids), MAX_ORDERS):
            query = urlencode([("orderIds", one) for one in ids[start : start + MAX_ORDERS]])
            reply = await self._get(f"{self._app}/orders:batchGet?{query}", business_at, Quota.ORDERS)
            found += [_validated(WireOrder, row) for row in _list(reply, "orders")]
        return tuple(found)

    async def refund(self, order_id: str, *, revokes: bool, business_at: datetime | None = None) -> None:
        """`orders.refund`: the whole order. `revokes` ends access too, if it is the latest of its subscription."""
        query = "true" if revokes else "false"
        path = f"{self._app}/orders/{part(order_id)}:refund?revoke={query}"
        await self._post(path, None, business_at, Quota.ORDERS)

    async def voided_page(self, since: datetime, page: str | None = None) -> WireVoidedPage:
        """`voidedpurchases.list`, subscriptions and parts included; `since` is at most 30 days back."""
        query: dict[str, str | int] = {
            "startTime": int(since.timestamp() * 1000),
            "type": 1,
            "maxResults": 1000,
            "includeQuantityBasedPartialRefund": "true",
        }
        if page is not None:
            query["token"] = page
        return read(WireVoidedPage, await self._get(f"{self._app}/purchases/voidedpurchases?{urlencode(query)}", None))

    async def migrate_prices(
        self, product_id: str, base_plan_id: str, migrations: Sequence[Mapping[str, str]], regions_version: str
    ) -> None:
        """`basePlans.migratePrices`: ends legacy price cohorts; see `PriceMigration` for what a row holds."""
        body = {
            "packageName": self.package_name,
            "productId": product_id,
            "basePlanId": base_plan_id,
            "regionalPriceMigrations": [dict(one) for one in migrations],
            "regionsVersion": {"version": regions_version},
        }
        path = f"{self._app}/subscriptions/{part(product_id)}/basePlans/{part(base_plan_id)}:migratePrices"
        await self._post(path, body, None, Quota.MONETIZATION)

    async def aclose(self) -> None:
        """Close connections."""
        await self._tokens.aclose()
        await self._http.aclose()

    def _token(self, token: str) -> str:
        return f"{self._app}/purchases/subscriptionsv2/tokens/{part(token)}"

    async def _get(self, path: str, business_at: datetime | None, quota: Quota = Quota.SUBSCRIPTIONS) -> Reply:
        self._meter.take(quota)
        return required(await self._send("GET", path, None, business_at))

    async def _post(
        self, path: str, body: Mapping[str, Any] | None, business_at: datetime | None, quota: Quota
    ) -> Reply:
        self._meter.take(quota)
        reply = await self._send("POST", path, body, business_at)
        unclear = reply.status is None or reply.status >= 500 or reply.status == 408
        if unclear and not reply.is_unsent:
            raise PlanUnclear(f"Google Play did not answer ({reply.because}); perhaps it took effect")
        return required(reply)

    async def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, business_at: datetime | None
    ) -> Reply:
        headers = {"authorization": f"Bearer {await self._tokens.get()}"}
        if business_at is not None and self._is_test:
            headers[BUSINESS_AT_HEADER] = business_at.isoformat()
        reply = await self._http.call(method, path, json_body=body, headers=headers)
        if reply.status == 401:
            self._tokens.forget()
        return reply


def part(value: str) -> str:
    """One part of a path: an id that came from outside never becomes a path of its own."""
    return quote(value, safe="")


def reason_of(reply: Reply) -> str | None:
    """Why Google refused: the first reason of its error body, else its status word."""
    error = reply.body.get("error") if isinstance(reply.body, dict) else None
    if not isinstance(error, dict):
        return None
    rows = error.get("errors")
    first = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}
    for value in (first.get("reason"), error.get("status")):
        if isinstance(value, str) and value:
            return value
    return None


def required(reply: Reply) -> Reply:
    """The answer, if it is a good one; raises what else it amounts to.

    Google's own client repeats 429, 5xx and a 403 that says the rate is exceeded; those are outages. 404 and 410 mean
    that there is no such purchase (any more).
    """
    if reply.status is not None and 200 <= reply.status < 300:
        return reply
    reason = reason_of(reply)
    if reply.status == 429 or reason in _THROTTLED:
        raise ProviderUnavailable("Google Play throttles this account", reply.retry_after_seconds)
    if reply.status in (401, 403):
        because = f"attention: Google Play does not let this account in ({reason or reply.status})"
        raise ProviderUnavailable(because, reply.retry_after_seconds)
    if reply.status is not None and 400 <= reply.status < 500 and reply.status != 408 and reason is not None:
        code = "gone" if reply.status == 410 else reason
        raise ProviderRefused(code, _message(reply), {"status": reply.status})
    raise ProviderUnavailable(reply.because, reply.retry_after_seconds)


def read(model: type[W], reply: Reply) -> W:
    """The answer as a model; raises `ProviderUnavailable` when it cannot be read."""
    return _validated(model, reply.body)


def from_millis(value: int) -> datetime:
    """Google's milliseconds since 1970."""
    return datetime.fromtimestamp(value / 1000, UTC)


def _list(reply: Reply, name: str) -> list[Any]:
    rows = reply.body.get(name, []) if isinstance(reply.body, dict) else None
    if not isinstance(rows, list):
        raise ProviderUnavailable(f"the answer has no list {name}")
    return rows


def _message(reply: Reply) -> str:
    error = reply.body.get("error") if isinstance(reply.body, dict) else None
    text = error.get("message") if isinstance(error, dict) else None
    return text if isinstance(text, str) and text else reply.because


def _validated(model: type[W], content: object) -> W:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise ProviderUnavailable(f"the answer cannot be read: {error.error_count()} faults") from None
