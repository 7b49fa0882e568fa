"""Error answers of the WhatsApp Cloud API, by code."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

TITLES = {
    0: "AuthException",
    2: "API Service",
    4: "API Too Many Calls",
    10: "Permission Denied",
    100: "Invalid parameter",
    190: "Access token has expired",
    80007: "Rate limit issues",
    130403: "The business has blocked this user",
    130429: "Rate limit hit",
    130472: "User's number is part of an experiment",
    131000: "Something went wrong",
    131005: "Access denied",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131016: "Service unavailable",
    131021: "Recipient cannot be sender",
    131026: "Message undeliverable",
    131047: "Re-engagement message",
    131048: "Spam rate limit hit",
    131049: "Meta chose not to deliver",
    131050: "User has stopped marketing messages",
    131051: "Unsupported message type",
    131056: "Pair rate limit hit",
    131057: "Account in maintenance mode",
    132000: "Template parameter count mismatch",
    132001: "Template does not exist",
    132005: "Template hydrated text too long",
    132007: "Template format character policy violated",
    132012: "Template parameter format mismatch",
    132015: "Template is paused",
    132016: "Template is disabled",
}


def meta_error(code: int, details: str = "") -> dict[str, Any]:
    """The body of one error. Callers branch on the code, never on the HTTP status that comes with it."""
    title = TITLES.get(code, "Unknown error")
    return {
        "error": {
            "message": f"(#{code}) {title}",
            "type": "OAuthException",
            "code": code,
            "error_data": {"messaging_product": "whatsapp", "details": details or title},
            "fbtrace_id": uuid4().hex[:16],
        }
    }


def http_status_of(code: int) -> int:
    """The HTTP status that the sandbox sends with a code; the provider documents none."""
    if code in (0, 190):
        return 401
    if code in (10, 131005):
        return 403
    if code in (4, 80007, 130429, 131056):
        return 429
    if code in (2, 131000, 131016, 131057):
        return 503
    return 400
