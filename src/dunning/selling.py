"""Orders and prices that a provider keeps itself, as the client sees them. SPEC 9, 12."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from dunning.domain.commands import USED_FOR_ANOTHER, CommandResult
from dunning.errors import Conflict, NotFound
from dunning.ledger import Ledger
from dunning.ordering import (
    MIGRATION_WORKFLOW,
    QUERY_PROGRESS,
    REFUND_ORDER_WORKFLOW,
    SIGNAL_RESUME,
    PriceMigrationInput,
    Progress,
    RefundOrderInput,
    migration_id,
    owner_of,
    refund_order_id,
)

ANSWER_SECONDS = 20.0
RPC_TIMEOUT = timedelta(seconds=10)
UNDER_WAY = "the refund is under way: the provider has not answered yet. Ask again with the same command_id"


class Orders:
    """Orders of one merchant account, one-time ones above all: a subscription's are refunded by its own command."""

    def __init__(self, temporal: Client, ledger: Ledger, account: str, *, task_queue: str) -> None:
        self._temporal = temporal
        self._ledger = ledger
        self._account = account
        self._task_queue = task_queue

    async def refund(
        self, order_id: str, *, command_id: str, revoke: bool = False, wait_seconds: float = ANSWER_SECONDS
    ) -> CommandResult:
        """Give a whole order back, once for its `command_id`: done, refused with the reason, or accepted.

        Args:
            revoke: what it bought is taken away as well; else it stays.
            wait_seconds: how long the answer is waited for; the refund goes on all the same.
        """
        known = await self._ledger.stored_command(self._account, command_id)
        if known is not None:
            asked = {"name": "refund_order", "order": order_id, "revoke": revoke}
            if (known.subscription, known.command) != (owner_of(order_id), asked):
                return CommandResult(command_id=command_id, status="refused", reason=USED_FOR_ANOTHER)
            if known.result is not None:
                return CommandResult.model_validate(known.result)
        request = RefundOrderInput(account=self._account, order_id=order_id, command_id=command_id, revoke=revoke)
        handle = await self._temporal.start_workflow(
            REFUND_ORDER_WORKFLOW,
            request,
            id=refund_order_id(self._account, command_id),
            task_queue=self._task_queue,
            result_type=CommandResult,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=f"{self._account}: order {order_id} is given back",
            rpc_timeout=RPC_TIMEOUT,
        )
        try:
            async with asyncio.timeout(wait_seconds):
                result: CommandResult = await handle.result()
        except TimeoutError:
            return CommandResult(command_id=command_id, status="accepted", reason=UNDER_WAY)
        return result


class PriceMigrations:
    """Price migrations of one merchant account, by the names that they were given."""

    def __init__(self, temporal: Client, account: str, *, task_queue: str) -> None:
        self._temporal = temporal
        self._account = account
        self._task_queue = task_queue

    async def start(self, name: str, request: PriceMigrationInput) -> None:
        """Begin to move every cohort.

        Raises:
            Conflict: a migration of this name was started already.
        """
        await self._start(name, request, WorkflowIDReusePolicy.REJECT_DUPLICATE)

    async def progress(self, name: str) -> Progress:
        """How far it is, also after its end; a run that failed or was terminated is stopped. Raises `NotFound`."""
        handle = self._handle(name)
        try:
            found: Progress = await handle.query(QUERY_PROGRESS, result_type=Progress, rpc_timeout=RPC_TIMEOUT)
            described = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            raise self._missing(error, name) from error
        is_broken = described.status not in (WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.COMPLETED)
        return found.but(is_stopped=True, is_paused=False) if is_broken and found.done < found.total else found

    async def signal(self, name: str, signal: str) -> Progress:
        """Pause it, or stop it for good (`SIGNAL_PAUSE`, `SIGNAL_STOP`); how far it was then. Raises `NotFound`.

        One that is over stays as it is.
        """
        if await self._is_running(name):
            await self._handle(name).signal(signal, rpc_timeout=RPC_TIMEOUT)
        return await self.progress(name)

    async def resume(self, name: str) -> Progress:
        """Go on: one that is paused, or one that was stopped, where it stopped. Raises `NotFound`."""
        if await self._is_running(name):
            return await self.signal(name, SIGNAL_RESUME)
        stopped = await self.progress(name)
        if stopped.is_stopped:
            given = await self._given(name)
            request = given.but(done=stopped.done, refused=stopped.refused, is_paused=False)
            await self._start(name, request, WorkflowIDReusePolicy.ALLOW_DUPLICATE)
        return await self.progress(name)

    async def _start(self, name: str, request: PriceMigrationInput, reuse: WorkflowIDReusePolicy) -> None:
        try:
            await self._temporal.start_workflow(
                MIGRATION_WORKFLOW,
                request,
                id=migration_id(self._account, name),
                task_queue=self._task_queue,
                id_reuse_policy=reuse,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                static_summary=f"{self._account}: prices of {len(request.cohorts)} cohorts",
                rpc_timeout=RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            raise Conflict(f"a price migration {name!r} was started already: show it, or give another name") from None

    async def _is_running(self, name: str) -> bool:
        try:
            described = await self._handle(name).describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            raise self._missing(error, name) from error
        return described.status is WorkflowExecutionStatus.RUNNING

    async def _given(self, name: str) -> PriceMigrationInput:
        """What the latest run began with."""
        events = (await self._handle(name).fetch_history(rpc_timeout=RPC_TIMEOUT)).events
        payloads = events[0].workflow_execution_started_event_attributes.input.payloads
        decoded = await self._temporal.data_converter.decode(payloads, [PriceMigrationInput])
        return PriceMigrationInput.model_validate(decoded[0])

    def _handle(self, name: str) -> WorkflowHandle[Any, Any]:
        return self._temporal.get_workflow_handle(migration_id(self._account, name))

    def _missing(self, error: RPCError, name: str) -> Exception:
        if error.status is RPCStatusCode.NOT_FOUND:
            return NotFound(f"no price migration {name!r} in account {self._account!r}")
        return error
