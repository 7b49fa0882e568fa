"""Xendit's last SDK with recurring plans (npm, contract of 2022) beside our adapter: the same job, the same requests.

`make test-node` installs the SDK and runs it against the sandbox. Everywhere else its requests are the recorded ones of
`tests/fixtures/xendit_node_requests.json`, which that run holds to what the SDK sends.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dunning.domain.plans import CancelCycle, ChangeTerms, PlanStatus, ReplaceMethod
from dunning.domain.terms import Subscription
from dunning.providers.following import PlanRequest
from dunning.providers.xendit import XenditProvider
from dunning.sandbox import SandboxServer
from dunning.sandbox.serving import serving
from tests.builders import at, subscription_data

pytestmark = pytest.mark.server
ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "fixtures" / "xendit_node_requests.json"
MODULES = ROOT / ".venv" / "node" / "node_modules"
NODE = shutil.which("node")
KEY = "xnd_development_key"
NOW = at("2026-03-01T09:00")
Recorded = dict[str, Any]

SCHEDULE = {
    "referenceId": "pl_1",
    "interval": "MONTH",
    "intervalCount": 1,
    "anchorDate": "2026-03-05T16:00:00+07:00",
    "retryInterval": "DAY",
    "retryIntervalCount": 3,
    "totalRetry": 2,
}
PLAN = {
    "businessId": "b-1",
    "referenceId": "pl_1",
    "customerId": "cust-1",
    "recurringAction": "PAYMENT",
    "currency": "IDR",
    "amount": 1000,
    "paymentMethods": [{"paymentMethodId": "pm-1", "rank": 1}],
    "schedule": SCHEDULE,
    "immediateActionType": None,
    "notificationConfig": {"recurringCreated": [], "recurringSucceeded": [], "recurringFailed": [], "locale": "en"},
    "failedCycleAction": "STOP",
    "metadata": {"subscription": "ours-1", "merchant_account": "demo"},
    "description": "Pro plan",
}
OF_PLAN = {"businessId": "b-1", "id": "$0.id"}
OF_CYCLE = {"businessId": "b-1", "planId": "$0.id", "id": "$3.data.0.id"}
CALLS: list[dict[str, Any]] = [
    {"name": "createPlan", "data": PLAN},
    {"name": "getPlan", "data": OF_PLAN},
    {"name": "editPlan", "data": {**OF_PLAN, "paymentMethods": [{"paymentMethodId": "pm-2", "rank": 1}]}},
    {"name": "getAllCycles", "data": {"businessId": "b-1", "planId": "$0.id", "limit": 100}},
    {"name": "editCycle", "data": {**OF_CYCLE, "amount": 2500, "currency": "IDR"}},
    {"name": "cancelCycle", "data": OF_CYCLE},
    {"name": "deactivatePlan", "data": OF_PLAN},
]


class Proxy:
    """Leads to the sandbox and writes down what is asked; ids become words, for each run has its own."""

    def __init__(self, target: str) -> None:
        self.http = httpx.AsyncClient(base_url=f"{target}/xendit", timeout=10)
        self.seen: list[Recorded] = []

    async def take(self, request: Request) -> Response:
        body = await request.body()
        parts = [_word(part) for part in request.url.path.strip("/").split("/")]
        self.seen.append(
            {
                "method": request.method,
                "path": "/" + "/".join(parts),
                "query": dict(request.query_params),
                "authorization": request.headers.get("authorization"),
                "body": json.loads(body) if body else None,
            }
        )
        kept = {n: v for n, v in request.headers.items() if n not in ("host", "content-length")}
        url = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        answer = await self.http.request(request.method, url, content=body, headers=kept)
        return Response(answer.content, answer.status_code, media_type="application/json")


def _word(part: str) -> str:
    return {"repl": "PLAN", "recy": "CYCLE"}.get(part[:4], part)


@pytest.fixture
async def proxy() -> AsyncIterator[tuple[Proxy, str]]:
    async with SandboxServer.start(settle_seconds=0.0) as sandbox, httpx.AsyncClient(base_url=sandbox.url) as http:
        body: dict[str, Any] = {"provider": "xendit", "subscription_id": "pm-1", "customer_id": "cust-1"}
        body |= {"payment_method_id": "pm-1", "currency": "IDR", "methods": [{"payment_method_id": "pm-2"}]}
        (await http.post("/_sandbox/subscriptions", json=body)).raise_for_status()
        found = Proxy(sandbox.url)
        routes = [Route("/{path:path}", found.take, methods=["GET", "POST", "PATCH"])]
        async with serving(Starlette(routes=routes)) as url:
            yield found, url
        await found.http.aclose()


def recorded() -> list[Recorded]:
    rows: list[Recorded] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return rows


async def test_our_adapter_asks_for_the_same_things_as_the_sdk(proxy: tuple[Proxy, str]) -> None:
    seen, url = proxy
    provider = XenditProvider(SecretStr(KEY), is_test=True, base_url=url)
    made = await provider.create_plan(_request())
    await provider.change_plan(made.plan_id, ReplaceMethod(token="pm-2"), business_at=NOW)
    items = [{"product_id": "pro", "role": "base", "quantity": 1, "unit_amount": 250_000}]
    await provider.change_plan(made.plan_id, ChangeTerms(terms=_given(items=items).terms()), business_at=NOW)
    await provider.change_plan(made.plan_id, CancelCycle(due_at=at("2026-03-05T09:00")), business_at=NOW)
    assert (await provider.end_plan(made.plan_id, business_at=NOW, reason="test")).status is PlanStatus.ENDED
    await provider.aclose()

    ours = [_compared(one) for one in seen.seen]
    for theirs in recorded():
        assert _compared(theirs) in ours, theirs


@pytest.mark.skipif(
    not (NODE and (MODULES / "xendit-node").is_dir()), reason="NOT RUN: `make test-node` installs the SDK"
)
async def test_the_sdk_understands_the_sandbox_and_sends_what_is_recorded(proxy: tuple[Proxy, str]) -> None:
    seen, url = proxy
    answers = await asyncio.to_thread(_as_the_sdk, url)
    assert [one for one in answers if "error" in one] == []
    created, read, edited, cycles, changed, canceled, ended = answers
    assert (created["reference_id"], created["recurring_action"], created["amount"]) == ("pl_1", "PAYMENT", 1000)
    assert read["status"] == "ACTIVE"
    assert edited["payment_methods"] == [{"payment_method_id": "pm-2", "rank": 1}]
    assert [one["status"] for one in cycles["data"]] == ["SCHEDULED"]
    assert (changed["amount"], canceled["status"], ended["status"]) == (2500, "CANCELLED", "INACTIVE")
    if os.environ.get("DUNNING_RECORD_NODE"):
        RECORDED.write_text(json.dumps(seen.seen, indent=1) + "\n", encoding="utf-8")
    assert seen.seen == recorded()


def _as_the_sdk(url: str) -> list[dict[str, Any]]:
    job = json.dumps({"url": url, "key": KEY, "calls": CALLS})
    script = ROOT / "tests" / "node" / "recurring.js"
    environment = {**os.environ, "NODE_PATH": str(MODULES)}
    done = subprocess.run(
        [NODE or "node", str(script)],
        input=job,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        check=True,
    )
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def _given(**changes: Any) -> Subscription:
    data = {
        "id": "ours-1",
        "provider": "xendit",
        "collection": "provider",
        "provider_options": {"legacy_plan": True, "customer_id": "cust-1"},
        "retry": {"interval": "DAY", "interval_count": 3, "total": 2},
        "schedule": {"anchor_at": "2026-03-05T16:00:00+07:00", "interval": "MONTH", "interval_count": 1},
        **changes,
    }
    return Subscription.model_validate(subscription_data(**data))


def _request() -> PlanRequest:
    given = _given()
    return PlanRequest(
        subscription="ours-1",
        account="demo",
        reference="pl_1",
        method_tokens=("pm-1",),
        terms=given.terms(),
        contacts=given.contacts(),
        business_at=NOW,
    )


def _compared(one: Recorded) -> Recorded:
    """What matters: an empty body is none, and the SDK ends the path of a creation with a slash."""
    return {**one, "path": one["path"].rstrip("/"), "body": one["body"] or None}
