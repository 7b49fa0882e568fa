"""Authorisations at the provider: created, and given back. SPEC 8, 12."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from temporalio import activity

from activities.names import CREATE_MANDATE, END_MANDATE, EndMandateInput, MandateInput, MandateResult
from dunning.domain.facts import MandateCreated, MandateNotCreated
from dunning.domain.planning import OUTAGE_CAP, OUTAGE_DELAYS, backoff
from dunning.ledger import Ledger
from dunning.providers.base import MandateRequest, PaymentProvider, ProviderRefused, ProviderUnavailable


class MandateActivities:
    """One instance per worker; providers by merchant account."""

    def __init__(self, ledger: Ledger, providers: Mapping[str, PaymentProvider]) -> None:
        self._ledger = ledger
        self._providers = providers

    @activity.defn(name=CREATE_MANDATE)
    async def create_mandate(self, request: MandateInput) -> MandateResult:
        """Create the authorisation and the link that completes it."""
        contacts = await self._ledger.contacts(request.account, request.terms.customer.id)
        asked = MandateRequest(
            subscription=request.subscription,
            account=request.account,
            terms=request.terms,
            contacts=contacts,
            business_at=request.business_at,
        )
        try:
            mandate = await self._providers[request.account].create_mandate(asked)
        except ProviderUnavailable as failure:
            delay = backoff(OUTAGE_DELAYS, OUTAGE_CAP, request.tries)
            advised = timedelta(seconds=failure.retry_after_seconds or 0)
            retry_at = request.business_at + max(delay, advised)
            return MandateResult(fact=MandateNotCreated(because=str(failure), retry_at=retry_at))
        except ProviderRefused as failure:
            return MandateResult(fact=MandateNotCreated(because=str(failure)))
        created = MandateCreated(
            reference=mandate.reference or None, link=mandate.link, expires_at=mandate.expires_at
        )
        return MandateResult(fact=created)

    @activity.defn(name=END_MANDATE)
    async def end_mandate(self, request: EndMandateInput) -> None:
        """Give the authorisation back; already ended is success."""
        if request.reference:
            await self._providers[request.account].end_mandate(request.reference, reason=request.reason)
