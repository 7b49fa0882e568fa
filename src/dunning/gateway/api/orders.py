"""Orders that are no payments of a subscription: `POST /v1/orders/{id}/refund`. SPEC 9."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import JSONResponse
from pydantic import Field, ValidationError

from dunning.domain.base import Value
from dunning.domain.fields import MAX_AMOUNT, Flag, Identifier, Whole
from dunning.errors import Fault
from dunning.gateway.api.creation import KeyHeader
from dunning.gateway.api.house import ApiOf, CallerOf, guarded
from dunning.gateway.api.problems import Trouble, invalid
from dunning.gateway.api.requests import read_document
from dunning.gateway.api.views import ResultView
from dunning.intake import faults_in
from dunning.ordering import ORDER_ID

WHOLE_ONLY = "amount: an order is given back whole here; a part of it only in the provider's own console"

router = APIRouter(prefix="/v1")


class RefundOrderBody(Value):
    """Give an order back. `revoke`: what it bought is taken away as well; else it stays."""

    command_id: Identifier | None = None
    revoke: Flag = False
    amount: Annotated[Whole, Field(gt=0, le=MAX_AMOUNT)] | None = None


@router.post("/orders/{order_id}/refund", response_model=ResultView)
async def refund_order(
    order_id: Annotated[str, Path(pattern=ORDER_ID, examples=["GPA.3345-1234-5678-90123"])],
    request: Request,
    api: ApiOf,
    caller: CallerOf,
    key: KeyHeader = None,
) -> JSONResponse:
    """Give a whole order back that is no payment of a subscription, with or without what it bought.

    Done (200), accepted while the provider does not answer (202), or refused with the reason (409). The same
    `command_id` (or `Idempotency-Key`) gives the first result; an order that was given back already is done.
    """
    document = await read_document(request, may_be_empty=True)
    try:
        asked = RefundOrderBody.model_validate(document)
    except ValidationError as error:
        raise invalid(faults_in(error)) from None
    if None not in (key, asked.command_id) and key != asked.command_id:
        raise invalid([Fault("command_id", "must be the Idempotency-Key, where both are given", None)])
    command_id = asked.command_id or key or f"api-{caller.request_id}"
    if asked.amount is not None:
        raise Trouble("refused", WHOLE_ONLY, command_id=command_id)
    orders = api.dunning.orders(caller.account)
    refund = orders.refund(order_id, command_id=command_id, revoke=asked.revoke, wait_seconds=api.answer_seconds)
    result = await guarded(refund)
    if result.status == "refused":
        raise Trouble("refused", result.reason, command_id=command_id)
    view = ResultView(**result.model_dump())
    return JSONResponse(view.model_dump(mode="json"), status_code=200 if result.status == "done" else 202)
