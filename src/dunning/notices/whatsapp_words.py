"""What WhatsApp says by webhook, read: statuses of our messages, answers of customers, everything else by its name.

Nothing personal is kept of what is not ours: of an answer only whether it asks for no more messages.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from dunning.domain.base import Value
from dunning.domain.fields import UNSTORABLE
from dunning.notices.texts import is_stop_word

ARRIVALS = ("sent", "delivered", "read")
_PREFIX = "sha256="


class Refused(Exception):
    """Not signed with our secret, or not readable."""


class StatusWord(Value):
    """What became of one message. `place`: subscription and notice key, as it carried them; `at`: Meta's clock."""

    message_id: str
    status: Literal["sent", "delivered", "read", "failed"]
    at: datetime
    place: tuple[str, str] | None = None
    code: int | None = None


class StopWord(Value):
    """A customer answered that no more messages are wanted. `phone` in E.164."""

    message_id: str
    phone: str


class OtherWord(Value):
    """Something else, by its name; the id is derived from its content, so that a repeat is known."""

    message_id: str
    name: str


def verify(signature: str | None, body: bytes, secret: str) -> None:
    """`X-Hub-Signature-256` over the raw bytes, compared in constant time; raises `Refused`."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    shown = (signature or "").encode("utf-8", "replace")
    if not hmac.compare_digest(shown, (_PREFIX + expected).encode()):
        raise Refused("the signature is not ours")


def read_words(body: bytes, phone_number_id: str) -> list[StatusWord | StopWord | OtherWord]:
    """Everything that one call says, in its order; raises `Refused` when it is not JSON of the known outer form.

    What was meant for another phone number is left out.
    """
    try:
        payload = json.loads(body)
        changes = [change for entry in payload["entry"] for change in entry["changes"]]
        words = [word for change in changes for word in _words(change, phone_number_id)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as failure:
        raise Refused("the message cannot be read") from failure
    if not all(_is_storable(word) for word in words):
        raise Refused("it holds a character that no text of the ledger can hold")
    return words


def _is_storable(word: Value) -> bool:
    texts = [*vars(word).values(), *(getattr(word, "place", None) or ())]
    return not any(isinstance(text, str) and UNSTORABLE.search(text) for text in texts)


def _words(change: dict[str, Any], phone_number_id: str) -> Iterator[StatusWord | StopWord | OtherWord]:
    field, value = str(change["field"])[:100], change.get("value")
    if field != "messages" or not isinstance(value, dict):
        yield OtherWord(message_id=_digest(change), name=_event(field, value))
        return
    if str(value.get("metadata", {}).get("phone_number_id", phone_number_id)) != phone_number_id:
        return
    for status in value.get("statuses") or []:
        yield _status(status)
    for message in value.get("messages") or []:
        yield _answer(message)
    if not value.get("statuses") and not value.get("messages"):
        yield OtherWord(message_id=_digest(change), name="messages")


def _event(field: str, value: Any) -> str:
    event = value.get("event") if isinstance(value, dict) else None
    return f"{field}/{str(event)[:60]}" if event else field


def _status(status: dict[str, Any]) -> StatusWord | OtherWord:
    name = status.get("status")
    try:
        if name not in ("sent", "delivered", "read", "failed"):
            raise ValueError(name)
        at = datetime.fromtimestamp(int(status["timestamp"]), UTC)
        message_id = str(status["id"])[:500]
        errors = status.get("errors") or []
        code = int(errors[0]["code"]) if name == "failed" and errors else None
    except (ValueError, KeyError, TypeError, OverflowError, OSError, IndexError):
        return OtherWord(message_id=_digest(status), name=f"status/{str(name)[:60]}")
    place = _place(status.get("biz_opaque_callback_data"))
    return StatusWord(message_id=message_id, status=name, at=at, place=place, code=code)


def _place(carried: Any) -> tuple[str, str] | None:
    if not isinstance(carried, str) or len(carried) > 512:
        return None
    subscription, slash, key = carried.partition("/")
    return (subscription, key) if slash and subscription and key else None


def _answer(message: dict[str, Any]) -> StopWord | OtherWord:
    said = message.get("text", {}).get("body") or message.get("button", {}).get("text") or ""
    sender = str(message.get("from", ""))
    message_id = str(message.get("id") or _digest(message))[:500]
    if sender.isdigit() and isinstance(said, str) and is_stop_word(said):
        return StopWord(message_id=message_id, phone=f"+{sender}")
    return OtherWord(message_id=message_id, name="answer")


def _digest(part: Any) -> str:
    return "other:" + hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()[:40]
