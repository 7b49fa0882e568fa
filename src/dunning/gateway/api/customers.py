"""What a customer wants to get, and on which channels nothing arrives. SPEC 11."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dunning.domain.contact import NoticeKind
from dunning.domain.terms import Channel
from dunning.errors import NotFound
from dunning.gateway.api.house import SUBSCRIPTION_ID, Api, ApiOf, Caller, CallerOf, guarded
from dunning.gateway.api.problems import Trouble, invalid
from dunning.gateway.api.requests import read_document
from dunning.gateway.api.views import View
from dunning.intake import faults_in
from dunning.ledger.reach import Reach

router = APIRouter(prefix="/v1")

CustomerId = Annotated[
    str, Path(pattern=SUBSCRIPTION_ID, description="your own reference of the customer", examples=["cust-815"])
]


class OptOut(BaseModel):
    """One kind of notice that does not go on one channel."""

    model_config = ConfigDict(extra="forbid")

    channel: Channel
    kind: NoticeKind = Field(
        description="`routine`: receipts, reminders, announcements; `service`: failures, access, prices, refunds"
    )


class OptOutsBody(BaseModel):
    """All opt-outs of a customer; what is not listed may be sent again."""

    model_config = ConfigDict(extra="forbid")

    opt_outs: list[OptOut] = Field(max_length=20)


class ChannelView(View):
    """One channel to a customer."""

    channel: Channel
    routine: bool = Field(description="routine notices may go on it")
    service: bool = Field(description="notices about failures, access, prices and refunds may go on it")
    because: str | None = Field(description="why not, where one of both is false")


class ReachView(View):
    """How a customer may be reached. Addresses are never given back."""

    customer_id: str
    channels: list[ChannelView]
    opt_outs: list[OptOut]


@router.get("/customers/{customer_id}/reach")
async def read_reach(customer_id: CustomerId, api: ApiOf, caller: CallerOf) -> ReachView:
    """Say which kinds of notices reach a customer on which channels, and why others do not."""
    return reach_view(customer_id, await _reach(api, caller, customer_id))


@router.put("/customers/{customer_id}/opt-outs", response_model=ReachView)
async def replace_opt_outs(customer_id: CustomerId, request: Request, api: ApiOf, caller: CallerOf) -> ReachView:
    """Replace a customer's opt-outs. Each is per channel and kind; contacts and consent are the subscription's."""
    document = await read_document(request)
    try:
        wanted = {(one.channel, one.kind) for one in OptOutsBody.model_validate(document).opt_outs}
    except ValidationError as error:
        raise invalid(faults_in(error)) from None
    before = (await _reach(api, caller, customer_id)).refused
    for channel, kind in wanted - before:
        await guarded(api.ledger.opt_out(caller.account, customer_id, channel, kind, source="api"))
    for channel, kind in before - wanted:
        await guarded(api.ledger.opt_in(caller.account, customer_id, channel, kind))
    return reach_view(customer_id, await _reach(api, caller, customer_id))


async def _reach(api: Api, caller: Caller, customer: str) -> Reach:
    try:
        return await guarded(api.ledger.reach(caller.account, customer))
    except NotFound:
        raise Trouble("not-found", f"no customer {customer!r} in this account") from None


def reach_view(customer: str, reach: Reach) -> ReachView:
    """What the ledger knows, without addresses."""
    channels = []
    for channel in Channel:
        why = {kind: reach.why_not(channel, kind) for kind in NoticeKind}
        because = "; ".join(dict.fromkeys(reason for reason in why.values() if reason)) or None
        channels.append(
            ChannelView(
                channel=channel,
                routine=why[NoticeKind.ROUTINE] is None,
                service=why[NoticeKind.SERVICE] is None,
                because=because,
            )
        )
    refused = sorted(reach.refused)
    return ReachView(customer_id=customer, channels=channels, opt_outs=[OptOut(channel=c, kind=k) for c, k in refused])
