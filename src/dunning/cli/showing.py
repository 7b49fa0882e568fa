"""`dunning show`, `list`, `attempts`, `events`: what is. SPEC 17."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer
from temporalio.client import WorkflowExecution
from temporalio.service import RPCError

from dunning import contract
from dunning.cli.output import note, print_json, say, table
from dunning.cli.session import AccountOption, JsonOption, Session, SubscriptionArgument, session
from dunning.cli.standing import Standing, standing_json, standing_of
from dunning.cli.told import Told, told, told_json, told_lines
from dunning.client import RPC_TIMEOUT
from dunning.domain.money import format_amount
from dunning.domain.showing import details
from dunning.domain.tables import SubscriptionStatus
from dunning.ledger.models import StoredAttempt

IN_TEMPORAL = "ExecutionStatus != 'ContinuedAsNew'"


def show(subscription: SubscriptionArgument, *, account: AccountOption = None, as_data: JsonOption = False) -> None:
    """Show a subscription: status, access, what is next, open cycles with their attempts, what was told."""

    async def read() -> tuple[Standing, Told]:
        async with session(account) as here:
            found = await standing_of(here, subscription)
            return found, await told(here.dunning.ledger, here.account, subscription, found.state.terms.customer.id)

    found, said = asyncio.run(read())
    if as_data:
        print_json({**standing_json(found), **told_json(said)})
        return
    say(f"{found.state.account} / {found.state.id} (generation {found.state.generation}), {found.source}")
    text = details(found.state, found.decision, found.now)
    say(*text.replace("**", "").splitlines())
    if found.state.status is SubscriptionStatus.REQUIRES_ACTION and found.state.mandate_link is not None:
        say(f"- The customer authorises charging at {found.state.mandate_link}")
    say(*told_lines(said))


def list_(
    *,
    status: Annotated[SubscriptionStatus | None, typer.Option(help="only these")] = None,
    attention: Annotated[bool, typer.Option("--attention", help="only those that a person should look at")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000)] = 100,
    from_ledger: Annotated[bool, typer.Option("--ledger", help="ask the ledger, not Temporal")] = False,
    account: AccountOption = None,
    as_data: JsonOption = False,
) -> None:
    """List subscriptions by their search attributes; from the ledger when Temporal does not answer."""

    async def read() -> list[dict[str, Any]]:
        async with session(account) as here:
            if not from_ledger:
                try:
                    return await _from_temporal(here, status, attention, limit)
                except (RPCError, RuntimeError) as error:
                    note(f"Temporal does not answer, asking the ledger: {str(error)[:120]}")
            return await _from_ledger(here, status, limit)

    rows = asyncio.run(read())
    if as_data:
        print_json(rows)
        return
    columns = ("id", "status", "next (UTC)", "attempt", "due", "decline", "past due since", "attention")
    names = ("id", "status", "next_action_at", "attempt", "amount_due", "decline_class", "past_due_since", "attention")
    table(
        "1 subscription" if len(rows) == 1 else f"{len(rows)} subscriptions",
        columns,
        [tuple(row.get(name) for name in names) for row in rows],
    )


async def _from_temporal(
    here: Session, status: SubscriptionStatus | None, attention: bool, limit: int
) -> list[dict[str, Any]]:
    query = [
        f"WorkflowType = '{contract.WORKFLOW}'",
        f"{contract.MERCHANT_ACCOUNT.name} = '{_quoted(here.account)}'",
        IN_TEMPORAL,
    ]
    if status is not None:
        query.append(f"{contract.STATUS.name} = '{status.value}'")
    if attention:
        query.append(f"{contract.ATTENTION.name} = true")
    rows: dict[str, dict[str, Any]] = {}
    async for run in here.dunning.temporal.list_workflows(" AND ".join(query), rpc_timeout=RPC_TIMEOUT):
        # A subscription that was opened again has older runs: the newest comes first.
        rows.setdefault(run.id, _row(run))
        if len(rows) >= limit:
            break
    return sorted(rows.values(), key=lambda row: str(row["id"]))


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")


def _row(run: WorkflowExecution) -> dict[str, Any]:
    shown = run.typed_search_attributes
    return {
        "id": run.id.rpartition("/")[2],
        "status": shown.get(contract.STATUS),
        "provider": shown.get(contract.PROVIDER),
        "customer": shown.get(contract.CUSTOMER),
        "next_action_at": shown.get(contract.NEXT_ACTION_AT),
        "past_due_since": shown.get(contract.PAST_DUE_SINCE),
        "attempt": shown.get(contract.ATTEMPT),
        "amount_due": shown.get(contract.AMOUNT_DUE),
        "decline_class": shown.get(contract.DECLINE_CLASS),
        "attention": bool(shown.get(contract.ATTENTION)),
        "is_open": run.close_time is None,
    }


async def _from_ledger(here: Session, status: SubscriptionStatus | None, limit: int) -> list[dict[str, Any]]:
    wanted = status.value if status is not None else None
    stored = await here.dunning.ledger.list_subscriptions(here.account, status=wanted, limit=limit)
    return [
        {
            "id": one.id,
            "status": one.status,
            "provider": one.terms.provider.value,
            "customer": one.customer_id,
            "generation": one.generation,
            "created_at": one.created_at,
            "is_open": one.is_open,
        }
        for one in stored
    ]


def attempts(subscription: SubscriptionArgument, *, account: AccountOption = None, as_data: JsonOption = False) -> None:
    """List every attempt ever made, with its key, its outcome and the rule that classed it."""

    async def read() -> list[StoredAttempt]:
        async with session(account) as here:
            await here.dunning.ledger.read_subscription(here.account, subscription)
            return await here.dunning.ledger.attempts_of(here.account, subscription)

    rows = asyncio.run(read())
    if as_data:
        print_json([row.model_dump(mode="json") for row in rows])
        return
    columns = ("owed", "#", "planned (UTC)", "ran (UTC)", "trigger", "method", "amount", "result", "rule")
    table(f"Attempts of {subscription}", columns, [_attempt_row(row) for row in rows])


def _attempt_row(row: StoredAttempt) -> tuple[object, ...]:
    outcome = row.outcome
    result = row.status
    if outcome is not None:
        result = (outcome.raw_code or outcome.kind.value) + (f" ({outcome.klass.value})" if outcome.klass else "")
    trigger = f"{row.trigger}, again after {row.retry_of}" if row.retry_of else row.trigger
    return (
        row.obligation, row.number, row.planned_at, row.business_at, trigger, row.method,
        format_amount(row.amount, row.currency), result, outcome.rule if outcome is not None else None,
    )  # fmt: skip
