"""Error codes of the WhatsApp Cloud API by what follows from them, as data. Source: Meta's list of error codes.

A code that is not here is new: it is tried once more, then a person is asked.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from dunning.domain.base import Value


class Sent(StrEnum):
    """What came of a request, or what its error code means."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    """Not sent; the same message may go out a little later."""
    WAIT = "wait"
    """Not sent; the same message may go out after a long wait."""
    RECIPIENT = "recipient"
    """This person is not reached on WhatsApp; e-mail is."""
    CONFIG = "config"
    """Our account, template or request is wrong: a person puts it right, meanwhile e-mail."""
    UNCLEAR = "unclear"
    """It may have been sent: never repeated, since the API would send it twice."""


class ErrorCode(Value):
    """One row.

    Attributes:
        is_vague: it does not say that nothing was sent; together with a server error it proves nothing.
        wait: the least time before the same message may be sent again.
    """

    sent: Sent
    meaning: str
    is_vague: bool = False
    wait: timedelta | None = None
    needs_attention: bool = False


_DAY = timedelta(hours=24)
_TOO_FAST = "too many calls or messages"
_PERMISSION = "the token lacks a permission"
_REQUEST = "the request is malformed"
_REGISTRATION = "the phone number's registration is not in order"
_MARKETING = "a marketing-only feature, or one that is switched off"


def _config(meaning: str) -> ErrorCode:
    return ErrorCode(sent=Sent.CONFIG, meaning=meaning, needs_attention=True)


def _transient(meaning: str) -> ErrorCode:
    return ErrorCode(sent=Sent.TRANSIENT, meaning=meaning)


def _recipient(meaning: str, *, needs_attention: bool = False) -> ErrorCode:
    return ErrorCode(sent=Sent.RECIPIENT, meaning=meaning, needs_attention=needs_attention)


ERROR_CODES: dict[int, ErrorCode] = {
    **dict.fromkeys((1, 2, 131000), _transient("something went wrong at Meta").but(is_vague=True)),
    **dict.fromkeys((131016, 133004), _transient("the service is away")),
    **dict.fromkeys((4, 80007, 130429, 131056), _transient(_TOO_FAST)),
    **dict.fromkeys((131057, 2494100), _transient("the account is in maintenance")),
    134101: ErrorCode(sent=Sent.WAIT, meaning="the template is still being distributed", wait=timedelta(minutes=15)),
    131048: ErrorCode(sent=Sent.WAIT, meaning="the number is limited for spam", wait=_DAY, needs_attention=True),
    131064: ErrorCode(sent=Sent.WAIT, meaning="templates break their category", wait=_DAY, needs_attention=True),
    131049: ErrorCode(sent=Sent.WAIT, meaning="Meta chose not to deliver", wait=_DAY),
    130472: _recipient("the person is part of an experiment of Meta's"),
    131026: _recipient("the person cannot be reached on WhatsApp"),
    131050: _recipient("the person wants no such messages"),
    130403: _recipient("the person is blocked by this business"),
    131021: _recipient("the recipient is the sender", needs_attention=True),
    130497: _recipient("this account may not write to that country", needs_attention=True),
    137000: _recipient("the person's identity has changed"),
    **dict.fromkeys((0, 190), _config("the access token is not valid")),
    **dict.fromkeys((3, 10, 131005, *range(200, 300)), _config(_PERMISSION)),
    **dict.fromkeys((368, 131031), _config("the account is blocked or locked")),
    131042: _config("the business account has a payment problem"),
    131037: _config("the display name is not approved"),
    **dict.fromkeys((33, 131045, 133010, 133000, 133005, 133006, 133008, 133009, 133015, 133016),
                    _config(_REGISTRATION)),
    **dict.fromkeys((100, 131008, 131009, 131051, 135000), _config(_REQUEST)),
    **dict.fromkeys((131052, 131053), _config("a medium cannot be loaded")),
    131047: _config("outside the service window only templates may be sent"),
    132000: _config("the template takes another number of parameters"),
    132001: _config("the template is missing in this language, or not approved"),
    132005: _config("the template's text is too long when it is filled"),
    132007: _config("the template's characters are against the policy"),
    132012: _config("a parameter has another form than the template wants"),
    132015: _config("the template is paused for its quality"),
    132016: _config("the template is disabled for good"),
    132018: _config("the template is not valid"),
    **dict.fromkeys((132068, 132069), _config("a flow is blocked or throttled")),
    **dict.fromkeys((131055, 131063, 134100, 134102), _config(_MARKETING)),
}  # fmt: skip

AWAY = _transient("WhatsApp was not reached")

UNKNOWN = _transient("a code that is not documented").but(is_vague=True, needs_attention=True)
"""Tried again once, and a person is told."""
