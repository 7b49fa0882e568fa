"""The WhatsApp Cloud API's send contract: template messages only, validated, never merged."""

from __future__ import annotations

import re
from functools import partial
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from dunning.sandbox.book import machine_now
from dunning.sandbox.here import Here
from dunning.sandbox.signing import whatsapp_event
from dunning.sandbox.state import Sandbox
from dunning.sandbox.whatsapp_book import SentMessage, digits
from dunning.sandbox.whatsapp_errors import TITLES, http_status_of, meta_error

router = APIRouter()
_PARAMETER_KINDS = {
    "header": {"text", "image", "video", "document"},
    "body": {"text", "currency", "date_time"},
    "button": {"payload", "text"},
}
_LANGUAGE = re.compile(r"^[a-z]{2,3}(_[A-Z]{2})?$")


class RefusedError(Exception):
    """The message is not accepted, with the provider's code."""

    def __init__(self, code: int, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


@router.post("/{version}/{phone_number_id}/messages")
async def send(sandbox: Here, version: str, phone_number_id: str, request: Request) -> JSONResponse:
    """`POST /{version}/{phone number id}/messages`."""
    try:
        if not re.fullmatch(r"v[0-9]+\.[0-9]+", version):
            raise RefusedError(100, f"{version} is not a version")
        _require_token(request)
        message = _read(sandbox, phone_number_id, await _json(request))
    except RefusedError as error:
        return JSONResponse(meta_error(error.code, error.details), status_code=http_status_of(error.code))
    sandbox.whatsapp.messages.append(message)
    _follow_up(sandbox, message)
    return JSONResponse(
        {
            "messaging_product": "whatsapp",
            "contacts": [{"input": message.to, "wa_id": message.wa_id}],
            "messages": [{"id": message.wamid, "message_status": "accepted"}],
        }
    )


def _require_token(request: Request) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise RefusedError(190, "no access token was sent")


async def _json(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        raise RefusedError(100, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise RefusedError(100, "the body is not an object")
    return body


def _read(sandbox: Sandbox, phone_number_id: str, body: dict[str, Any]) -> SentMessage:
    if body.get("messaging_product") != "whatsapp":
        raise RefusedError(100, "messaging_product must be whatsapp")
    if body.get("recipient_type", "individual") not in ("individual", "group"):
        raise RefusedError(131009, "recipient_type must be individual or group")
    to = body.get("to")
    if not isinstance(to, str) or not to:
        raise RefusedError(131008, "to is missing")
    wa_id = digits(to)
    if not re.fullmatch(r"\+?[0-9]{7,15}", to):
        raise RefusedError(131009, "to is not a phone number with country code")
    if body.get("type", "text") == "text":
        raise RefusedError(131047, "more than 24 hours have passed since the customer last replied; send a template")
    if body["type"] != "template":
        raise RefusedError(131051, f"type {body['type']} is not supported")
    name, language, components = _template(body.get("template"))
    _require_known(sandbox, name, language, components)
    if code := sandbox.whatsapp.recipients.get(wa_id):
        raise RefusedError(code, "configured for this recipient")
    callback = body.get("biz_opaque_callback_data")
    if callback is not None and not isinstance(callback, str):
        raise RefusedError(131009, "biz_opaque_callback_data must be a string")
    return SentMessage(
        wamid=f"wamid.{uuid4().hex.upper()}",
        phone_number_id=phone_number_id,
        to=to,
        wa_id=wa_id,
        template=name,
        language=language,
        components=components,
        callback_data=callback,
        created_at=machine_now(),
    )


def _template(template: Any) -> tuple[str, str, list[dict[str, Any]]]:
    if not isinstance(template, dict) or not isinstance(template.get("name"), str) or not template["name"]:
        raise RefusedError(131008, "template.name is missing")
    language = template.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    if not isinstance(code, str):
        raise RefusedError(131008, "template.language.code is missing")
    if not _LANGUAGE.match(code):
        raise RefusedError(131009, f"template.language.code {code} is not a language")
    if isinstance(language, dict) and language.get("policy", "deterministic") != "deterministic":
        raise RefusedError(131009, "template.language.policy must be deterministic")
    components = template.get("components") or []
    if not isinstance(components, list):
        raise RefusedError(131009, "template.components must be a list")
    for component in components:
        _require_component(component)
    return template["name"], code, components


def _require_component(component: Any) -> None:
    kinds = _PARAMETER_KINDS.get(str(component.get("type"))) if isinstance(component, dict) else None
    if kinds is None:
        raise RefusedError(131009, "a component is one of header, body, button")
    if component["type"] == "button":
        if component.get("sub_type") not in ("quick_reply", "url", "catalog", "flow"):
            raise RefusedError(131009, "a button needs sub_type quick_reply, url or catalog")
        if not re.fullmatch(r"[0-9]", str(component.get("index", ""))):
            raise RefusedError(131009, "a button needs index 0 to 9")
    for parameter in component.get("parameters") or []:
        _require_parameter(parameter, kinds)


def _require_parameter(parameter: Any, kinds: set[str]) -> None:
    kind = parameter.get("type") if isinstance(parameter, dict) else None
    if kind not in kinds:
        raise RefusedError(132012, f"a parameter of type {kind} does not fit there")
    value = parameter.get(kind)
    if kind in ("text", "payload") and (not isinstance(value, str) or not value):
        raise RefusedError(131008, f"a {kind} parameter has no {kind}")
    if kind == "text" and ("\n" in value or "\t" in value or "     " in value):
        raise RefusedError(132012, "a text parameter holds a new line, a tab or more than four spaces in a row")
    if kind == "currency":
        is_whole = isinstance(value, dict) and {"fallback_value", "code", "amount_1000"} <= value.keys()
        if not is_whole:
            raise RefusedError(131008, "a currency parameter needs fallback_value, code and amount_1000")
    if kind == "date_time" and not (isinstance(value, dict) and value.get("fallback_value")):
        raise RefusedError(131008, "a date_time parameter needs fallback_value")


def _require_known(sandbox: Sandbox, name: str, language: str, components: list[dict[str, Any]]) -> None:
    if not sandbox.whatsapp.templates:
        return
    expected = sandbox.whatsapp.templates.get(name, {}).get(language)
    if expected is None:
        raise RefusedError(132001, f"template {name} does not exist in {language}")
    found = sum(len(one.get("parameters") or []) for one in components if one["type"] == "body")
    if found != expected:
        raise RefusedError(132000, f"template {name} takes {expected} body parameters, not {found}")


def _follow_up(sandbox: Sandbox, message: SentMessage) -> None:
    code = sandbox.whatsapp.late_errors.get(message.wa_id)
    statuses = ("failed",) if code else sandbox.settings.whatsapp_statuses
    for status in statuses:
        message.statuses.append(status)
        payload = _status_payload(message, status, code or (131000 if status == "failed" else None))
        sandbox.courier.send(whatsapp_event(status, message.wamid, partial(dict, payload), sandbox.settings))


def _status_payload(message: SentMessage, status: str, code: int | None) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": message.wamid,
        "status": status,
        "timestamp": str(int(machine_now().timestamp())),
        "recipient_id": message.wa_id,
    }
    if message.callback_data is not None:
        entry["biz_opaque_callback_data"] = message.callback_data
    if code is not None:
        title = TITLES.get(code, "Unknown error")
        entry["errors"] = [{"code": code, "title": title, "message": title, "error_data": {"details": title}}]
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550000000", "phone_number_id": message.phone_number_id},
        "statuses": [entry],
    }
    changes = [{"field": "messages", "value": value}]
    return {"object": "whatsapp_business_account", "entry": [{"id": "waba_sandbox", "changes": changes}]}
