"""SMS by a signed HTTP call to a gateway of your own: Standard Webhooks, so that it can be verified and deduplicated.

The call may be repeated under the same `webhook-id`: a gateway sends each id once. Its answer: 2xx, taken, perhaps
with `{"id": ...}`; 408, 425, 429 and 5xx, later again; anything else is final.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import httpx
from standardwebhooks import Webhook

from dunning.domain.base import Value
from dunning.settings import SmsSettings

LATER = (408, 425, 429)
OURS = (400, 401, 403, 404, 405, 415)
"""Answers that a person has to look at: not the recipient is to blame."""


class SmsAnswer(Value):
    """What the gateway said. `is_final`: it will say the same again."""

    is_accepted: bool
    because: str
    message_id: str | None = None
    is_final: bool = False
    needs_attention: bool = False


class SmsGateway:
    """One account's gateway."""

    def __init__(self, settings: SmsSettings, http: httpx.AsyncClient) -> None:
        self._url = settings.url
        self._webhook = Webhook(settings.secret.get_secret_value())
        self._http = http

    async def send(self, identity: str, message: dict[str, str]) -> SmsAnswer:
        """Hand one message over; raises nothing of the network's."""
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        now = datetime.now(UTC)
        headers = {
            "content-type": "application/json",
            "webhook-id": identity,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(identity, now, body),
        }
        try:
            answer = await self._http.post(self._url, content=body.encode(), headers=headers)
        except httpx.HTTPError as failure:
            return SmsAnswer(is_accepted=False, because=f"the SMS gateway did not answer: {type(failure).__name__}")
        said = f"the SMS gateway answered {answer.status_code}"
        if answer.is_success:
            return SmsAnswer(is_accepted=True, because=said, message_id=_id_in(answer))
        is_final = not (answer.is_server_error or answer.status_code in LATER)
        return SmsAnswer(is_accepted=False, because=said, is_final=is_final, needs_attention=answer.status_code in OURS)


def _id_in(answer: httpx.Response) -> str | None:
    try:
        found = answer.json()["id"]
    except (ValueError, KeyError, TypeError):
        return None
    return str(found)[:200]
