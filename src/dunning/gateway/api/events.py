"""Events to the backend over all subscriptions: their kinds, those given up, again, and a trial. SPEC 10."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError

from dunning.domain.event_catalogue import CATALOGUE, TEST_EVENT, example_of, known_types, schema_of
from dunning.domain.fields import Identifier, Instant
from dunning.domain.messages import EventType
from dunning.gateway.api.cursors import cursor_after, position_of
from dunning.gateway.api.house import ApiOf, CallerOf, guarded
from dunning.gateway.api.problems import Trouble, invalid
from dunning.gateway.api.requests import read_document
from dunning.gateway.api.subscriptions import PageQuery
from dunning.gateway.api.views import (
    EventTypesView,
    EventTypeView,
    RedeliveryView,
    TestDeliveryView,
    UndeliveredPage,
    UndeliveredView,
)
from dunning.intake import faults_in
from dunning.outgoing import endpoint_of, example_envelope, post_event

EVENT_ID = r"^evt_[A-Za-z0-9_]{1,120}$"

router = APIRouter(prefix="/v1")


class RedeliveryBody(BaseModel):
    """Which events are delivered again. Instants are the machine's clock."""

    model_config = ConfigDict(extra="forbid")

    since: Instant = Field(description="what was written then or later")
    subscription_id: Identifier | None = Field(default=None, description="only this one's")
    undelivered: StrictBool = Field(default=False, description="only what was given up")


@router.get("/event-types")
async def list_event_types(caller: CallerOf) -> EventTypesView:
    """List every kind of event that your endpoint may receive, with its JSON Schema and an example."""
    return EventTypesView(
        items=[
            EventTypeView(type=one, when=_when(one), json_schema=schema_of(one), example=example_of(one))
            for one in known_types()
        ]
    )


def _when(type_: str) -> str:
    return "When you ask for it." if type_ == TEST_EVENT else CATALOGUE[EventType(type_)].when


@router.get("/events/undelivered")
async def list_undelivered_events(
    api: ApiOf, caller: CallerOf, query: Annotated[PageQuery, Query()]
) -> UndeliveredPage:
    """List events that your endpoint did not take for three days. Later ones went on; `sequence` shows the gap."""
    about = {"list": "undelivered", "account": caller.account}
    after = position_of(query.cursor, about, (datetime, str))
    rows = await guarded(api.ledger.page_of_undelivered(caller.account, after=after, limit=query.limit + 1))
    shown = rows[: query.limit]
    items = [
        UndeliveredView.model_validate(
            {**row.model_dump(include=set(UndeliveredView.model_fields)), "subscription_id": row.subscription}
        )
        for row in shown
    ]
    last = shown[-1] if len(rows) > query.limit else None
    cursor = cursor_after((last.undelivered_at, last.id), about) if last is not None else None
    return UndeliveredPage(items=items, next_cursor=cursor)


@router.post("/events/redeliver", response_model=RedeliveryView, status_code=202)
async def redeliver_events(request: Request, api: ApiOf, caller: CallerOf) -> JSONResponse:
    """Deliver again what was written since an instant: all of it, one subscription's, or only what was given up.

    Each event keeps its id and its `sequence`, so a backend that knows it can pass over it.
    """
    document = await read_document(request)
    try:
        asked = RedeliveryBody.model_validate(document)
    except ValidationError as error:
        raise invalid(faults_in(error)) from None
    count = await guarded(
        api.ledger.redeliver_since(
            caller.account, asked.since, subscription=asked.subscription_id, is_undelivered=asked.undelivered
        )
    )
    return _accepted(count)


@router.post("/events/{event_id}/redeliver", response_model=RedeliveryView, status_code=202)
async def redeliver_event(
    event_id: Annotated[str, Path(pattern=EVENT_ID, examples=["evt_0f3b6c1d2e4a5b6c7d8e9f0a1b2c3d4e"])],
    api: ApiOf,
    caller: CallerOf,
) -> JSONResponse:
    """Deliver one event again, before the later ones of its subscription that still wait."""
    if not await guarded(api.ledger.redeliver_event(caller.account, event_id)):
        raise Trouble("not-found", f"no event {event_id!r} in this merchant account")
    return _accepted(1)


@router.post("/events/test", response_model=TestDeliveryView)
async def send_test_event(api: ApiOf, caller: CallerOf) -> TestDeliveryView:
    """Send a signed `endpoint.test` event to your endpoint now, and see what it answers. Nothing is written."""
    endpoint = endpoint_of(api.accounts.get(caller.account))
    if endpoint is None or api.http is None:
        raise Trouble("conflict", "this merchant account has no backend_url: its events are kept and sent to nobody")
    event = example_envelope(caller.account, api.machine_now())
    came = await post_event(api.http, endpoint, event)
    return TestDeliveryView(
        taken=came.is_taken,
        status=came.status,
        milliseconds=came.milliseconds,
        because=came.because,
        event_id=str(event["id"]),
    )


def _accepted(count: int) -> JSONResponse:
    return JSONResponse(RedeliveryView(events=count).model_dump(), status_code=202)
