"""The client of a product backend: starts subscriptions, steers them, and shows them. SPEC 3, 9, 15.

Workflows are started by name and by reference, so nothing personal enters a history and a backend installs the
wheel alone. Where Temporal is, says Temporal's own environment configuration (`TEMPORAL_ADDRESS`, ...).

    dunning = DunningClient(await connect(), await Ledger.open(url))
    shop = dunning.merchant("demo")
    await shop.create(subscription)
    await shop.command("sub-4711", Pause(command_id="support-1"))

`Merchant` (`dunning.merchant`) has every verb of the HTTP API; docs/python-client.md is an example to paste.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionDescription,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import (
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from dunning.contract import (
    CUSTOMER,
    MERCHANT_ACCOUNT,
    PROVIDER,
    QUERY_STATE,
    SIGNAL_FACT,
    TASK_QUEUE,
    WORKFLOW,
    ProviderFact,
    StateReport,
    SubscriptionInput,
    workflow_id,
)
from dunning.domain.base import Value
from dunning.domain.commands import USED_FOR_ANOTHER, Command, CommandResult
from dunning.domain.terms import Subscription
from dunning.errors import NotFound
from dunning.ledger import Ledger
from dunning.sealing import data_converter, load_sealing
from dunning.selling import Orders, PriceMigrations
from dunning.tracing import RequestIds

if TYPE_CHECKING:
    from dunning.merchant import Merchant
    from dunning.settings import AccountSettings

UPDATE_TRIES = 3
_NOT_READY = (RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.ABORTED)

RPC_TIMEOUT = timedelta(seconds=10)
COMMAND_TIMEOUT = timedelta(seconds=60)
"""A command's answer comes when the run has taken it in, which may wait for an activity of its own."""


async def connect(*, lazy: bool = False) -> Client:
    """Connect to Temporal as its environment configuration says; without any, to localhost:7233.

    Payloads are sealed when the environment has keys for it (`dunning.sealing`).

    Args:
        lazy: connect with the first call; a gateway takes messages also while Temporal is away.

    Raises:
        ConfigurationError: the keys cannot be read.
    """
    converter = data_converter(load_sealing().keyring())
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", "localhost:7233")
    return await Client.connect(**config, data_converter=converter, lazy=lazy, interceptors=[RequestIds()])


class Started(Value):
    """A subscription that runs. `is_new` False: it was there with the same terms."""

    workflow_id: str
    generation: int
    is_new: bool


class DunningClient:
    """Subscriptions of all merchant accounts, over one Temporal client and one ledger."""

    def __init__(self, temporal: Client, ledger: Ledger, *, task_queue: str = TASK_QUEUE) -> None:
        self.temporal = temporal
        self.ledger = ledger
        self._task_queue = task_queue

    async def start(
        self,
        subscription: Subscription,
        *,
        now: datetime | None = None,
        restart: bool = False,
        is_test_clock: bool = False,
        **start_options: Any,
    ) -> Started:
        """Write a subscription and its contacts to the ledger, then start its workflow by reference.

        Doing it again with the same terms changes nothing, and starts a workflow that was never started.

        Args:
            now: business time of the creation; the machine clock's when not given.
            restart: begin a failed or inactive one anew, under a higher generation.
            is_test_clock: the run lives on a virtual clock of a development server.
            start_options: handed to Temporal's `start_workflow`.

        Raises:
            Conflict: the id exists with other terms, or cannot be restarted.
        """
        started, reference = await self._written(subscription, now, restart, is_test_clock)
        if reference is not None:
            await self.temporal.start_workflow(
                WORKFLOW,
                reference,
                id=started.workflow_id,
                task_queue=self._task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                search_attributes=_attributes(subscription),
                static_summary=f"{subscription.merchant_account} / {subscription.id}",
                rpc_timeout=RPC_TIMEOUT,
                **start_options,
            )
        return started

    async def start_with(
        self,
        subscription: Subscription,
        command: Command,
        *,
        now: datetime | None = None,
        restart: bool = False,
        is_test_clock: bool = False,
    ) -> tuple[Started, CommandResult]:
        """Start a subscription and send it its first command in one request: nothing can happen in between.

        Again gives the first results; arguments and errors are those of `start`.
        """
        started, reference = await self._written(subscription, now, restart, is_test_clock)
        result = await self._command(subscription.merchant_account, subscription.id, command, reference, subscription)
        return started, result

    async def _written(
        self, subscription: Subscription, now: datetime | None, restart: bool, is_test_clock: bool
    ) -> tuple[Started, SubscriptionInput | None]:
        """The subscription in the ledger, and what its run starts from; None where it is over."""
        account, own_id = subscription.merchant_account, subscription.id
        created = await self.ledger.create_subscription(subscription, now=now or datetime.now(UTC), restart=restart)
        started = Started(
            workflow_id=workflow_id(account, own_id), generation=created.generation, is_new=created.is_new
        )
        if not created.is_new and not (await self.ledger.read_subscription(account, own_id)).is_open:
            return started, None
        return started, SubscriptionInput(
            account=account, subscription=own_id, generation=created.generation, is_test_clock=is_test_clock
        )

    def merchant(self, account: str, settings: AccountSettings | None = None) -> Merchant:
        """One merchant account with every verb of the HTTP API; `settings` only for test events and portal links."""
        from dunning.merchant import Merchant

        return Merchant(self, account, settings)

    def orders(self, account: str) -> Orders:
        """The orders that a provider keeps itself, one-time ones above all."""
        return Orders(self.temporal, self.ledger, account, task_queue=self._task_queue)

    def price_migrations(self, account: str) -> PriceMigrations:
        """The price migrations of one merchant account."""
        return PriceMigrations(self.temporal, account, task_queue=self._task_queue)

    async def signal_fact(self, account: str, subscription: str, fact: ProviderFact) -> None:
        """Hand a provider's message to the subscription's run; a run that is over is opened again for it.

        The caller has made sure that the ledger knows the subscription.
        """
        await self.temporal.start_workflow(
            WORKFLOW,
            SubscriptionInput(account=account, subscription=subscription),
            id=workflow_id(account, subscription),
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            start_signal=SIGNAL_FACT,
            start_signal_args=[fact],
            rpc_timeout=RPC_TIMEOUT,
        )

    async def command(self, account: str, subscription: str, command: Command) -> CommandResult:
        """Carry out a command: done, refused with the reason, or accepted and waiting for a charge on its way.

        The same command id returns the first result. A run that is over is opened again for it.

        Raises:
            NotFound: the ledger knows no such subscription.
        """
        await self._require(account, subscription)
        return await self._command(account, subscription, command, None, None)

    async def _command(
        self,
        account: str,
        subscription: str,
        command: Command,
        reference: SubscriptionInput | None,
        given: Subscription | None,
    ) -> CommandResult:
        known = await self.ledger.stored_command(account, command.command_id)
        if known is not None and (known.subscription, known.command) != (subscription, command.model_dump(mode="json")):
            # Temporal and the run know a repeat by its id alone: they would answer with the first one's result.
            return CommandResult(command_id=command.command_id, status="refused", reason=USED_FOR_ANOTHER)
        for tries_left in range(UPDATE_TRIES - 1, -1, -1):
            try:
                return await self._update(account, subscription, command, reference, given)
            except WorkflowUpdateFailedError as failure:
                cause = failure.cause
                if isinstance(cause, ApplicationError) and cause.type == "refused":
                    return await self._first_result(account, subscription, command, cause.message)
                raise
            except RPCError as failure:
                # The run's workflow task met a message that came at the same moment, and is done again. A command
                # is carried out once by its id, so it may be sent again.
                if failure.status not in _NOT_READY or not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")

    async def _update(
        self,
        account: str,
        subscription: str,
        command: Command,
        reference: SubscriptionInput | None,
        given: Subscription | None,
    ) -> CommandResult:
        run: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            WORKFLOW,
            reference or SubscriptionInput(account=account, subscription=subscription),
            id=workflow_id(account, subscription),
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=_attributes(given) if given is not None else None,
            static_summary=f"{account} / {subscription}" if given is not None else None,
        )
        result: CommandResult = await self.temporal.execute_update_with_start_workflow(
            command.name,
            command,
            start_workflow_operation=run,
            id=command.command_id,
            result_type=CommandResult,
            rpc_timeout=COMMAND_TIMEOUT,
        )
        return result

    async def _first_result(self, account: str, subscription: str, command: Command, reason: str) -> CommandResult:
        """A refusal, unless the command is a repeat: a run keeps the latest results only, the ledger keeps all."""
        first = await self.ledger.result_of(
            account, subscription, command_id=command.command_id, command=command.model_dump(mode="json")
        )
        return first or CommandResult(command_id=command.command_id, status="refused", reason=reason)

    async def show(self, account: str, subscription: str) -> StateReport:
        """The state as its run has it, and what it waits for; for a run that is over, its last state.

        Raises:
            NotFound: there is no run, and never was one that the server still remembers.
        """
        try:
            return await self._ask(account, subscription)
        except WorkflowQueryFailedError:
            # A worker answers no query on a stale clock (`workers.fresh_time`); asked again, it has the right one.
            return await self._ask(account, subscription)

    async def _ask(self, account: str, subscription: str) -> StateReport:
        try:
            report: StateReport = await self.handle(account, subscription).query(
                QUERY_STATE, result_type=StateReport, rpc_timeout=RPC_TIMEOUT
            )
        except RPCError as error:
            raise _not_found(error, account, subscription) from error
        return report

    async def describe(self, account: str, subscription: str) -> WorkflowExecutionDescription:
        """The run as the server sees it: status, search attributes, times; raises `NotFound`."""
        try:
            return await self.handle(account, subscription).describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            raise _not_found(error, account, subscription) from error

    def handle(self, account: str, subscription: str) -> WorkflowHandle[Any, Any]:
        """Temporal's handle; it follows the subscription over continue-as-new and re-opening."""
        return self.temporal.get_workflow_handle(workflow_id(account, subscription))

    async def _require(self, account: str, subscription: str) -> None:
        if not await self.ledger.has_subscription(account, subscription):
            raise NotFound(f"no subscription {subscription!r} in account {account!r}")


def _attributes(subscription: Subscription) -> TypedSearchAttributes:
    """What never changes; the run keeps the rest. With it, lists show a run that no worker has taken up yet."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(PROVIDER, subscription.provider.value),
            SearchAttributePair(MERCHANT_ACCOUNT, subscription.merchant_account),
            SearchAttributePair(CUSTOMER, subscription.customer.id),
        ]
    )


def _not_found(error: RPCError, account: str, subscription: str) -> Exception:
    if error.status is RPCStatusCode.NOT_FOUND:
        return NotFound(f"no run of subscription {subscription!r} in account {account!r}")
    return error
