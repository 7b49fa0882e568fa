"""What the sandbox may be told at start or while it runs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

WebhookMode = Literal["normal", "duplicate", "reorder", "lose", "delay"]


class WebhookPolicy(BaseModel):
    """How webhooks are treated on their way out.

    Attributes:
        mode: `normal`; `duplicate` (each `copies` times, same id); `reorder` (one is held back until the next
            has gone out, or `seconds` have passed); `lose`; `delay` by `seconds`.
        every: apply the mode to every n-th event only; 1 is all of them.
        types: apply the mode to these event types only; empty is all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: WebhookMode = "normal"
    every: int = Field(default=1, ge=1)
    copies: int = Field(default=2, ge=2, le=20)
    seconds: float = Field(default=0.5, ge=0, le=600)
    types: frozenset[str] = frozenset()


class SandboxSettings(BaseSettings):
    """Settings from arguments or from the environment (`DUNNING_SANDBOX_...`); all may be changed at run
    time.

    Attributes:
        webhook_url, webhook_secret: where Dodo's webhooks go and the `whsec_` secret that signs them.
        omise_webhook_url, omise_webhook_secret: where Omise's go and the base64 secret that signs them.
        xendit_webhook_url, xendit_callback_token: where Xendit's go and the fixed token that comes with them.
        xendit_plan_delay_seconds: how much later than planned Xendit's plans charge (business time); up to a day is
            documented.
        xendit_keeps_plan_keys: whether creating a plan minds the idempotency key. The refusal is documented and the
            header is not, so that by default two requests make two plans.
        play_push_url: where Google Play's notifications go; play_push_audience (default: that URL) and
            play_push_email are what their tokens say.
        whatsapp_webhook_url, whatsapp_app_secret: the same for WhatsApp statuses; nothing is sent without a
            URL.
        whatsapp_statuses: statuses that follow each accepted message, in order.
        sms_secret: the `whsec_` secret with which the SMS gateway double verifies what it receives.
        backend_secret: the secret with which the product-backend double verifies what it receives.
        settle_seconds: machine time from the charge's answer to its outcome; 0 settles before the answer.
        hold_seconds: how long a connection that will never be answered is held before it is dropped.
        minimum_amount: smallest amount taken, minor units.
        refund_status: what Dodo answers to a refund; a pending one is settled through the control API.
        rate_limit_per_second: requests per second taken before 429; None counts but never refuses.
        public_url: what hosted links start with; None uses the address of the request that made them.
    """

    model_config = SettingsConfigDict(env_prefix="DUNNING_SANDBOX_", frozen=True, extra="ignore")

    webhook_url: str | None = None
    webhook_secret: SecretStr | None = None
    omise_webhook_url: str | None = None
    omise_webhook_secret: SecretStr | None = None
    xendit_webhook_url: str | None = None
    xendit_callback_token: SecretStr | None = None
    xendit_plan_delay_seconds: float = Field(default=0.0, ge=0, le=86_400)
    xendit_keeps_plan_keys: bool = False
    play_push_url: str | None = None
    play_push_audience: str | None = None
    play_push_email: str = "play-push@sandbox.iam.gserviceaccount.com"
    whatsapp_webhook_url: str | None = None
    whatsapp_app_secret: SecretStr | None = None
    whatsapp_statuses: tuple[Literal["sent", "delivered", "read", "failed"], ...] = ()
    sms_secret: SecretStr | None = None
    backend_secret: SecretStr | None = None
    business_id: str = "bus_sandbox"
    public_url: str | None = None
    settle_seconds: float = Field(default=0.05, ge=0, le=60)
    hold_seconds: float = Field(default=2.0, ge=0, le=600)
    minimum_amount: int = Field(default=50, ge=0)
    refund_status: Literal["succeeded", "failed", "pending", "review"] = "succeeded"
    rate_limit_per_second: int | None = Field(default=None, ge=1)
    webhook_backoff_seconds: tuple[float, ...] = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
    webhook_timeout_seconds: float = Field(default=15.0, gt=0)
    webhooks: WebhookPolicy = WebhookPolicy()
