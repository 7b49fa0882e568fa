"""Authorisations at the provider: created, and given back. SPEC 8, 12."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from temporalio import activity

from activities.names import (
    CREATE_MANDATE,
    END_MANDATE,
    READ_MANDATE,
    EndMandateInput,
    MandateInput,
    MandateResult,
    MandateStanding,
    ReadMandateInput,
)
from dunning.domain.facts import (
    MandateAuthorized,
    MandateCreated,
    MandateEnded,
    MandateFailed,
    MandateNotCreated,
    MandateRead,
)
from dunning.domain.planning import OUTAGE_CAP, OUTAGE_DELAYS, backoff
from dunning.ledger import Ledger
from dunning.providers.base import MandateRequest, MandateStatus, PaymentProvider, ProviderRefused, ProviderUnavailable


class MandateActivities:
    """One instance per worker; providers by merchant account."""

    def __init__(self, ledger: Ledger, providers: Mapping[str, PaymentProvider]) -> None:
        self._ledger = ledger
        self._providers = providers

    @activity.defn(name=CREATE_MANDATE)
    async def create_mandate(self, request: MandateInput) -> MandateResult:
        """Create the authorisation and the link that completes it; a first price has its row before the link exists."""
        if request.first is not None:
            await self._ledger.open_first_price(
                request.first,
                account=request.account,
                subscription=request.subscription,
                generation=request.generation,
                customer=request.terms.customer.id,
                business_at=request.business_at,
            )
        contacts = await self._ledger.contacts(request.account, request.terms.customer.id)
        asked = MandateRequest(
            subscription=request.subscription,
            account=request.account,
            terms=request.terms,
            contacts=contacts,
            business_at=request.business_at,
            first=request.first,
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
        if mandate.status is MandateStatus.AUTHORIZED:
            # Made of what the customer has given already: nobody has to complete anything.
            authorized = MandateAuthorized(
                at=request.business_at, reference=mandate.reference, method_token=mandate.method_token
            )
            return MandateResult(fact=authorized)
        created = MandateCreated(reference=mandate.reference or None, link=mandate.link, expires_at=mandate.expires_at)
        return MandateResult(fact=created)

    @activity.defn(name=READ_MANDATE)
    async def read_mandate(self, request: ReadMandateInput) -> MandateStanding:
        """Where an authorisation stands; a provider that cannot be asked is asked again later."""
        try:
            mandate = await self._providers[request.account].read_mandate(request.reference)
        except (ProviderUnavailable, ProviderRefused):
            return MandateStanding(fact=MandateRead())
        if mandate.status is MandateStatus.AUTHORIZED:
            authorized = MandateAuthorized(
                at=request.business_at, reference=mandate.reference, method_token=mandate.method_token
            )
            return MandateStanding(fact=authorized)
        if mandate.status is MandateStatus.FAILED:
            return MandateStanding(fact=MandateFailed(at=request.business_at))
        if mandate.status is MandateStatus.ENDED:
            return MandateStanding(fact=MandateEnded(at=request.business_at))
        return MandateStanding(fact=MandateRead())

    @activity.defn(name=END_MANDATE)
    async def end_mandate(self, request: EndMandateInput) -> bool:
        """Give the authorisation back; already ended is success. False: there was none."""
        if not request.reference:
            return False
        await self._providers[request.account].end_mandate(request.reference, reason=request.reason)
        return True
