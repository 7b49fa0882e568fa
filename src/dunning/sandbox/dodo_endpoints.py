"""Dodo's routes for webhook endpoints: the one that the sandbox posts to, as its settings have it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends

from dunning.sandbox.book import machine_now
from dunning.sandbox.dodo_shared import require_key
from dunning.sandbox.errors import ApiError
from dunning.sandbox.here import Here
from dunning.sandbox.views import wire_instant

ENDPOINT = "ep_sandbox"
router = APIRouter(dependencies=[Depends(require_key)])


@router.get("/webhooks")
async def listing(sandbox: Here) -> dict[str, Any]:
    """`GET /webhooks`: one endpoint, or none."""
    url, at = sandbox.settings.webhook_url, wire_instant(machine_now())
    one: dict[str, Any] = {
        "id": ENDPOINT,
        "url": url,
        "description": "",
        "metadata": {},
        "created_at": at,
        "updated_at": at,
        "disabled": False,
        "filter_types": None,
        "rate_limit": None,
    }
    return {"data": [one] if url else [], "done": True, "iterator": None, "prev_iterator": None}


@router.get("/webhooks/{webhook_id}/secret")
async def secret(sandbox: Here, webhook_id: str) -> dict[str, str]:
    """`GET /webhooks/{id}/secret`."""
    settings = sandbox.settings
    if webhook_id != ENDPOINT or not settings.webhook_url or settings.webhook_secret is None:
        raise ApiError("NOT_FOUND", f"There is no webhook {webhook_id}.")
    return {"secret": settings.webhook_secret.get_secret_value()}
