"""What workflows read from and write to the ledger: local activities, quick and idempotent. SPEC 10, 13."""

from __future__ import annotations

from collections.abc import Mapping

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.names import BEGIN_COMMAND, LOAD, RECORD, BeginCommandInput, Loaded, LoadInput
from dunning.domain.commands import USED_FOR_ANOTHER, CommandResult
from dunning.ledger import Ledger
from dunning.ledger.models import Record
from dunning.settings import AccountSettings


class BookActivities:
    """The workflow's memory of money and messages."""

    def __init__(self, ledger: Ledger, accounts: Mapping[str, AccountSettings] | None = None) -> None:
        self._ledger = ledger
        self._accounts = accounts or {}

    @activity.defn(name=LOAD)
    async def load_subscription(self, request: LoadInput) -> Loaded:
        """The terms, and the latest snapshot of the generation asked for."""
        stored = await self._ledger.read_subscription(request.account, request.subscription)
        account = self._accounts.get(request.account)
        if account is not None and account.provider != stored.terms.provider:
            # Charged through another provider than the one agreed: never.
            message = f"the subscription is for {stored.terms.provider}, the account is at {account.provider}"
            raise ApplicationError(message, type="configuration", non_retryable=True)
        is_same = request.generation in (None, stored.generation)
        snapshot = stored.snapshot if is_same else None
        if snapshot is not None and snapshot.get("generation") != stored.generation:
            snapshot = None
        return Loaded(
            terms=stored.terms,
            generation=stored.generation,
            created_at=stored.created_at,
            reference=stored.reference,
            snapshot=snapshot,
        )

    @activity.defn(name=RECORD)
    async def record(self, record: Record) -> None:
        """Events, planned notices, command results and the snapshot, in one transaction."""
        await self._ledger.record(record)

    @activity.defn(name=BEGIN_COMMAND)
    async def begin_command(self, request: BeginCommandInput) -> CommandResult | None:
        """Write a command down; its first result when the id is known already."""
        command = request.command
        begun = await self._ledger.begin_command(
            request.account,
            request.subscription,
            command_id=command.command_id,
            name=command.name,
            command=command.model_dump(mode="json"),
        )
        if begun.is_conflict:
            return CommandResult(command_id=command.command_id, status="refused", reason=USED_FOR_ANOTHER)
        return begun.result
