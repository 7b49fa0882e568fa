"""Reading subscriptions: one, many by pages, and what the calendar holds for one. SPEC 4, 5, 8."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from dunning.domain.fields import Instant
from dunning.domain.occurrences import occurrences
from dunning.domain.tables import SubscriptionStatus
from dunning.errors import NotFound
from dunning.gateway.api.cursors import cursor_after, position_of
from dunning.gateway.api.house import SUBSCRIPTION_ID, Api, ApiOf, Caller, CallerOf, SubscriptionId, guarded
from dunning.gateway.api.problems import Trouble
from dunning.gateway.api.showing import subscription_view, summary_view
from dunning.gateway.api.views import (
    OccurrencesView,
    OccurrenceView,
    SubscriptionPage,
    SubscriptionView,
)
from dunning.ledger.models import Stored
from dunning.ledger.pages import Wanted
from dunning.standing import Standing, standing_in_ledger, standing_of

router = APIRouter(prefix="/v1")


class Source(StrEnum):
    """Who is asked: the run itself, or the ledger's latest snapshot, which needs no worker."""

    RUN = "run"
    LEDGER = "ledger"


class PageQuery(BaseModel):
    """Which part of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=200, description="entries on a page")
    cursor: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_-]{1,1000}$", description="`next_cursor` of the page before"
    )


class ListQuery(PageQuery):
    """Which subscriptions."""

    status: SubscriptionStatus | None = None
    customer: str | None = Field(default=None, pattern=SUBSCRIPTION_ID, description="the customer's id")
    is_open: bool | None = Field(default=None, description="something may still happen by itself")
    attention: bool | None = Field(default=None, description="a person should look at it")
    created_from: Instant | None = Field(default=None, description="created then or later")
    created_until: Instant | None = Field(default=None, description="created before")


class SourceQuery(BaseModel):
    """Whom to ask."""

    model_config = ConfigDict(extra="forbid")

    source: Source = Field(default=Source.RUN, description="`ledger` needs no worker and may be a moment behind")


class OccurrencesQuery(SourceQuery):
    """How far to look."""

    count: int = Field(default=12, ge=1, le=100, description="how many cycles")


@router.get("/subscriptions")
async def list_subscriptions(api: ApiOf, caller: CallerOf, query: Annotated[ListQuery, Query()]) -> SubscriptionPage:
    """List the account's subscriptions by id, as the ledger has them."""
    filters = query.model_dump(mode="json", exclude={"limit", "cursor"})
    about = {"list": "subscriptions", "account": caller.account, **filters}
    position = position_of(query.cursor, about, (str,))
    wanted = Wanted(**query.model_dump(exclude={"limit", "cursor"}))
    after = position[0] if position is not None else None
    rows = await guarded(api.ledger.page_of_subscriptions(caller.account, wanted, after=after, limit=query.limit + 1))
    shown = rows[: query.limit]
    return SubscriptionPage(
        items=[summary_view(row) for row in shown],
        next_cursor=cursor_after([shown[-1].id], about) if len(rows) > query.limit else None,
    )


@router.get("/subscriptions/{subscription_id}")
async def read_subscription(
    subscription_id: SubscriptionId, api: ApiOf, caller: CallerOf, query: Annotated[SourceQuery, Query()]
) -> SubscriptionView:
    """Show a subscription: status, access, what is owed, what happens next and why."""
    return subscription_view(await _standing(api, caller, subscription_id, query.source))


@router.get("/subscriptions/{subscription_id}/occurrences")
async def list_occurrences(
    subscription_id: SubscriptionId, api: ApiOf, caller: CallerOf, query: Annotated[OccurrencesQuery, Query()]
) -> OccurrencesView:
    """List the next due instants. Empty before the customer has authorised: that fixes the calendar."""
    found = await _standing(api, caller, subscription_id, query.source)
    coming = occurrences(found.state, query.count)
    return OccurrencesView(items=[OccurrenceView(**one.model_dump()) for one in coming])


async def stored_of(api: Api, caller: Caller, subscription_id: str) -> Stored:
    """What the ledger has of the caller's own subscription; another account's is not there at all."""
    try:
        return await guarded(api.ledger.read_subscription(caller.account, subscription_id))
    except NotFound:
        raise nowhere(subscription_id) from None


def nowhere(subscription_id: str) -> Trouble:
    """There is no such subscription in the caller's account."""
    return Trouble("not-found", f"no subscription {subscription_id!r} in this merchant account")


async def _standing(api: Api, caller: Caller, subscription_id: str, source: Source) -> Standing:
    stored = await stored_of(api, caller, subscription_id)
    if source is Source.LEDGER:
        return standing_in_ledger(stored)
    return await standing_of(api.dunning, stored, patience=api.query_seconds)
