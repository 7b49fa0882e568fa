"""What was sent through WhatsApp, and what the sandbox was told about recipients and templates."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass
class SentMessage:
    """One accepted message. A message sent twice stands here twice."""

    wamid: str
    phone_number_id: str
    to: str
    wa_id: str
    template: str
    language: str
    components: list[dict[str, Any]]
    callback_data: str | None
    created_at: datetime
    statuses: list[str] = field(default_factory=list)

    @property
    def parameters(self) -> list[str]:
        """The values put into the template, in order, as a reader would see them."""
        return [_shown(one) for part in self.components for one in part.get("parameters") or []]

    def row(self) -> dict[str, Any]:
        """The message as the control API shows it."""
        return {
            "wamid": self.wamid,
            "phone_number_id": self.phone_number_id,
            "to": self.to,
            "template": self.template,
            "language": self.language,
            "parameters": self.parameters,
            "components": self.components,
            "biz_opaque_callback_data": self.callback_data,
            "created_at": self.created_at.isoformat(),
            "statuses": list(self.statuses),
        }


class WhatsAppBook:
    """Messages sent; `recipients` maps digits of a number to the error code that sending to it meets.

    `templates` maps a template's name to `{language: number of body parameters}`; empty accepts every
    template. `late_errors` are reported by a status message instead of the answer.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.messages: list[SentMessage] = []
        self.recipients: dict[str, int] = {}
        self.late_errors: dict[str, int] = {}
        self.templates: dict[str, dict[str, int]] = {}


def digits(number: str) -> str:
    """A phone number as WhatsApp ids are written: digits only."""
    return "".join(character for character in number if character.isdigit())


def _shown(parameter: dict[str, Any]) -> str:
    kind = parameter.get("type")
    inner = parameter.get(str(kind))
    if isinstance(inner, dict):
        return str(inner.get("fallback_value", ""))
    return str(inner if inner is not None else "")
