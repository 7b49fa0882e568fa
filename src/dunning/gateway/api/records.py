"""What happened to a subscription, from the ledger, by pages. SPEC 10, 11, 13."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query

from dunning.gateway.api.cursors import cursor_after, position_of
from dunning.gateway.api.house import ApiOf, CallerOf, SubscriptionId, guarded
from dunning.gateway.api.showing import attempt_view, event_view, notice_view
from dunning.gateway.api.subscriptions import PageQuery, stored_of
from dunning.gateway.api.views import AttemptPage, EventPage, NoticePage

Row = TypeVar("Row")
Paging = Annotated[PageQuery, Query()]

router = APIRouter(prefix="/v1")


@router.get("/subscriptions/{subscription_id}/attempts")
async def list_attempts(subscription_id: SubscriptionId, api: ApiOf, caller: CallerOf, query: Paging) -> AttemptPage:
    """List every attempt ever made, oldest first, with its key, its outcome and the rule that classed it."""
    await stored_of(api, caller, subscription_id)

    async def read(after: list[Any] | None, limit: int) -> list[Any]:
        return await api.ledger.page_of_attempts(caller.account, subscription_id, after=after, limit=limit)

    about = {"list": "attempts", "account": caller.account, "of": subscription_id}
    rows, cursor = await _page(
        read, query, about, (int, datetime, str), lambda row: (row.generation, row.planned_at, row.key)
    )
    return AttemptPage(items=[attempt_view(row) for row in rows], next_cursor=cursor)


@router.get("/subscriptions/{subscription_id}/notices")
async def list_notices(subscription_id: SubscriptionId, api: ApiOf, caller: CallerOf, query: Paging) -> NoticePage:
    """List every notice to the customer, by channel, and what became of it."""
    await stored_of(api, caller, subscription_id)

    async def read(after: list[Any] | None, limit: int) -> list[Any]:
        return await api.ledger.page_of_notices(caller.account, subscription_id, after=after, limit=limit)

    about = {"list": "notices", "account": caller.account, "of": subscription_id}
    rows, cursor = await _page(
        read, query, about, (datetime, str, str), lambda row: (row.planned_at, row.key, row.channel)
    )
    return NoticePage(items=[notice_view(row) for row in rows], next_cursor=cursor)


@router.get("/subscriptions/{subscription_id}/events")
async def list_events(subscription_id: SubscriptionId, api: ApiOf, caller: CallerOf, query: Paging) -> EventPage:
    """List every event for your backend, in order, and whether it was delivered."""
    await stored_of(api, caller, subscription_id)

    async def read(after: list[Any] | None, limit: int) -> list[Any]:
        return await api.ledger.page_of_events(caller.account, subscription_id, after=after, limit=limit)

    about = {"list": "events", "account": caller.account, "of": subscription_id}
    rows, cursor = await _page(read, query, about, (int,), lambda row: (row.sequence,))
    return EventPage(items=[event_view(row, caller.account, subscription_id) for row in rows], next_cursor=cursor)


async def _page(
    read: Callable[[list[Any] | None, int], Awaitable[list[Row]]],
    query: PageQuery,
    about: Mapping[str, Any],
    kinds: Sequence[type],
    place: Callable[[Row], Sequence[Any]],
) -> tuple[list[Row], str | None]:
    """One page and the cursor of the next; one row more is read, which tells whether there is one."""
    rows = await guarded(read(position_of(query.cursor, about, kinds), query.limit + 1))
    shown = rows[: query.limit]
    return shown, cursor_after(place(shown[-1]), about) if len(rows) > query.limit else None
