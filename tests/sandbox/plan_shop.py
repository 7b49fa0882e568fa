"""A merchant's backend that speaks to the sandbox's Xendit about plans."""

from __future__ import annotations

from typing import Any

import httpx

from dunning.sandbox import SandboxServer

NEW, OLD = "2026-01-01", "2022-10-01"
START = "2026-03-01T09:00:00+00:00"
CALENDAR: dict[str, Any] = {
    "interval": "MONTH",
    "interval_count": 1,
    "anchor_date": "2026-03-05T16:00:00+07:00",
    "retry_interval": "DAY",
    "retry_interval_count": 3,
    "total_retry": 2,
}
ONE = [{"payment_token_id": "pt-1", "rank": 1}]


class Shop:
    """A merchant's backend that speaks to Xendit's plans, and the control API beside it."""

    def __init__(self, sandbox: SandboxServer, http: httpx.AsyncClient) -> None:
        self.sandbox = sandbox
        self.http = http

    async def control(self, path: str, body: Any) -> dict[str, Any]:
        answer = await self.http.post(f"/_sandbox/{path}", json=body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def know(self, *outcomes: str) -> None:
        """A customer with two tokens, and the outcomes of what the plan tries."""
        methods = [{"payment_method_id": "pt-2"}, {"payment_method_id": "pt-1"}]
        body = {"provider": "xendit", "subscription_id": "pt-1", "customer_id": "cust-1", "payment_method_id": "pt-1"}
        await self.control("subscriptions", {**body, "methods": methods, "currency": "IDR"})
        await self.control("scripts", {"subscription": "ours", "script": list(outcomes)})

    async def ask(
        self, method: str, path: str, body: Any = None, *, at: str | None = START, version: str = NEW, **headers: str
    ) -> httpx.Response:
        sent = {"api-version": version, **{name.replace("_", "-"): one for name, one in headers.items()}}
        if at is not None:
            sent["x-dunning-business-at"] = at
        url, auth = f"/xendit/recurring{path}", ("xnd_development_k", "")
        return await self.http.request(method, url, json=body, headers=sent, auth=auth)

    def body(self, **changes: Any) -> dict[str, Any]:
        made = {
            "reference_id": "plan-1",
            "customer_id": "cust-1",
            "currency": "IDR",
            "amount": 100000,
            "payment_tokens": ONE,
            "schedule": CALENDAR,
            "failed_cycle_action": "STOP",
            "metadata": {"subscription": "ours"},
        }
        return {name: value for name, value in {**made, **changes}.items() if value is not None}

    async def plan(self, **changes: Any) -> str:
        answer = await self.ask("POST", "/plans", self.body(**changes))
        assert answer.status_code == 202, answer.text
        found: str = answer.json()["id"]
        return found

    async def at(self, plan: str, instant: str) -> dict[str, Any]:
        """The plan and its cycles as they stand at an instant."""
        answer = await self.ask("GET", f"/plans/{plan}", at=instant)
        cycles = (await self.ask("GET", f"/plans/{plan}/cycles", at=instant)).json()["data"]
        return {**answer.json(), "cycles": sorted(cycles, key=lambda one: one["cycle_number"])}

    async def book(self) -> list[tuple[int, str]]:
        rows = (await self.http.get("/_sandbox/charges")).json()["charges"]
        return [(row["amount"], row["status"]) for row in rows]

    async def told(self) -> list[str]:
        rows = (await self.http.get("/_sandbox/webhooks")).json()["webhooks"]
        return [row["type"] for row in rows if row["type"].startswith("recurring.")]
