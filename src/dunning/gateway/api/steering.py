"""Every command of SPEC 9 as `POST /v1/subscriptions/{id}/{name}`, and what came of one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, get_args

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse
from pydantic import create_model
from temporalio.client import WorkflowUpdateRPCTimeoutOrCancelledError

from dunning.domain.base import Value
from dunning.domain.commands import Command, CommandResult
from dunning.domain.fields import Identifier
from dunning.errors import Fault, InvalidInput, NotFound
from dunning.gateway.api.creation import KeyHeader
from dunning.gateway.api.house import SUBSCRIPTION_ID, Api, ApiOf, Caller, CallerOf, SubscriptionId, guarded
from dunning.gateway.api.problems import Trouble, invalid
from dunning.gateway.api.requests import read_document
from dunning.gateway.api.subscriptions import nowhere, stored_of
from dunning.gateway.api.views import CommandView, ResultView
from dunning.intake import parse_command

COMMANDS: dict[str, type[Any]] = {
    str(model.model_fields["name"].default): model for model in get_args(get_args(Command)[0])
}
"""Name -> model, in the order of the specification."""

_RESULTS = """Done (200), accepted and waiting for a charge on its way (202), or refused with the reason (409).
The same `command_id` (or `Idempotency-Key`) gives the first result and does nothing twice."""

_STATUSES = {"done": 200, "accepted": 202}

router = APIRouter(prefix="/v1")


def body_model(name: str) -> type[Value]:
    """What the body of a command may hold: its fields, with an id that may be left out."""
    command = COMMANDS[name]
    fields: dict[str, Any] = {
        field: (info.annotation if not info.metadata else Annotated[(info.annotation, *info.metadata)], info)
        for field, info in command.model_fields.items()
        if field not in ("name", "command_id")
    }
    title = "".join(word.capitalize() for word in name.split("_")) + "Body"
    made: type[Value] = create_model(
        title, __base__=Value, __doc__=command.__doc__, command_id=(Identifier | None, None), **fields
    )
    return made


def _endpoint(name: str) -> Callable[..., Awaitable[JSONResponse]]:
    async def carry_out(
        subscription_id: SubscriptionId, request: Request, api: ApiOf, caller: CallerOf, key: KeyHeader = None
    ) -> JSONResponse:
        document = await read_document(request, may_be_empty=not needs_body(name))
        command = _command(name, document, key, caller)
        result = await _send(api, caller, subscription_id, command)
        if result.status == "refused":
            raise Trouble("refused", result.reason, command_id=result.command_id)
        view = ResultView(**result.model_dump())
        return JSONResponse(view.model_dump(mode="json"), status_code=_STATUSES[result.status])

    carry_out.__name__ = name
    carry_out.__doc__ = f"{str(COMMANDS[name].__doc__).strip()}\n\n{_RESULTS}"
    return carry_out


def needs_body(name: str) -> bool:
    """Whether the command says nothing without a body."""
    fields = COMMANDS[name].model_fields.items()
    return any(info.is_required() for field, info in fields if field != "command_id")


for _name in COMMANDS:
    router.add_api_route(
        f"/subscriptions/{{subscription_id}}/{_name}",
        _endpoint(_name),
        methods=["POST"],
        response_model=ResultView,
        operation_id=_name,
        summary=_name.replace("_", " ").capitalize(),
    )


def _command(name: str, document: dict[str, Any], key: str | None, caller: Caller) -> Command:
    """The command of a body; its id is the body's, else the header's, else made of the request's id."""
    faults: list[Fault] = []
    if "name" in document:
        faults.append(Fault("name", "is not a field that is known here", None))
    given = document.get("command_id")
    if key is not None and given is not None and given != key:
        faults.append(Fault("command_id", "must be the Idempotency-Key, where both are given", None))
    chosen = given if given is not None else key or f"api-{caller.request_id}"
    command = None
    try:
        command = parse_command({**document, "name": name, "command_id": chosen})
    except InvalidInput as refused:
        faults.extend(refused.faults)
    if faults or command is None:
        raise invalid(faults)
    return command


async def _send(api: Api, caller: Caller, subscription_id: str, command: Command) -> CommandResult:
    known = await _known(api, caller, subscription_id, command)
    if known is not None:
        return known
    try:
        async with asyncio.timeout(api.answer_seconds):
            return await guarded(api.dunning.command(caller.account, subscription_id, command))
    except NotFound:
        raise nowhere(subscription_id) from None
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError):
        hint = "The command may still be carried out. Send it again with the same command_id."
        raise Trouble("no-answer", hint, command_id=command.command_id) from None


async def _known(api: Api, caller: Caller, subscription_id: str, command: Command) -> CommandResult | None:
    """The first result of exactly this command; the same id for anything else is refused before it is sent.

    Temporal knows a repeated Update by its id alone: it would answer another command with the first one's result.
    """
    found = await guarded(api.ledger.stored_command(caller.account, command.command_id))
    if found is None:
        return None
    if (found.subscription, found.command) != (subscription_id, command.model_dump(mode="json")):
        hint = "command_id: was used for another command; nothing has changed"
        raise Trouble("conflict", hint, command_id=command.command_id)
    return CommandResult.model_validate(found.result) if found.result is not None else None


@router.get("/subscriptions/{subscription_id}/commands/{command_id}")
async def read_command(
    subscription_id: SubscriptionId,
    command_id: Annotated[str, Path(pattern=SUBSCRIPTION_ID, examples=["support-4711"])],
    api: ApiOf,
    caller: CallerOf,
) -> CommandView:
    """Read what came of a command: the way to the final result of one that was accepted."""
    await stored_of(api, caller, subscription_id)
    found = await guarded(api.ledger.stored_command(caller.account, command_id))
    if found is None or found.subscription != subscription_id:
        raise Trouble("not-found", f"no command {command_id!r} of this subscription was carried out")
    result = CommandResult.model_validate(found.result) if found.result is not None else None
    return CommandView(
        command_id=found.command_id,
        name=found.name,
        recorded_at=found.recorded_at,
        result=ResultView(**result.model_dump()) if result is not None else None,
    )
