"""The WhatsApp Cloud API: one template message, and what its answers mean."""

from __future__ import annotations

import httpx

from dunning.domain.base import Value
from dunning.notices.registry import parameters_of
from dunning.notices.render import Rendered
from dunning.notices.whatsapp_codes import AWAY, ERROR_CODES, UNKNOWN, ErrorCode, Sent
from dunning.settings import WhatsAppSettings


class WhatsAppAnswer(Value):
    """What the API said.

    Attributes:
        message_id: WhatsApp's own, when it was accepted. Accepted is not delivered.
        code: the error's, when there was one.
        because: for operators; it holds no address.
        row: what the error's code means.
    """

    sent: Sent
    message_id: str | None = None
    code: int | None = None
    because: str = ""
    needs_attention: bool = False
    row: ErrorCode = UNKNOWN


OPTED_OUT = 131050
"""The person stopped marketing messages of this business: recorded, and routine notices go elsewhere."""


def request_body(to: str, notice_key: str, rendered: Rendered) -> dict[str, object]:
    """The request for one template message; the notice's key comes back in status messages.

    Raises:
        ValueError: the template is not registered, or takes another number of parameters.
    """
    known = parameters_of(rendered.template, rendered.template_language)
    if known is None or len(known) != len(rendered.parameters):
        raise ValueError(f"the template {rendered.template} ({rendered.template_language}) does not fit the registry")
    parameters = [{"type": "text", "text": text} for text in rendered.parameters]
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to.lstrip("+"),
        "type": "template",
        "template": {
            "name": rendered.template,
            "language": {"policy": "deterministic", "code": rendered.template_language},
            "components": [{"type": "body", "parameters": parameters}],
        },
        "biz_opaque_callback_data": notice_key,
    }


async def send(
    http: httpx.AsyncClient, settings: WhatsAppSettings, *, to: str, notice_key: str, rendered: Rendered
) -> WhatsAppAnswer:
    """Send once. The API has no idempotency: what is unclear is never repeated. Raises nothing of the network's."""
    url = f"{settings.base_url.rstrip('/')}/{settings.version}/{settings.phone_number_id}/messages"
    headers = {"authorization": f"Bearer {settings.token.get_secret_value()}"}
    try:
        body = request_body(to, notice_key, rendered)
    except ValueError as fault:
        return WhatsAppAnswer(sent=Sent.CONFIG, because=str(fault), needs_attention=True)
    try:
        answer = await http.post(url, json=body, headers=headers)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as failure:
        # The only failures that prove that no byte left.
        because = f"WhatsApp was not reached: {type(failure).__name__}"
        return WhatsAppAnswer(sent=Sent.TRANSIENT, because=because, row=AWAY)
    except httpx.HTTPError as failure:
        return WhatsAppAnswer(sent=Sent.UNCLEAR, because=f"no answer of WhatsApp: {type(failure).__name__}")
    return read_answer(answer)


def read_answer(answer: httpx.Response) -> WhatsAppAnswer:
    """By the error's code: Meta promises nothing about HTTP statuses and titles. A server error is never trusted."""
    try:
        body = answer.json()
        if answer.is_success:
            message = body["messages"][0]
            state = str(message.get("message_status", "accepted"))
            return WhatsAppAnswer(sent=Sent.ACCEPTED, message_id=str(message["id"]), because=state)
        code = int(body["error"]["code"])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        because = f"an answer of WhatsApp that cannot be read, HTTP {answer.status_code}"
        return WhatsAppAnswer(sent=Sent.UNCLEAR, because=because)
    row = ERROR_CODES.get(code, UNKNOWN)
    is_unclear = row.is_vague and answer.is_server_error
    return WhatsAppAnswer(
        sent=Sent.UNCLEAR if is_unclear else row.sent,
        code=code,
        because=f"WhatsApp {code}: {row.meaning}",
        needs_attention=row.needs_attention,
        row=row,
    )
