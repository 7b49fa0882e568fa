"""The provider protocol: what the engine asks of a payment provider, in our own words. SPEC 12, 13.

Both sides are our own types; a vendor's words stop at its adapter. What a provider can and cannot do is
data (`Capabilities`), so nothing outside an adapter ever asks which provider it has.

An adapter never retries, never sleeps and keeps no state: the ledger decides who sends, workflows decide when.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from pydantic import Field

from dunning.domain.base import Value
from dunning.domain.declines import DeclineTable
from dunning.domain.first_price import FirstPrice
from dunning.domain.terms import Contacts, Terms
from dunning.errors import ProviderError


class Resend(StrEnum):
    """Whether an unclear charge may be sent again under the same key."""

    IDEMPOTENCY_KEY = "idempotency_key"
    UNIQUE_REFERENCE = "unique_reference"
    NEVER = "never"


class Capabilities(Value):
    """What a provider can do, as data. Durations are seconds."""

    name: str
    resend: Resend
    resend_ttl_seconds: int | None = None
    has_look_up: bool = True
    look_up_proves_absence: bool = Field(
        default=True, description="False: only what is found counts; what is not listed may exist all the same"
    )
    finds_keyless: bool = Field(default=True, description="look-ups also find payments that carry no key of ours")
    signs_messages: bool = Field(
        default=True, description="a signature covers a message's bytes and time; else a fixed token alone shows whose"
    )
    look_up_lag_seconds: int = Field(default=0, description="how late a new payment may appear in look-ups")
    is_asynchronous: bool = False
    has_native_retries: bool = False
    has_mandate_link: bool = True
    method_update_may_charge: bool = Field(
        default=False, description="changing the method of a subscription on hold collects what is owed by itself"
    )
    one_pending_charge_at_a_time: bool = False
    has_customer_portal: bool = Field(default=False, description="a hosted page shows customers what is stored of them")
    refund_look_up_proves_absence: bool = Field(
        default=True, description="False: a refund that is not listed may exist all the same"
    )
    max_metadata_pairs: int = 50
    requests_per_second: float = 10.0
    quotas: Mapping[str, int] = {}


class PaymentStatus(StrEnum):
    """The provider's truth about a payment."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PENDING = "pending"


class Payment(Value):
    """A payment as the provider tells it, translated.

    Attributes:
        key: our attempt key found in it; None for a payment that we did not send.
        code_field, code: the raw decline code and the field that it came in.
        amount: minor units.
        created_at: the provider's clock, UTC.
        is_first_price: made on a mandate's page, where the customer may try again after a decline.
    """

    payment_id: str
    status: PaymentStatus
    key: str | None = None
    amount: int
    currency: str
    code_field: str = "error_code"
    code: str | None = None
    message: str | None = None
    retry_after_seconds: int | None = None
    created_at: datetime
    method_token: str | None = None
    is_method_update: bool = False
    is_first_price: bool = False
    provider_reference: str | None = None


class ChargeRequest(Value):
    """One charge: everything is decided already. `amount` is in minor units."""

    reference: str = Field(description="the provider's id of the subscription or mandate")
    key: str
    amount: int
    currency: str
    description: str
    method_token: str
    retry_attempt: int
    planned_at: datetime
    business_at: datetime
    subscription: str
    obligation: str
    recurs_every_days: int | None = Field(
        default=None, description="days between two cycles, at least; None: it is no cycle"
    )
    fees_inclusive: bool | None = Field(default=None, description="whether fees of a foreign currency are in the price")
    metadata: Mapping[str, str | int | bool] = Field(default_factory=dict)


class AnswerKind(StrEnum):
    """What a single request told us."""

    PAYMENT = "payment"
    OUTAGE = "outage"
    UNCLEAR = "unclear"
    REFUSED = "refused"


class ChargeAnswer(Value):
    """What one charge request told us.

    `payment`: the provider has it (whatever its status). `outage`: certain that nothing was charged.
    `refused`: the provider rejected the request itself; `code_field`/`code` go through the decline table.
    `unclear`: anything else once the first byte was sent.
    """

    kind: AnswerKind
    payment: Payment | None = None
    code_field: str = "api_code"
    code: str | None = None
    because: str = ""
    retry_after_seconds: int | None = None


class PaymentQuery(Value):
    """Find the payment of one attempt.

    `since`: the row's machine-clock `sent_at`. A payment without any key that the provider made by itself
    after a method update (`accept_keyless`) of equal amount and currency counts as found, unless it is among
    `known_payments`, which paid something else.
    """

    reference: str
    key: str
    amount: int
    currency: str
    since: datetime
    payment_id: str | None = None
    accept_keyless: bool = False
    known_payments: tuple[str, ...] = ()
    business_at: datetime | None = None


class LookUp(Value):
    """`payment` is None when the provider surely answered and the payment is absent.

    `is_certain` is False when the provider could not be asked; then nothing is proved.
    """

    is_certain: bool
    payment: Payment | None = None
    because: str = ""


class MandateRequest(Value):
    """Ask for an authorisation to charge without the customer present.

    It charges nothing itself, unless a `first` price is asked on its page: then the row of that attempt is in the
    ledger already, and the payment has to carry its key. SPEC 12, 13.
    """

    subscription: str
    account: str
    terms: Terms
    contacts: Contacts
    business_at: datetime
    first: FirstPrice | None = None


class MandateStatus(StrEnum):
    """Where an authorisation stands at the provider."""

    WAITING = "waiting"
    AUTHORIZED = "authorized"
    FAILED = "failed"
    ENDED = "ended"


class Mandate(Value):
    """An authorisation at the provider. `link` is where the customer completes it."""

    reference: str
    status: MandateStatus
    link: str | None = None
    method_token: str | None = None
    expires_at: datetime | None = None
    customer_reference: str | None = None


class MethodChange(Value):
    """The answer to changing the payment method. `payment`: what the provider charged by itself, if it did."""

    reference: str
    method_token: str | None
    link: str | None = None
    payment: Payment | None = None


class RefundStatus(StrEnum):
    """The provider's truth about a refund."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PENDING = "pending"


class RefundRequest(Value):
    """Give money back: all or part of one payment. `amount` is in minor units; the key is derived, as a charge's."""

    payment_id: str
    key: str
    amount: int
    currency: str
    metadata: Mapping[str, str | int | bool] = Field(default_factory=dict)


class Refund(Value):
    """A refund as the provider tells it, translated. `amount` in minor units; `key` is ours, if it carries one."""

    refund_id: str
    payment_id: str | None
    status: RefundStatus
    key: str | None = None
    amount: int
    currency: str
    code: str | None = None
    created_at: datetime


class RefundAnswer(Value):
    """What one refund request told us; the kinds mean the same as a charge's, `PAYMENT` that there is a refund."""

    kind: AnswerKind
    refund: Refund | None = None
    code: str | None = None
    because: str = ""
    retry_after_seconds: int | None = None


class MessageKind(StrEnum):
    """What a provider's message is about."""

    PAYMENT = "payment"
    MANDATE = "mandate"
    METHOD_UPDATED = "method_updated"
    DISPUTE = "dispute"
    REFUND = "refund"
    PLAN = "plan"
    NOTICE = "notice"
    OTHER = "other"


class ProviderMessage(Value):
    """A verified webhook, translated. `message_id` is unique per delivery of one fact and dedupes.

    `subscription` is our own id when the message carries it; `reference` the provider's. What is about a plan is a
    `PlanMessage` of `dunning.providers.following`.
    """

    message_id: str
    kind: MessageKind
    raw_type: str
    occurred_at: datetime
    subscription: str | None = None
    reference: str | None = None
    payment: Payment | None = None
    mandate: Mandate | None = None
    dispute_is_open: bool = False
    refund: Refund | None = None


class WebhookRefused(ProviderError):
    """The message is not the provider's, is too old, or cannot be read. Nothing took effect."""


class PaymentProvider(Protocol):
    """Everything that the engine may ask of a provider, for one merchant account."""

    @property
    def capabilities(self) -> Capabilities:
        """What this provider can do, as data."""
        ...

    @property
    def declines(self) -> DeclineTable:
        """Raw code -> class."""
        ...

    async def create_mandate(self, request: MandateRequest) -> Mandate:
        """Create the authorisation and the link that completes it; raises `ProviderUnavailable`/`ProviderRefused`."""
        ...

    async def read_mandate(self, reference: str) -> Mandate:
        """Where an authorisation stands; raises `ProviderUnavailable`/`ProviderRefused`."""
        ...

    async def charge(self, request: ChargeRequest) -> ChargeAnswer:
        """Send one charge, once. Never raises for anything that the network or the provider does."""
        ...

    async def find_payment(self, query: PaymentQuery) -> LookUp:
        """Find one attempt's payment. Never raises for anything that the network or the provider does."""
        ...

    async def change_method(self, reference: str, token: str | None) -> MethodChange:
        """Make a stored token current, or (None) get the link where the customer gives a new one."""
        ...

    async def end_mandate(self, reference: str, *, reason: str) -> None:
        """Give the authorisation back; already ended is success."""
        ...

    async def portal_link(self, reference: str, *, return_url: str | None = None) -> str:
        """The customer's own page at the provider; raises `ProviderUnavailable`/`ProviderRefused`."""
        ...

    async def refund(self, request: RefundRequest) -> RefundAnswer:
        """Send one refund, once. Never raises for anything that the network or the provider does."""
        ...

    async def find_refund(self, payment_id: str, key: str) -> Refund | None:
        """The refund of a payment that carries this key; None: there surely is none.

        Raises `ProviderUnavailable`/`ProviderRefused` when nothing is proved.
        """
        ...

    def read_webhook(
        self, headers: Mapping[str, str], body: bytes, *, secrets: list[str], now: datetime
    ) -> ProviderMessage:
        """Verify the raw bytes and translate; raises `WebhookRefused`. `now` is the machine clock."""
        ...

    async def aclose(self) -> None:
        """Close connections."""
        ...


class ProviderUnavailable(ProviderError):
    """The provider could not be asked, or said to come back; nothing changed. `retry_after_seconds` if it told."""

    def __init__(self, because: str, retry_after_seconds: int | None = None) -> None:
        super().__init__(because)
        self.retry_after_seconds = retry_after_seconds


class ProviderRefused(ProviderError):
    """The provider understood the request and refused it; asking again is useless."""

    def __init__(self, code: str, because: str, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {because}")
        self.code = code
        self.detail = dict(detail or {})
