"""Bodies of the control API. Unlike in the providers' bodies, unknown fields are refused as typing errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from dunning.domain.outcomes import ScriptedOutage, ScriptedOutcome, parse_outcomes
from dunning.sandbox.book import MetadataValue
from dunning.sandbox.faults import Fault
from dunning.sandbox.scripts import MandateStory
from dunning.sandbox.settings import WebhookPolicy


def _read_words(value: Any) -> Any:
    is_words = isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))
    return parse_outcomes(value) if is_words else value


def _read_payment_words(value: Any) -> Any:
    outcomes = _read_words(value)
    if isinstance(outcomes, tuple) and any(isinstance(one, ScriptedOutage) for one in outcomes):
        raise ValueError("an outage cannot befall a charge that the provider makes by itself")
    return outcomes


Words = Annotated[tuple[ScriptedOutcome, ...], BeforeValidator(_read_words)]
PaymentWords = Annotated[tuple[ScriptedOutcome, ...], BeforeValidator(_read_payment_words)]


class Control(BaseModel):
    """A control body."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class MethodSpec(Control):
    """A stored payment method of a registered customer."""

    payment_method_id: str
    last4: str = Field(default="4242", pattern=r"^[0-9]{4}$")
    network: str = "visa"
    expiry_month: str = Field(default="06", pattern=r"^[0-9]{2}$")
    expiry_year: str = Field(default="2032", pattern=r"^[0-9]{4}$")


class RegisterSubscription(Control):
    """A subscription that exists at the provider already.

    Attributes:
        provider: whose it is; at Omise under the customer's id, at Xendit under a token's.
        script: outcomes of its charges, in order; after them everything succeeds.
        dues: outcomes of charges that the provider makes by itself after a method update on hold.
        payment_method_id: the current method; `methods` are further ones that the customer has stored.
        mandate_limit: charges above it (minor units) are declined as MANDATE_INVALID, using no word of the
            script.
        on_hold_after_failure: whether a declined charge puts the subscription on hold.
    """

    provider: Literal["dodo", "omise", "xendit"] = "dodo"
    subscription_id: str = Field(min_length=1)
    customer_id: str | None = None
    payment_method_id: str | None = "pm_sandbox"
    methods: list[MethodSpec] = []
    currency: str = "USD"
    metadata: dict[str, MetadataValue] = {}
    status: Literal["pending", "active", "on_hold", "paused", "cancelled", "failed", "expired", "past_due"] = "active"
    script: Words = ()
    dues: PaymentWords = ()
    mandate_limit: int | None = Field(default=None, ge=0)
    on_hold_after_failure: bool = False
    on_demand: bool = True
    email: str | None = None
    name: str | None = None
    phone_number: str | None = None


class BindScript(Control):
    """The future of the customer of one of our subscriptions, also before its mandate exists.

    `delay`: machine seconds from the making of the mandate's link to what `mandate` says.
    """

    subscription: str = Field(min_length=1)
    script: Words | None = None
    dues: PaymentWords | None = None
    mandate: MandateStory | None = None
    delay: float = Field(default=0.05, ge=0, le=3600)


class PayLink(Control):
    """The customer pays by a link; without an amount, all that declined charges left unpaid."""

    amount: int | None = Field(default=None, ge=1)
    currency: str | None = None
    business_at: str | None = None


class UpdateMethod(Control):
    """The customer gives another method; `then` replaces what is left of the script."""

    payment_method_id: str | None = None
    last4: str = Field(default="4242", pattern=r"^[0-9]{4}$")
    then: Words | None = None
    dues: PaymentWords | None = None
    business_at: str | None = None


class LateSuccess(Control):
    """Which payment becomes paid after all; by default the last one that is not."""

    payment_id: str | None = None
    key: str | None = None


class SetStatus(Control):
    """The provider moves a subscription by itself, such as a mandate that the customer withdrew."""

    status: Literal["active", "on_hold", "past_due", "paused", "cancelled", "failed", "expired"]


class Advance(Control):
    """Business time is now this instant, for one subscription or for all."""

    business_now: str
    subscription: str | None = None


class Clock(Control):
    """One subscription's business time is now this instant, for the calendars that its provider runs."""

    business_now: str
    subscription: str = Field(min_length=1)


class FaultList(Control):
    """Faults to come."""

    faults: list[Fault]


class Configure(Control):
    """Settings to change; absent ones stay."""

    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    omise_webhook_url: str | None = None
    omise_webhook_secret: SecretStr | None = None
    xendit_webhook_url: str | None = None
    xendit_callback_token: SecretStr | None = None
    xendit_plan_delay_seconds: float | None = Field(default=None, ge=0, le=86_400)
    xendit_keeps_plan_keys: bool | None = None
    play_push_url: str | None = None
    play_push_audience: str | None = None
    whatsapp_webhook_url: str | None = None
    whatsapp_app_secret: SecretStr | None = None
    whatsapp_statuses: list[Literal["sent", "delivered", "read", "failed"]] | None = None
    sms_secret: SecretStr | None = None
    backend_secret: SecretStr | None = None
    public_url: str | None = None
    settle_seconds: float | None = Field(default=None, ge=0, le=60)
    hold_seconds: float | None = Field(default=None, ge=0, le=600)
    minimum_amount: int | None = Field(default=None, ge=0)
    refund_status: Literal["succeeded", "failed", "pending", "review"] | None = None
    rate_limit_per_second: int | None = Field(default=None, ge=1)
    webhook_backoff_seconds: list[float] | None = None
    webhooks: WebhookPolicy | None = None


class WhatsAppWorld(Control):
    """What WhatsApp knows: `recipients` answer with an error code, `late_errors` fail by a status message.

    `templates`: name -> language -> number of body parameters; empty accepts every template.
    """

    recipients: dict[str, int] | None = None
    late_errors: dict[str, int] | None = None
    templates: dict[str, dict[str, int]] | None = None


class SmsWorld(Control):
    """How the SMS gateway double answers: `recipients` maps a number to a status; `fail_times` come before that."""

    recipients: dict[str, int] | None = None
    fail_times: int | None = Field(default=None, ge=0)
    fail_status: int = Field(default=503, ge=300, le=599)


class BackendFailure(Control):
    """The backend double answers its next deliveries with an error."""

    times: int = Field(ge=0)
    status: int = Field(default=500, ge=300, le=599)


class PayCycle(Control):
    """The customer pays a cycle of a plan that the provider could not collect."""

    business_at: str | None = None


class EndPlan(Control):
    """The provider ends a plan."""

    business_at: str | None = None
