"""What the client, the gateway and the workflows say to each other: names and payloads. SPEC 15.

The names are part of every history: chosen once. A payload only ever gains optional fields.
Nothing here holds contacts, so histories stay readable.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field
from temporalio.common import SearchAttributeKey

from dunning.domain.attempts import Outcome
from dunning.domain.base import Value
from dunning.domain.command_table import COMMAND_TABLE
from dunning.domain.plans import PlanStanding
from dunning.domain.refunds import RefundOutcome
from dunning.domain.state import State
from dunning.providers.base import Mandate, MessageKind, Payment, Refund

WORKFLOW = "SubscriptionWorkflow"
"""The workflow type; its `run` takes one `SubscriptionInput` and returns nothing."""

TASK_QUEUE = "dunning"

SIGNAL_FACT = "provider_fact"
"""The signal that carries one `ProviderFact`."""

QUERY_STATE = "state"
"""The query that answers a `StateReport`; it takes no argument."""

UPDATE_NAMES: tuple[str, ...] = tuple(COMMAND_TABLE)
"""One Temporal Update per command, named as the command. Its argument is the command, its result a
`CommandResult`: `done`, `refused` or `accepted`; the Update's id is the command's id. SPEC 9."""

STATUS = SearchAttributeKey.for_keyword("DunningStatus")
PROVIDER = SearchAttributeKey.for_keyword("DunningProvider")
MERCHANT_ACCOUNT = SearchAttributeKey.for_keyword("DunningMerchantAccount")
CUSTOMER = SearchAttributeKey.for_keyword("DunningCustomer")
DECLINE_CLASS = SearchAttributeKey.for_keyword("DunningDeclineClass")
NEXT_ACTION_AT = SearchAttributeKey.for_datetime("DunningNextActionAt")
PAST_DUE_SINCE = SearchAttributeKey.for_datetime("DunningPastDueSince")
ATTEMPT = SearchAttributeKey.for_int("DunningAttempt")
AMOUNT_DUE = SearchAttributeKey.for_int("DunningAmountDue")
ATTENTION = SearchAttributeKey.for_bool("DunningAttention")

SEARCH_ATTRIBUTES: tuple[SearchAttributeKey[Any], ...] = (
    STATUS,
    PROVIDER,
    MERCHANT_ACCOUNT,
    CUSTOMER,
    DECLINE_CLASS,
    NEXT_ACTION_AT,
    PAST_DUE_SINCE,
    ATTEMPT,
    AMOUNT_DUE,
    ATTENTION,
)
"""Everything that operators filter by; a worker refuses to start when one is not registered."""


def workflow_id(account: str, subscription: str) -> str:
    """The one workflow id of a subscription: it carries the backend's own reference."""
    return f"subscription/{account}/{subscription}"


class SubscriptionInput(Value):
    """What a run starts from.

    Attributes:
        subscription: the backend's reference.
        generation: which life of that reference; None: the ledger's latest one.
        state: the state carried by continue-as-new, as JSON; None: load it from the ledger first. Its run takes it
            out (`take_state`).
        is_test_clock: the run lives on a virtual clock of a development server. SPEC 16.
    """

    account: str
    subscription: str
    generation: int | None = None
    state: dict[str, Any] | None = None
    is_test_clock: bool = False

    def take_state(self) -> State | None:
        """The carried state, read; the raw form is dropped: a cached run would else hold it beside it for weeks."""
        raw = self.state
        if raw is None:
            return None
        vars(self)["state"] = None
        return State.model_validate(raw)


class NoticeHeard(Value):
    """A channel took a notice and did not deliver it.

    Attributes:
        at: business time; no next step before it.
        is_told: another channel has it.
    """

    key: str
    at: datetime
    because: str
    attention: str | None = None
    is_told: bool = False


class ProviderFact(Value):
    """One message of the provider, as the gateway hands it on.

    Attributes:
        message_id: the inbox's id; the state ignores repeats.
        occurred_at: the provider's clock, UTC.
        attempt_key: our key found in the message; `outcome` then is what that attempt came to.
        payment: without `attempt_key`, a payment that we did not send.
        refund_key: our key of the refund it is about; `refund_outcome` then is what that came to.
        refund: without `refund_key`, a refund that was made at the provider.
        is_page: `attempt_key` is a first price's, whose attempt waits on the mandate's page.
        plan: of a plan that the provider runs, what it says now; None: it is to be read.
        notice: with `kind` `notice`, what became of one.
    """

    message_id: str
    kind: MessageKind
    occurred_at: datetime
    attempt_key: str | None = None
    outcome: Outcome | None = None
    payment: Payment | None = None
    mandate: Mandate | None = None
    method_token: str | None = None
    dispute_is_open: bool = False
    refund: Refund | None = None
    refund_key: str | None = None
    refund_outcome: RefundOutcome | None = None
    is_page: bool = False
    plan: PlanStanding | None = None
    notice: NoticeHeard | None = None


class StateReport(Value):
    """The answer of the `state` query. Instants are business time, UTC.

    Attributes:
        state: None until the run has loaded it.
        next_at, next_because: the next instant that the run waits for, and why; test clocks never pass it.
        is_quiet: no activity is running and no message waits to be handled.
    """

    business_now: datetime
    state: State | None = None
    next_at: datetime | None = None
    next_because: str = ""
    is_quiet: bool = Field(default=True)
