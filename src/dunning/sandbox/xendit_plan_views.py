"""How plans and cycles look in Xendit's words, by either contract. Sheet A2.2, A2.3."""

from __future__ import annotations

from typing import Any

from dunning.sandbox.xendit_plan_book import LEGACY, Action, Calendar, Cycle, Plan
from dunning.sandbox.xendit_views import major, payment_id_of, wire_instant
from dunning.sandbox.xendit_words import failure_code

STATUSES = {"succeeded": "SUCCEEDED", "failed": "FAILED"}


def plan_view(plan: Plan, contract: str) -> dict[str, Any]:
    """A plan, in the words of the contract that was asked by."""
    kept = plan.fields
    view: dict[str, Any] = {
        "id": plan.plan_id,
        "reference_id": plan.reference,
        "customer_id": plan.customer.customer_id,
        "recurring_cycle_count": sum(1 for one in plan.cycles if one.attempts or one.forced),
        "currency": plan.currency,
        "amount": major(plan.amount, plan.currency),
        "status": plan.status,
        "schedule": calendar_view(plan.calendar, contract),
        "failed_cycle_action": plan.on_failure,
        "metadata": dict(plan.metadata) or None,
        "description": kept.get("description"),
        "items": kept.get("items"),
        "payment_link_for_failed_attempt": plan.has_payment_links,
        "actions": _actions(plan),
        "created": wire_instant(plan.created_at),
        "updated": wire_instant(plan.updated_at),
    }
    return view | (_legacy_part(plan) if contract == LEGACY else _current_part(plan))


def _current_part(plan: Plan) -> dict[str, Any]:
    return {
        "payment_tokens": [{"payment_token_id": one, "rank": rank} for rank, one in enumerate(plan.tokens, 1)],
        "immediate_payment": plan.is_immediate,
        "notification_channels": list(plan.channels.get("failed", ())),
        "locale": plan.fields.get("locale") or "en",
        "failure_code": plan.failure_code,
        "country": plan.agreement.billing.get("country"),
        "payment_session_id": None,
    }


def _legacy_part(plan: Plan) -> dict[str, Any]:
    config = {f"recurring_{name}": list(channels) for name, channels in plan.channels.items()}
    locale = (plan.fields.get("notification_config") or {}).get("locale") or "en"
    return {
        "recurring_action": "PAYMENT",
        "payment_methods": [{"payment_method_id": one, "rank": rank} for rank, one in enumerate(plan.tokens, 1)],
        "schedule_id": plan.calendar.schedule_id,
        "immediate_action_type": "FULL_AMOUNT" if plan.is_immediate else None,
        "notification_config": {**config, "locale": locale},
        "success_return_url": plan.fields.get("success_return_url"),
        "failure_return_url": plan.fields.get("failure_return_url"),
    }


def calendar_view(calendar: Calendar, contract: str) -> dict[str, Any]:
    """A schedule; the legacy contract names it besides."""
    view: dict[str, Any] = {
        "interval": calendar.interval,
        "interval_count": calendar.count,
        "anchor_date": calendar.anchor.isoformat().replace("+00:00", "Z"),
        "total_recurrence": calendar.total,
        "retry_interval": None if calendar.gap_days is None else "DAY",
        "retry_interval_count": calendar.gap_days,
        "total_retry": calendar.retries or None,
        "failed_attempt_notifications": list(calendar.notified),
    }
    return {**view, "reference_id": calendar.reference} if contract == LEGACY else view


def _actions(plan: Plan) -> list[dict[str, Any]]:
    if plan.status != "REQUIRES_ACTION":
        return []
    return [{"action": "AUTH", "url": plan.link_url, "url_type": "WEB", "method": "GET"}]


def cycle_view(plan: Plan, cycle: Cycle, contract: str) -> dict[str, Any]:
    """A cycle with everything that was tried in it."""
    view: dict[str, Any] = {
        "id": cycle.cycle_id,
        "type": cycle.kind,
        "reference_id": plan.reference,
        "plan_id": plan.plan_id,
        "customer_id": plan.customer.customer_id,
        "cycle_number": cycle.number,
        "status": cycle.status,
        "attempt_count": cycle.attempts,
        "forced_attempt_count": cycle.forced,
        "scheduled_timestamp": wire_instant(cycle.scheduled_at),
        "currency": cycle.currency,
        "amount": major(cycle.amount, cycle.currency),
        "metadata": dict(cycle.metadata) or None,
        "attempt_details": [_action_view(one, contract) for one in cycle.actions],
        "created": wire_instant(cycle.created_at),
        "updated": wire_instant(cycle.updated_at),
    }
    return {**view, "recurring_action": "PAYMENT"} if contract == LEGACY else view


def _action_view(one: Action, contract: str) -> dict[str, Any]:
    payment = one.payment
    view: dict[str, Any] = {
        "attempt_number": one.attempt_number,
        "action_number": one.action_number,
        "type": one.kind,
        "created": wire_instant(one.created_at),
        "status": STATUSES.get(payment.status, "PENDING"),
        "failure_code": None if payment.error_code is None else failure_code(payment.error_code),
        "next_retry_timestamp": wire_instant(one.next_retry_at),
        "payment_session": None,
    }
    if one.link is not None:
        view["payment_session"] = {"session_id": f"ps-{one.link.link_id}", "payment_link_url": one.link_url}
    if contract == LEGACY:
        return {**view, "action_id": payment_id_of(payment)}
    return {**view, "payment_id": payment_id_of(payment), "payment_token_id": payment.payment_method_id}
