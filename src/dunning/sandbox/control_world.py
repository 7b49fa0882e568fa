"""The control API around the customers: faults, clocks, settings, WhatsApp, the backend double."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from dunning.sandbox.book import read_instant
from dunning.sandbox.control import find
from dunning.sandbox.control_models import Advance, BackendFailure, Configure, FaultList, SmsWorld, WhatsAppWorld
from dunning.sandbox.errors import ApiError
from dunning.sandbox.faults import Fault
from dunning.sandbox.here import Here
from dunning.sandbox.settings import SandboxSettings
from dunning.sandbox.whatsapp_book import digits

router = APIRouter(prefix="/_sandbox")


@router.post("/faults")
async def faults(sandbox: Here, body: list[Fault] | Fault | FaultList) -> dict[str, Any]:
    """Ask for faults: one, a list, or `{faults: [...]}`."""
    if isinstance(body, FaultList):
        body = body.faults
    sandbox.faults.add(body if isinstance(body, list) else [body])
    return {"faults": sandbox.faults.rows()}


@router.get("/faults")
async def faults_left(sandbox: Here) -> dict[str, Any]:
    """The faults still to come, the requests by what they asked, and the faults that befell them by kind."""
    found = sandbox.faults
    return {"faults": found.rows(), "requests": dict(found.asked), "befallen": dict(found.befallen)}


@router.delete("/faults", status_code=204)
async def no_faults(sandbox: Here) -> None:
    """Take back the faults still to come."""
    sandbox.faults.clear()


@router.post("/advance")
async def advance(sandbox: Here, body: Advance) -> dict[str, Any]:
    """Business time is now this; pending payments whose instant has come are settled, plans run what is due."""
    instant = read_instant(body.business_now)
    if instant is None:
        raise ApiError("INVALID_REQUEST_BODY", "business_now must be an instant with an offset")
    for plan in sandbox.xendit.plans.named(body.subscription):
        sandbox.xendit.plans.advance(plan, instant)
    subscription = find(sandbox, body.subscription) if body.subscription else None
    sandbox.omise.scheduler.advance(instant, subscription)
    settled = sandbox.bank.advance(instant, subscription)
    return {"settled": [one.payment_id for one in settled]}


@router.post("/configure")
async def configure(sandbox: Here, body: Configure) -> dict[str, Any]:
    """Change settings while running."""
    changes = {name: getattr(body, name) for name in body.model_fields_set}
    for name in ("whatsapp_statuses", "webhook_backoff_seconds"):
        if changes.get(name) is not None:
            changes[name] = tuple(changes[name])
    required = {"settle_seconds", "hold_seconds", "minimum_amount", "webhooks", "whatsapp_statuses"}
    required |= {"xendit_plan_delay_seconds", "xendit_keeps_plan_keys"}
    changes = {name: value for name, value in changes.items() if value is not None or name not in required}
    sandbox.settings = sandbox.settings.model_copy(update=changes)
    return configuration_view(sandbox.settings)


@router.get("/configuration")
async def configuration(sandbox: Here) -> dict[str, Any]:
    """The settings, secrets masked."""
    return configuration_view(sandbox.settings)


@router.post("/whatsapp")
async def whatsapp(sandbox: Here, body: WhatsAppWorld) -> dict[str, Any]:
    """Say what WhatsApp knows about recipients and templates."""
    if body.recipients is not None:
        sandbox.whatsapp.recipients = {digits(number): code for number, code in body.recipients.items()}
    if body.late_errors is not None:
        sandbox.whatsapp.late_errors = {digits(number): code for number, code in body.late_errors.items()}
    if body.templates is not None:
        sandbox.whatsapp.templates = body.templates
    return {"recipients": sandbox.whatsapp.recipients, "templates": sandbox.whatsapp.templates}


@router.post("/sms")
async def sms(sandbox: Here, body: SmsWorld) -> dict[str, Any]:
    """Say how the SMS gateway double answers."""
    if body.recipients is not None:
        sandbox.sms.recipients = dict(body.recipients)
    if body.fail_times is not None:
        sandbox.sms.fail_times, sandbox.sms.fail_status = body.fail_times, body.fail_status
    return {"recipients": sandbox.sms.recipients}


@router.get("/sms")
async def sms_sent(sandbox: Here) -> dict[str, Any]:
    """What the SMS gateway double took, each id once, and how often it was asked."""
    return {"messages": list(sandbox.sms.messages.values()), "asked": sandbox.sms.asked, "refused": sandbox.sms.refused}


@router.post("/sms/messages")
async def sms_receive(sandbox: Here, request: Request) -> Response:
    """The SMS gateway double: the endpoint that `sms.url` of a merchant account names."""
    secret = sandbox.settings.sms_secret
    plain = secret.get_secret_value() if secret else None
    status, answer = sandbox.sms.receive(request.headers, await request.body(), plain)
    return JSONResponse(answer, status_code=status)


@router.post("/reset", status_code=204)
async def reset(sandbox: Here) -> None:
    """Forget everything but the settings."""
    await sandbox.reset()


def configuration_view(settings: SandboxSettings) -> dict[str, Any]:
    """The settings with secrets masked."""
    return settings.model_dump(mode="json")


@router.post("/backend/events")
async def receive(sandbox: Here, request: Request) -> Response:
    """The product backend's endpoint."""
    secret = sandbox.settings.backend_secret
    plain = secret.get_secret_value() if secret else None
    return Response(status_code=sandbox.backend.receive(request.headers, await request.body(), plain))


@router.get("/backend/events")
async def events(
    sandbox: Here,
    subscription: str | None = None,
    event_type: Annotated[str | None, Query(alias="type")] = None,
) -> dict[str, Any]:
    """What the endpoint acknowledged, and what it refused."""
    rows = [one.row() for one in sandbox.backend.events]
    wanted = [
        row
        for row in rows
        if subscription in (None, row.get("subscription_id")) and event_type in (None, row.get("type"))
    ]
    return {"events": wanted, "refused": sandbox.backend.refused}


@router.post("/backend/fail")
async def fail(sandbox: Here, body: BackendFailure) -> dict[str, Any]:
    """Make the endpoint fail for a while."""
    sandbox.backend.fail_times, sandbox.backend.fail_status = body.times, body.status
    return body.model_dump()
