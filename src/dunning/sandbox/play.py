"""Google Play's part of the sandbox under `/play`: the Developer API, tokens for service accounts, signing keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from google.auth import jwt
from starlette.responses import Response

from dunning.domain.play_actions import CanceledBy, PlayState
from dunning.domain.prorate import half_even
from dunning.providers.google_play_auth import GRANT, SCOPE, TOKEN_URL
from dunning.providers.google_play_client import BUSINESS_AT_HEADER
from dunning.sandbox.book import machine_now, read_instant
from dunning.sandbox.faults import Target
from dunning.sandbox.here import Here
from dunning.sandbox.play_book import Line, Order, Purchase
from dunning.sandbox.play_desk import Kind
from dunning.sandbox.play_errors import PlayError, fault_of, install_error_handlers
from dunning.sandbox.play_prices import migrate as migrate_cohort
from dunning.sandbox.play_views import order_view, purchase_view, voided_view, wire_instant
from dunning.sandbox.state import Sandbox

PREFIX = "/play"
ACCESS_TOKEN = "sandbox-access-token"  # noqa: S105
APP = "/androidpublisher/v3/applications/{package}"
_decode: Any = jwt.decode

auth = APIRouter()


def _authorized(request: Request) -> None:
    if request.headers.get("authorization") != f"Bearer {ACCESS_TOKEN}":
        raise PlayError(401, "authError", "Request had invalid authentication credentials.")


router = APIRouter(prefix=APP, dependencies=[Depends(_authorized)])


def create_app(sandbox: Sandbox) -> FastAPI:
    """Google Play's routes over the shared state."""
    app = FastAPI(title="Google Play", redirect_slashes=False, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.sandbox = sandbox
    install_error_handlers(app)
    app.include_router(auth)
    app.include_router(router)
    return app


class PlayFace:
    """What the gate has to know of Google Play: nothing there is a charge of ours."""

    prefix = PREFIX

    def classify(self, method: str, path: str) -> tuple[Target, str | None]:
        """Which kind of request this is."""
        return ("lookup" if method == "GET" and "/tokens/" in path else "any"), None

    def reference_in(self, body: bytes) -> str | None:
        """Nobody is charged by us."""
        return None

    def refusal(self, status: int) -> Response:
        """A fault's answer."""
        return fault_of(status)


@auth.post("/token")
async def token(request: Request) -> JSONResponse:
    """The exchange of a service account's assertion."""
    form = parse_qs((await request.body()).decode())
    try:
        claims = _decode(form.get("assertion", [""])[0], verify=False)
    except ValueError:
        claims = {}
    now = machine_now().timestamp()
    is_fresh = claims.get("iat", 0) <= now + 60 and now < claims.get("exp", 0) <= claims.get("iat", 0) + 3600
    is_right = claims.get("aud") == TOKEN_URL and SCOPE in str(claims.get("scope", "")) and bool(claims.get("iss"))
    if form.get("grant_type") != [GRANT] or not is_fresh or not is_right:
        return JSONResponse({"error": "invalid_grant"}, status_code=400)
    return JSONResponse({"access_token": ACCESS_TOKEN, "expires_in": 3599, "token_type": "Bearer"})


@auth.get("/oauth2/v1/certs")
async def certificates(sandbox: Here) -> dict[str, str]:
    """The keys that sign Pub/Sub's tokens, by their ids."""
    return {sandbox.play.key.key_id: sandbox.play.key.certificate}


def _found(sandbox: Sandbox, request: Request, token: str) -> Purchase:
    """A purchase, after everything that happened up to the business instant of the request."""
    purchase = sandbox.play.book.purchase(token)
    at = read_instant(request.headers.get(BUSINESS_AT_HEADER))
    if at is not None:
        sandbox.play.desk.advance(purchase, at)
    return sandbox.play.book.purchase(token)


@router.get("/purchases/subscriptionsv2/tokens/{token}")
async def get(sandbox: Here, request: Request, package: str, token: str) -> dict[str, Any]:
    """`subscriptionsv2.get`."""
    return purchase_view(_found(sandbox, request, token))


@router.post("/purchases/subscriptionsv2/tokens/{token}:cancel")
async def cancel(sandbox: Here, request: Request, token: str, body: dict[str, Any]) -> dict[str, Any]:
    """`subscriptionsv2.cancel`."""
    purchase = _found(sandbox, request, token)
    kind = body.get("cancellationContext", {}).get("cancellationType")
    if kind not in ("USER_REQUESTED_STOP_RENEWALS", "DEVELOPER_REQUESTED_STOP_PAYMENTS"):
        raise PlayError(400, "invalid", "cancellationContext.cancellationType is required")
    is_user = kind == "USER_REQUESTED_STOP_RENEWALS"
    sandbox.play.desk.cancel(purchase, CanceledBy.DEVELOPER, can_restore=is_user)
    return {}


@router.post("/purchases/subscriptionsv2/tokens/{token}:defer")
async def defer(sandbox: Here, request: Request, token: str, body: dict[str, Any]) -> dict[str, Any]:
    """`subscriptionsv2.defer`."""
    purchase = _found(sandbox, request, token)
    context = body.get("deferralContext", {})
    if sandbox.play.etag_conflicts > 0:
        sandbox.play.etag_conflicts -= 1
        sandbox.play.desk.changed(purchase)
    if context.get("etag") != purchase.etag:
        raise PlayError(409, "etagMismatch", "The etag does not match the latest etag of the subscription.")
    if purchase.state is not PlayState.ACTIVE:
        raise PlayError(400, "invalid", "The subscription is not active.")
    by = _duration(context.get("deferDuration"))
    ends = {line.product_id: line.expiry + by for line in purchase.lines}
    if not context.get("validateOnly"):
        for line in purchase.lines:
            line.expiry = ends[line.product_id]
        sandbox.play.desk.changed(purchase, Kind.DEFERRED)
    rows = [{"productId": name, "expiryTime": wire_instant(end)} for name, end in ends.items()]
    return {"itemExpiryTimeDetails": rows}


@router.post("/purchases/subscriptionsv2/tokens/{token}:revoke")
async def revoke(sandbox: Here, request: Request, token: str, body: dict[str, Any]) -> dict[str, Any]:
    """`subscriptionsv2.revoke`."""
    purchase = _found(sandbox, request, token)
    context = body.get("revocationContext", {})
    if purchase.state in (PlayState.EXPIRED, PlayState.PENDING):
        raise PlayError(400, "invalid", "The subscription cannot be revoked.")
    if "itemBasedRefund" in context:
        _revoke_item(sandbox, purchase, context["itemBasedRefund"].get("productId", ""))
    elif "proratedRefund" in context:
        for line in purchase.lines:
            _refund_part(sandbox, purchase, line)
        sandbox.play.desk.end_now(purchase, refunds=False)
    elif "fullRefund" in context:
        sandbox.play.desk.end_now(purchase, refunds=True)
    else:
        raise PlayError(400, "invalid", "revocationContext needs one kind of refund")
    return {}


def _refund_part(sandbox: Sandbox, purchase: Purchase, line: Line) -> None:
    order = sandbox.play.book.orders.get(line.order_id or "")
    row = next((one for one in order.lines if one.product_id == line.product_id), None) if order else None
    if order is None or row is None or row.start is None or row.end is None or row.end <= purchase.clock:
        return
    whole, left = row.end - row.start, row.end - purchase.clock
    amount = half_even(row.total * int(left.total_seconds()), int(whole.total_seconds()))
    if amount:
        sandbox.play.desk.give_back(order, purchase.clock, amount, line.product_id)


def _revoke_item(sandbox: Sandbox, purchase: Purchase, product_id: str) -> None:
    line = purchase.line(product_id)
    is_active = line is not None and line.expiry > purchase.clock and line.order_id is not None
    if purchase.decline is not None or line is None or not is_active or line.is_prepaid:
        raise PlayError(400, "invalid", "This item cannot be revoked.")
    order = sandbox.play.book.order(line.order_id or "")
    row = next(one for one in order.lines if one.product_id == product_id)
    sandbox.play.desk.give_back(order, purchase.clock, row.total, product_id)
    if not any(one.expiry > purchase.clock for one in purchase.lines if one is not line):
        purchase.canceled_by = CanceledBy.DEVELOPER
        sandbox.play.desk.end_now(purchase, refunds=False)
        return
    purchase.lines = [one for one in purchase.lines if one is not line]
    sandbox.play.desk.changed(purchase, Kind.ITEMS_CHANGED)


@router.post("/purchases/subscriptions/{product_id}/tokens/{token}:acknowledge", status_code=204)
async def acknowledge(sandbox: Here, request: Request, token: str) -> Response:
    """`subscriptions.acknowledge`."""
    purchase = _found(sandbox, request, token)
    purchase.acknowledged = True
    sandbox.play.desk.changed(purchase)
    return Response(status_code=204)


@router.get("/orders:batchGet")
async def orders(sandbox: Here, order_ids: Annotated[list[str], Query(alias="orderIds")]) -> dict[str, Any]:
    """`orders.batchGet`: one unknown id fails all."""
    return {"orders": [order_view(sandbox.play.book.order(one)) for one in order_ids]}


@router.get("/orders/{order_id}")
async def order(sandbox: Here, order_id: str) -> dict[str, Any]:
    """`orders.get`."""
    return order_view(sandbox.play.book.order(order_id))


@router.post("/orders/{order_id}:refund", status_code=204)
async def refund(sandbox: Here, request: Request, order_id: str, revoke: bool = False) -> Response:
    """`orders.refund`."""
    found = sandbox.play.book.order(order_id)
    purchase = sandbox.play.book.purchases.get(found.token)
    at = read_instant(request.headers.get(BUSINESS_AT_HEADER))
    if purchase is not None and at is not None:
        sandbox.play.desk.advance(purchase, at)
    now = purchase.clock if purchase is not None else at or machine_now()
    if now > found.created_at + timedelta(days=3 * 365 + 1):
        raise PlayError(400, "orderTooOld", "Orders older than three years cannot be refunded.")
    is_latest = purchase is not None and order_id in sandbox.play.book.latest_orders(purchase)
    sandbox.play.desk.give_back(found, now)
    sandbox.play.tell_voided(found, 2 if purchase is None else 1)
    if purchase is None:
        return Response(status_code=204)
    if revoke and is_latest and purchase.state is not PlayState.EXPIRED:
        sandbox.play.desk.end_now(purchase, refunds=False)
    return Response(status_code=204)


@router.get("/purchases/voidedpurchases")
async def voided(
    sandbox: Here,
    start_time: Annotated[int | None, Query(alias="startTime")] = None,
    kind: Annotated[int, Query(alias="type")] = 0,
    most: Annotated[int, Query(alias="maxResults")] = 1000,
    page: Annotated[str, Query(alias="token")] = "0",
) -> dict[str, Any]:
    """`voidedpurchases.list`, a page at a time; `type=1` includes subscriptions."""
    since = datetime.fromtimestamp((start_time or 0) / 1000, UTC)
    found: list[Order] = [one for one in sandbox.play.book.orders.values() if one.voided_at and one.voided_at >= since]
    if kind == 0:
        found = [one for one in found if one.token in sandbox.play.book.one_time]
    if not page.isdigit():
        raise PlayError(400, "invalid", "The page token is not valid.")
    start, size = int(page), min(most, sandbox.play.voided_page)
    whole = [one for one in found if one.state == "REFUNDED"]
    rows: dict[str, Any] = {"voidedPurchases": [voided_view(one) for one in whole[start : start + size]]}
    if start + size < len(whole):
        rows["tokenPagination"] = {"nextPageToken": str(start + size)}
    return rows


@router.post("/subscriptions/{product_id}/basePlans/{base_plan_id}:migratePrices")
async def migrate(
    sandbox: Here, product_id: str, base_plan_id: str, package: str, body: dict[str, Any]
) -> dict[str, Any]:
    """`basePlans.migratePrices`."""
    if not body.get("regionalPriceMigrations") or not body.get("regionsVersion", {}).get("version"):
        raise PlayError(400, "invalid", "regionalPriceMigrations and regionsVersion are required")
    sandbox.play.book.migrations.append({"productId": product_id, "basePlanId": base_plan_id, **body})
    for row in body["regionalPriceMigrations"]:
        migrate_cohort(sandbox.play.book, sandbox.play.desk, product_id, base_plan_id, row)
    return {}


def _duration(value: object) -> timedelta:
    text = value if isinstance(value, str) else ""
    if not text.endswith("s") or not text[:-1].isdigit():
        raise PlayError(400, "invalid", "deferDuration is a number of seconds, as 86400s")
    by = timedelta(seconds=int(text[:-1]))
    if not timedelta(days=1) <= by <= timedelta(days=366):
        raise PlayError(400, "invalid", "A subscription is deferred by one day to one year.")
    return by
