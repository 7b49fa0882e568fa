"""The customer's own page at the provider, where it has one: a fresh link for each visit. SPEC 12."""

from __future__ import annotations

from dunning.ledger.models import Stored
from dunning.providers.base import PaymentProvider, ProviderRefused

NO_PAGE = "NO_PORTAL"
NOT_YET = "NO_CUSTOMER"


async def portal_link(provider: PaymentProvider, stored: Stored, *, return_url: str | None = None) -> str:
    """Where the customer of a subscription sees and changes what the provider has of them.

    Ask when the customer wants to go there: the link is a key to their data, and short-lived (Dodo's lives for a day).

    Raises:
        ProviderRefused: the provider has no such page, or nobody has authorised charging yet.
        ProviderUnavailable: the provider could not be asked.
    """
    known = provider.capabilities
    if not known.has_customer_portal:
        because = f"{known.name} has no page of the customer's; send them a mandate link or your own page"
        raise ProviderRefused(NO_PAGE, because)
    reference = stored.reference or stored.terms.adopted_reference
    if reference is None:
        raise ProviderRefused(NOT_YET, "the provider knows nobody by this subscription yet")
    return await provider.portal_link(reference, return_url=return_url)
