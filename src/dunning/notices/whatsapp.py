"""The WhatsApp Cloud API: one template message, and what its answers mean. Contract: the sheet, part W."""

from __future__ import annotations

from enum import StrEnum

import httpx

from dunning.domain.base import Value
from dunning.notices.render import Rendered
from dunning.settings import WhatsAppSettings


class Sent(StrEnum):
    """What came of a request."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    WAIT = "wait"
    RECIPIENT = "recipient"
    CONFIG = "config"
    UNCLEAR = "unclear"


_CODES: dict[Sent, tuple[int, ...]] = {
    Sent.TRANSIENT: (1, 2, 4, 80007, 130429, 131056, 131000, 131016, 133004, 131057, 2494100),
    Sent.WAIT: (134101, 131048, 131064, 131049),
    Sent.RECIPIENT: (130472, 131026, 131050, 130403, 131021, 130497, 137000),
}
"""Error codes by class; everything else is our configuration. Source: the sheet, W.4."""

CLASS_OF: dict[int, Sent] = {code: klass for klass, codes in _CODES.items() for code in codes}


class WhatsAppAnswer(Value):
    """What the API said: the message's id, or why not."""

    sent: Sent
    message_id: str | None = None
    code: int | None = None
    because: str = ""


def request_body(to: str, notice_key: str, rendered: Rendered) -> dict[str, object]:
    """The request for one template message; the notice's key comes back in status messages."""
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
    """Send once. The API has no idempotency: what is unclear is never repeated."""
    url = f"{settings.base_url.rstrip('/')}/{settings.version}/{settings.phone_number_id}/messages"
    headers = {"authorization": f"Bearer {settings.token.get_secret_value()}"}
    try:
        answer = await http.post(url, json=request_body(to, notice_key, rendered), headers=headers)
    except (httpx.ConnectError, httpx.ConnectTimeout) as failure:
        return WhatsAppAnswer(sent=Sent.TRANSIENT, because=f"not reached: {type(failure).__name__}")
    except httpx.HTTPError as failure:
        return WhatsAppAnswer(sent=Sent.UNCLEAR, because=f"no answer: {type(failure).__name__}")
    return _read(answer)


def _read(answer: httpx.Response) -> WhatsAppAnswer:
    try:
        body = answer.json()
        if answer.is_success:
            return WhatsAppAnswer(sent=Sent.ACCEPTED, message_id=str(body["messages"][0]["id"]))
        code = int(body["error"]["code"])
    except (ValueError, KeyError, IndexError, TypeError):
        return WhatsAppAnswer(sent=Sent.UNCLEAR, because=f"an answer that cannot be read, HTTP {answer.status_code}")
    return WhatsAppAnswer(sent=CLASS_OF.get(code, Sent.CONFIG), code=code, because=f"WhatsApp error {code}")
