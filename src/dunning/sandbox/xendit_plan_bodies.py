"""Recurring plans as they are asked for: the current contract and the guide's, each with its own rules. Sheet A2.2.

What neither contract knows is refused: a field of the one that is sent to the other would otherwise be lost unseen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, cast

from fastapi import Request

from dunning.sandbox.book import MetadataValue
from dunning.sandbox.xendit_bodies import money, one_of, text
from dunning.sandbox.xendit_errors import invalid
from dunning.sandbox.xendit_plan_book import CURRENT, LEGACY, Calendar

CHANNELS = frozenset({"WHATSAPP", "EMAIL"})
OCCASIONS = ("created", "succeeded", "failed")
ACTIONS = frozenset({"RESUME", "STOP"})
LEGACY_CURRENCIES = frozenset({"IDR", "PHP", "VND", "THB"})
MAX_PAIRS, MAX_KEY, MAX_VALUE = 20, 40, 80
_SHARED = frozenset(
    """
    reference_id customer_id currency amount schedule failed_cycle_action metadata description items
    payment_link_for_failed_attempt
    """.split()  # noqa: SIM905 - a word list
)
_NEW = _SHARED | {"payment_tokens", "immediate_payment", "notification_channels", "locale"}
_OLD = _SHARED | {"recurring_action", "payment_methods", "immediate_action_type", "notification_config"}
_OLD |= {"schedule_id", "success_return_url", "failure_return_url"}
_PATCH_NEW = _NEW - {"reference_id", "customer_id", "currency", "failed_cycle_action", "immediate_payment"}
_PATCH_OLD = _OLD - {"reference_id", "recurring_action", "immediate_action_type", "schedule"}
_CALENDAR = frozenset(
    """
    interval interval_count anchor_date total_recurrence retry_interval retry_interval_count total_retry
    failed_attempt_notifications
    """.split()  # noqa: SIM905 - a word list
)
_ITEM = frozenset("type reference_id name net_unit_amount quantity category url subcategory description".split())  # noqa: SIM905 - a word list
_LOCALE = re.compile(r"[a-z]{2}")


@dataclass(frozen=True)
class Asked:
    """A plan as it was asked for, or the parts of one that are to change (absent parts are None)."""

    amount: int | None = None
    currency: str | None = None
    customer_id: str | None = None
    tokens: list[str] | None = None
    calendar: Calendar | None = None
    is_immediate: bool = False
    on_failure: Literal["RESUME", "STOP"] | None = None
    channels: dict[str, tuple[str, ...]] | None = None
    has_payment_links: bool | None = None
    metadata: dict[str, MetadataValue] | None = None
    fields: dict[str, Any] = field(default_factory=dict)


def contract_of(request: Request) -> str:
    """The contract that a request is for: the older one where it names none, as its official SDK does.

    Raises:
        XenditError: `API_VALIDATION_ERROR` for any other version.
    """
    found = request.headers.get("api-version") or LEGACY
    if found not in (CURRENT, LEGACY):
        raise invalid(f"header api-version must be {CURRENT} or {LEGACY}")
    return found


def read_plan(fields: dict[str, Any], contract: str, known: Mapping[str, Calendar]) -> Asked:
    """A new plan. `known`: the legacy contract's schedules. Raises `API_VALIDATION_ERROR`."""
    is_legacy = contract == LEGACY
    _only(fields, _OLD if is_legacy else _NEW)
    text(fields, "reference_id")
    currency = _currency(fields, is_legacy=is_legacy)
    if is_legacy and fields.get("recurring_action") != "PAYMENT":
        raise invalid("recurring_action must be PAYMENT")
    if not is_legacy and fields.get("payment_tokens") is None:
        raise invalid("payment_tokens is required")
    calendar = _calendar_of(fields, is_legacy=is_legacy, known=known)
    if fields.get("payment_link_for_failed_attempt") and calendar.retries < 1 and is_legacy:
        raise invalid("payment_link_for_failed_attempt needs total_retry")
    amount = money(fields, "amount", currency)
    _items(fields, amount, currency)
    tokens = _tokens(fields, is_legacy=is_legacy) or []
    if is_legacy and not tokens:
        for name in ("success_return_url", "failure_return_url"):
            text(fields, name, most=2000)
    return Asked(
        amount=amount,
        currency=currency,
        customer_id=text(fields, "customer_id"),
        tokens=tokens,
        calendar=calendar,
        is_immediate=_immediate(fields, is_legacy=is_legacy),
        on_failure=cast("Literal['RESUME', 'STOP']", one_of(fields, "failed_cycle_action", ACTIONS))
        if fields.get("failed_cycle_action") is not None
        else "RESUME",
        channels=_channels(fields, is_legacy=is_legacy) or {},
        has_payment_links=bool(fields.get("payment_link_for_failed_attempt")),
        metadata=plan_pairs(fields),
        fields=fields,
    )


def read_changes(fields: dict[str, Any], contract: str, currency: str) -> Asked:
    """What is to change of a plan; raises `API_VALIDATION_ERROR`, also for what cannot change."""
    is_legacy = contract == LEGACY
    _only(fields, _PATCH_OLD if is_legacy else _PATCH_NEW)
    currency = _currency(fields, is_legacy=is_legacy) if "currency" in fields else currency
    tokens = _tokens(fields, is_legacy=is_legacy)
    if tokens is not None and not tokens:
        raise invalid("payment_tokens must hold 1 to 5 tokens")
    amount = money(fields, "amount", currency) if "amount" in fields else None
    if amount is not None or fields.get("items") is not None:
        _items(fields, amount, currency)
    action = fields.get("failed_cycle_action")
    return Asked(
        amount=amount,
        currency=currency,
        customer_id=text(fields, "customer_id") if "customer_id" in fields else None,
        tokens=tokens,
        calendar=read_calendar(fields["schedule"], is_legacy=False) if "schedule" in fields else None,
        on_failure=None
        if action is None
        else cast("Literal['RESUME', 'STOP']", one_of(fields, "failed_cycle_action", ACTIONS)),
        channels=_channels(fields, is_legacy=is_legacy),
        has_payment_links=fields.get("payment_link_for_failed_attempt"),
        metadata=plan_pairs(fields) if "metadata" in fields else None,
        fields=fields,
    )


def read_calendar(found: object, *, is_legacy: bool) -> Calendar:
    """A schedule; raises `API_VALIDATION_ERROR`."""
    if not isinstance(found, dict):
        raise invalid("schedule must be an object")
    _only(found, _CALENDAR | {"reference_id"} if is_legacy else _CALENDAR)
    known = frozenset({"DAY", "WEEK", "MONTH"} if is_legacy else {"DAY", "WEEK", "MONTH", "YEAR"})
    anchor = _anchor(found.get("anchor_date"))
    if anchor.day > 28 and not is_legacy:
        raise invalid("schedule.anchor_date: the max allowed day of the month is 28")
    retries = _whole(found, "total_retry", 1, 10)
    gap = _whole(found, "retry_interval_count", 1, 365)
    word = found.get("retry_interval")
    if word not in (None, "DAY") or len({word is None, gap is None, retries is None}) > 1:
        raise invalid("retry_interval (DAY), retry_interval_count and total_retry go together")
    return Calendar(
        interval=cast("Literal['DAY', 'WEEK', 'MONTH', 'YEAR']", one_of(found, "interval", known)),
        count=_whole(found, "interval_count", 1, 365, is_required=True) or 1,
        anchor=anchor,
        total=_whole(found, "total_recurrence", 1, 32_000),
        gap_days=gap,
        retries=retries or 0,
        notified=_notified(found, retries or 0, is_legacy=is_legacy),
        reference=text(found, "reference_id") if is_legacy else None,
    )


def plan_pairs(fields: dict[str, Any]) -> dict[str, MetadataValue]:
    """Metadata of a plan or a cycle: at most 20 texts of 80 characters; raises `API_VALIDATION_ERROR`."""
    found = fields.get("metadata") or {}
    if not isinstance(found, dict) or len(found) > MAX_PAIRS:
        raise invalid(f"metadata must be an object of at most {MAX_PAIRS} pairs")
    for name, value in found.items():
        if len(name) > MAX_KEY or not isinstance(value, str) or len(value) > MAX_VALUE:
            raise invalid(f"metadata.{name} must be a text of at most {MAX_VALUE} characters")
    return dict(found)


def _only(fields: dict[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(set(fields) - known)
    if unknown:
        raise invalid(f"{', '.join(unknown)} is not allowed")


def _currency(fields: dict[str, Any], *, is_legacy: bool) -> str:
    known = LEGACY_CURRENCIES if is_legacy else LEGACY_CURRENCIES | {"SGD", "MYR", "USD", "HKD", "MXN"}
    return one_of(fields, "currency", known)


def _calendar_of(fields: dict[str, Any], *, is_legacy: bool, known: Mapping[str, Calendar]) -> Calendar:
    name = fields.get("schedule_id")
    if name is None:
        return read_calendar(fields.get("schedule"), is_legacy=is_legacy)
    if name not in known or "schedule" in fields:
        raise invalid("schedule_id names no schedule, or there is a schedule besides")
    return known[name]


def _anchor(value: object) -> datetime:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None:
        raise invalid("schedule.anchor_date must be an instant of ISO 8601")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _whole(fields: dict[str, Any], name: str, least: int, most: int, *, is_required: bool = False) -> int | None:
    found = fields.get(name)
    if found is None and not is_required:
        return None
    if isinstance(found, bool) or not isinstance(found, int) or not least <= found <= most:
        raise invalid(f"schedule.{name} must be {least} to {most}")
    return found


def _notified(fields: dict[str, Any], retries: int, *, is_legacy: bool) -> tuple[int, ...]:
    found = fields.get("failed_attempt_notifications") or []
    if not isinstance(found, list) or not all(isinstance(one, int) and 1 <= one <= 10 for one in found):
        raise invalid("schedule.failed_attempt_notifications must be numbers 1 to 10")
    if is_legacy and (len(set(found)) < len(found) or any(one > retries for one in found)):
        raise invalid("schedule.failed_attempt_notifications must be unique and at most total_retry")
    return tuple(found)


def _tokens(fields: dict[str, Any], *, is_legacy: bool) -> list[str] | None:
    """The tokens in the order of their rank."""
    name, key = ("payment_methods", "payment_method_id") if is_legacy else ("payment_tokens", "payment_token_id")
    found = fields.get(name)
    if found is None:
        return None
    if not isinstance(found, list) or len(found) > 5 or not all(isinstance(one, dict) for one in found):
        raise invalid(f"{name} must be a list of at most 5")
    ranked = []
    for one in found:
        rank = one.get("rank")
        if isinstance(rank, bool) or not isinstance(rank, int) or not 1 <= rank <= 5:
            raise invalid(f"{name}.rank must be 1 to 5")
        ranked.append((rank, text(one, key)))
    if len({rank for rank, _ in ranked}) < len(ranked):
        raise invalid(f"{name}.rank must be unique")
    return [token for _, token in sorted(ranked)]


def _immediate(fields: dict[str, Any], *, is_legacy: bool) -> bool:
    if not is_legacy:
        return fields.get("immediate_payment") is True
    found = fields.get("immediate_action_type")
    if found not in (None, "FULL_AMOUNT"):
        raise invalid("immediate_action_type must be FULL_AMOUNT or null")
    return found is not None


def _channels(fields: dict[str, Any], *, is_legacy: bool) -> dict[str, tuple[str, ...]] | None:
    """On which channels Xendit tells what. The current contract has one list for all."""
    if not is_legacy:
        locale = fields.get("locale")
        if locale is not None and not (isinstance(locale, str) and _LOCALE.fullmatch(locale)):
            raise invalid("locale must be two letters of ISO 639-1")
        if fields.get("notification_channels") is None:
            return None
        return dict.fromkeys(OCCASIONS, _list(fields["notification_channels"], "notification_channels"))
    config = fields.get("notification_config")
    if config is None:
        return None
    if not isinstance(config, dict) or config.get("locale", "en") not in ("en", "id"):
        raise invalid("notification_config.locale must be en or id")
    return {
        one: _list(config.get(f"recurring_{one}") or [], f"notification_config.recurring_{one}") for one in OCCASIONS
    }


def _list(found: object, name: str) -> tuple[str, ...]:
    if not isinstance(found, list) or not set(found) <= CHANNELS:
        raise invalid(f"{name} must be of {', '.join(sorted(CHANNELS))}")
    return tuple(found)


def _items(fields: dict[str, Any], amount: int | None, currency: str) -> None:
    """Items name what the amount is made of: it is their sum."""
    found = fields.get("items")
    if found is None:
        return
    if not isinstance(found, list) or not found:
        raise invalid("items must be a list")
    total = 0
    for one in found:
        if not isinstance(one, dict):
            raise invalid("items must be objects")
        _only(one, _ITEM | {"metadata"})
        for name in ("type", "reference_id", "name", "category"):
            text(one, name)
        quantity = one.get("quantity")
        if isinstance(quantity, bool) or not isinstance(quantity, int) or quantity < 1:
            raise invalid("items.quantity must be 1 or more")
        total += quantity * money(one, "net_unit_amount", currency)
    if amount is not None and total != amount:
        raise invalid("amount must equal the total of the items")
