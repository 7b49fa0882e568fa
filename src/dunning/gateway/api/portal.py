"""The link to the customer's own page at the provider. SPEC 12."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from dunning.domain.options import Url
from dunning.gateway.api.house import ApiOf, CallerOf, SubscriptionId
from dunning.gateway.api.problems import Trouble
from dunning.gateway.api.subscriptions import stored_of
from dunning.gateway.api.views import PortalLinkView
from dunning.portal import portal_link
from dunning.providers.base import ProviderRefused, ProviderUnavailable

router = APIRouter(prefix="/v1")


class PortalQuery(BaseModel):
    """Where the page leads back to."""

    model_config = ConfigDict(extra="forbid")

    return_url: Url | None = Field(default=None, description="your own page, to which the customer comes back")


@router.post("/subscriptions/{subscription_id}/portal_link")
async def create_portal_link(
    subscription_id: SubscriptionId, api: ApiOf, caller: CallerOf, query: Annotated[PortalQuery, Query()]
) -> PortalLinkView:
    """Make a link to the customer's own page at the provider. Give it to the customer alone, and do not keep it."""
    stored = await stored_of(api, caller, subscription_id)
    provider = api.providers.get(caller.account)
    if provider is None:
        raise Trouble("refused", "this merchant account has no credentials here, so its provider cannot be asked")
    try:
        link = await portal_link(provider, stored, return_url=query.return_url)
    except ProviderRefused as refused:
        raise Trouble("refused", str(refused)) from None
    except ProviderUnavailable as away:
        wait = str(away.retry_after_seconds or 5)
        hint = f"The provider does not answer: {away}. Ask again: nothing is done twice."
        raise Trouble("unavailable", hint, headers={"Retry-After": wait}) from None
    return PortalLinkView(url=link)
