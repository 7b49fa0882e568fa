"""The two state machines, as data. SPEC 8.

Everything that moves a subscription or an obligation from one state to another stands in this file.
A pair that is absent is illegal: `step` raises `IllegalTransition` and nothing has changed.
`docs/states.md` is drawn from these tables, and a test fails when it is stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class SubscriptionStatus(StrEnum):
    """Where an agreement stands."""

    REQUIRES_ACTION = "requires_action"
    ACTIVATING = "activating"
    ACTIVE = "active"
    PAST_DUE = "past_due"
    ON_HOLD = "on_hold"
    PAUSED = "paused"
    CANCELED = "canceled"
    INACTIVE = "inactive"
    FAILED = "failed"


class SubscriptionFact(StrEnum):
    """What can happen to an agreement."""

    MANDATE_AUTHORIZED = "mandate_authorized"
    MANDATE_FAILED = "mandate_failed"
    ACTIVATION_TIMED_OUT = "activation_timed_out"
    FIRST_PAYMENT_SUCCEEDED = "first_payment_succeeded"
    NOTHING_DUE_NOW = "nothing_due_now"
    FIRST_PAYMENT_FAILED = "first_payment_failed"
    CYCLE_PAST_DUE = "cycle_past_due"
    NO_CYCLE_OWED = "no_cycle_owed"
    GRACE_ENDED = "grace_ended"
    GIVEN_UP_STOP = "given_up_stop"
    GIVEN_UP_RESUME = "given_up_resume"
    ENDED_WITH_TIME_LEFT = "ended_with_time_left"
    CALENDAR_ENDED = "calendar_ended"
    PROVIDER_ENDED = "provider_ended"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    PAUSE_ENDED = "pause_ended"
    RESTORE = "restore"
    REVOKE = "revoke"
    CYCLE_CLOSED_UNPAID = "cycle_closed_unpaid"
    PERIOD_ENDED = "period_ended"
    REINSTATE = "reinstate"
    RESUBSCRIBED = "resubscribed"


class CycleStatus(StrEnum):
    """Where an obligation (a cycle, or an on-demand charge) stands."""

    SCHEDULED = "scheduled"
    ATTEMPTING = "attempting"
    PENDING = "pending"
    UNKNOWN = "unknown"
    RETRYING = "retrying"
    AWAITING_METHOD = "awaiting_method"
    AWAITING_OPERATOR = "awaiting_operator"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class CycleFact(StrEnum):
    """What can happen to an obligation."""

    DUE = "due"
    SKIPPED = "skipped"
    CANCELED = "canceled"
    PAID = "paid"
    NO_USABLE_METHOD = "no_usable_method"
    SUCCEEDED = "succeeded"
    PENDING = "pending"
    OUTCOME_UNKNOWN = "outcome_unknown"
    DECLINED_RETRYABLE = "declined_retryable"
    DECLINED_NEEDS_CUSTOMER = "declined_needs_customer"
    DECLINED_MERCHANT = "declined_merchant"
    DECLINED_TECHNICAL = "declined_technical"
    OUTAGE = "outage"
    DEFERRED = "deferred"
    GIVEN_UP = "given_up"
    DECLINED_AFTER_STOP = "declined_after_stop"
    PROVED_PAID = "proved_paid"
    PROVED_PENDING = "proved_pending"
    PROVED_DECLINED_RETRYABLE = "proved_declined_retryable"
    PROVED_DECLINED_NEEDS_CUSTOMER = "proved_declined_needs_customer"
    PROVED_DECLINED_MERCHANT = "proved_declined_merchant"
    PROVED_DECLINED_TECHNICAL = "proved_declined_technical"
    PROVED_ABSENT = "proved_absent"
    RUNG_DUE = "rung_due"
    TRIED_BY_PERSON = "tried_by_person"
    METHOD_UPDATED = "method_updated"
    FIXED = "fixed"
    REFUNDED = "refunded"
    DISPUTED = "disputed"


class IllegalTransition(Exception):
    """The table has no row for this pair; the state is unchanged."""

    def __init__(self, status: StrEnum, fact: StrEnum) -> None:
        super().__init__(f"{status.value} has no transition for {fact.value}")
        self.status = status
        self.fact = fact


_S = SubscriptionStatus
_F = SubscriptionFact

SUBSCRIPTION_TABLE: Mapping[SubscriptionStatus, Mapping[SubscriptionFact, SubscriptionStatus]] = {
    _S.REQUIRES_ACTION: {
        _F.MANDATE_AUTHORIZED: _S.ACTIVATING,
        _F.MANDATE_FAILED: _S.FAILED,
        _F.ACTIVATION_TIMED_OUT: _S.FAILED,
        _F.CANCEL: _S.FAILED,
    },
    _S.ACTIVATING: {
        _F.FIRST_PAYMENT_SUCCEEDED: _S.ACTIVE,
        _F.NOTHING_DUE_NOW: _S.ACTIVE,
        _F.FIRST_PAYMENT_FAILED: _S.FAILED,
        _F.CANCEL: _S.FAILED,
        # A cancel waits for the charge on its way: paid, the subscription is active first and canceled then.
    },
    _S.ACTIVE: {
        _F.CYCLE_PAST_DUE: _S.PAST_DUE,
        _F.CANCEL: _S.CANCELED,
        _F.CALENDAR_ENDED: _S.CANCELED,
        _F.PROVIDER_ENDED: _S.CANCELED,
        _F.PAUSE: _S.PAUSED,
        _F.REVOKE: _S.INACTIVE,
    },
    _S.PAST_DUE: {
        _F.NO_CYCLE_OWED: _S.ACTIVE,
        _F.GRACE_ENDED: _S.ON_HOLD,
        _F.GIVEN_UP_STOP: _S.INACTIVE,
        _F.GIVEN_UP_RESUME: _S.ACTIVE,
        _F.ENDED_WITH_TIME_LEFT: _S.CANCELED,
        _F.CANCEL: _S.INACTIVE,
        _F.PROVIDER_ENDED: _S.INACTIVE,
        _F.REVOKE: _S.INACTIVE,
        _F.PAUSE: _S.PAUSED,
    },
    _S.ON_HOLD: {
        _F.NO_CYCLE_OWED: _S.ACTIVE,
        _F.GIVEN_UP_STOP: _S.INACTIVE,
        _F.GIVEN_UP_RESUME: _S.ACTIVE,
        _F.ENDED_WITH_TIME_LEFT: _S.CANCELED,
        _F.CANCEL: _S.INACTIVE,
        _F.PROVIDER_ENDED: _S.INACTIVE,
        _F.REVOKE: _S.INACTIVE,
    },
    _S.PAUSED: {
        _F.RESUME: _S.ACTIVE,
        _F.PAUSE_ENDED: _S.ACTIVE,
        _F.CALENDAR_ENDED: _S.CANCELED,
        _F.CANCEL: _S.INACTIVE,
        _F.REVOKE: _S.INACTIVE,
        # Added while building: a mandate that ends at the provider during a pause is a developer's cancel too.
        _F.PROVIDER_ENDED: _S.INACTIVE,
    },
    _S.CANCELED: {
        _F.RESTORE: _S.ACTIVE,
        _F.CYCLE_PAST_DUE: _S.CANCELED,
        _F.NO_CYCLE_OWED: _S.CANCELED,
        _F.CYCLE_CLOSED_UNPAID: _S.INACTIVE,
        _F.PERIOD_ENDED: _S.INACTIVE,
        _F.REVOKE: _S.INACTIVE,
    },
    _S.INACTIVE: {
        _F.REINSTATE: _S.CANCELED,
        # Added while building: at Google Play a customer subscribes again after the end, with a new purchase.
        _F.RESUBSCRIBED: _S.ACTIVE,
    },
    _S.FAILED: {},
}

_C = CycleStatus
_E = CycleFact

CYCLE_TABLE: Mapping[CycleStatus, Mapping[CycleFact, CycleStatus]] = {
    _C.SCHEDULED: {
        _E.DUE: _C.ATTEMPTING,
        _E.SKIPPED: _C.CANCELED,
        _E.CANCELED: _C.CANCELED,
        _E.PAID: _C.SUCCEEDED,
        _E.NO_USABLE_METHOD: _C.AWAITING_METHOD,
    },
    _C.ATTEMPTING: {
        _E.SUCCEEDED: _C.SUCCEEDED,
        _E.PAID: _C.SUCCEEDED,
        _E.PENDING: _C.PENDING,
        _E.OUTCOME_UNKNOWN: _C.UNKNOWN,
        _E.DECLINED_RETRYABLE: _C.RETRYING,
        _E.DECLINED_NEEDS_CUSTOMER: _C.AWAITING_METHOD,
        _E.NO_USABLE_METHOD: _C.AWAITING_METHOD,
        _E.DECLINED_MERCHANT: _C.AWAITING_OPERATOR,
        _E.DECLINED_TECHNICAL: _C.ATTEMPTING,
        _E.OUTAGE: _C.ATTEMPTING,
        _E.DEFERRED: _C.ATTEMPTING,
        _E.GIVEN_UP: _C.FAILED,
        _E.CANCELED: _C.CANCELED,
        _E.DECLINED_AFTER_STOP: _C.CANCELED,
    },
    _C.PENDING: {
        _E.SUCCEEDED: _C.SUCCEEDED,
        _E.PAID: _C.SUCCEEDED,
        _E.DECLINED_RETRYABLE: _C.RETRYING,
        _E.DECLINED_NEEDS_CUSTOMER: _C.AWAITING_METHOD,
        _E.DECLINED_MERCHANT: _C.AWAITING_OPERATOR,
        _E.DECLINED_TECHNICAL: _C.ATTEMPTING,
        _E.OUTCOME_UNKNOWN: _C.UNKNOWN,
        _E.GIVEN_UP: _C.FAILED,
        _E.DECLINED_AFTER_STOP: _C.CANCELED,
    },
    _C.UNKNOWN: {
        _E.PROVED_PAID: _C.SUCCEEDED,
        _E.PROVED_PENDING: _C.PENDING,
        _E.PROVED_DECLINED_RETRYABLE: _C.RETRYING,
        _E.PROVED_DECLINED_NEEDS_CUSTOMER: _C.AWAITING_METHOD,
        # Added while building: a look-up can also find a payment that the merchant's configuration or a
        # technical fault declined; without these rows such an obligation would stay unknown for ever.
        _E.PROVED_DECLINED_MERCHANT: _C.AWAITING_OPERATOR,
        _E.PROVED_DECLINED_TECHNICAL: _C.ATTEMPTING,
        _E.PROVED_ABSENT: _C.ATTEMPTING,
        # Added while building: a payment without our key (a link) can arrive while the outcome is unknown.
        _E.PAID: _C.SUCCEEDED,
        _E.GIVEN_UP: _C.FAILED,
        _E.DECLINED_AFTER_STOP: _C.CANCELED,
    },
    _C.RETRYING: {
        _E.RUNG_DUE: _C.ATTEMPTING,
        _E.TRIED_BY_PERSON: _C.ATTEMPTING,
        _E.METHOD_UPDATED: _C.ATTEMPTING,
        _E.NO_USABLE_METHOD: _C.AWAITING_METHOD,
        _E.PAID: _C.SUCCEEDED,
        _E.GIVEN_UP: _C.FAILED,
        _E.CANCELED: _C.CANCELED,
    },
    _C.AWAITING_METHOD: {
        _E.METHOD_UPDATED: _C.ATTEMPTING,
        _E.TRIED_BY_PERSON: _C.ATTEMPTING,
        _E.PAID: _C.SUCCEEDED,
        _E.GIVEN_UP: _C.FAILED,
        _E.CANCELED: _C.CANCELED,
    },
    _C.AWAITING_OPERATOR: {
        _E.FIXED: _C.ATTEMPTING,
        _E.TRIED_BY_PERSON: _C.ATTEMPTING,
        _E.PAID: _C.SUCCEEDED,
        _E.GIVEN_UP: _C.FAILED,
        _E.CANCELED: _C.CANCELED,
    },
    _C.FAILED: {
        _E.PAID: _C.SUCCEEDED,
        _E.TRIED_BY_PERSON: _C.ATTEMPTING,
    },
    # Recorded, no transition: what was given back or is disputed stays what it was.
    _C.SUCCEEDED: {_E.REFUNDED: _C.SUCCEEDED, _E.DISPUTED: _C.SUCCEEDED},
    _C.CANCELED: {_E.PAID: _C.SUCCEEDED, _E.REFUNDED: _C.CANCELED, _E.DISPUTED: _C.CANCELED},
}

OPEN_CYCLE = frozenset(
    {
        _C.ATTEMPTING,
        _C.PENDING,
        _C.UNKNOWN,
        _C.RETRYING,
        _C.AWAITING_METHOD,
        _C.AWAITING_OPERATOR,
    }
)
"""Still being collected."""

UNSETTLED_CYCLE = frozenset({_C.PENDING, _C.UNKNOWN})
"""A charge is on its way: nothing is given up, stopped or closed over it."""

OWED_CYCLE = OPEN_CYCLE - {_C.ATTEMPTING}
"""`no_cycle_owed` means that no cycle stands here any more. SPEC 8."""

ENDED = frozenset({_S.INACTIVE, _S.FAILED})
"""Nothing is collected any more; late facts raise attention."""


def step_subscription(status: SubscriptionStatus, fact: SubscriptionFact) -> SubscriptionStatus:
    """The next status of a subscription, or `IllegalTransition`."""
    try:
        return SUBSCRIPTION_TABLE[status][fact]
    except KeyError:
        raise IllegalTransition(status, fact) from None


def step_cycle(status: CycleStatus, fact: CycleFact) -> CycleStatus:
    """The next status of an obligation, or `IllegalTransition`."""
    try:
        return CYCLE_TABLE[status][fact]
    except KeyError:
        raise IllegalTransition(status, fact) from None
