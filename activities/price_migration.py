"""Moving a cohort of an old price to the current one. SPEC 9, 12."""

from __future__ import annotations

from collections.abc import Mapping

from temporalio import activity
from temporalio.exceptions import ApplicationError

from dunning.domain.base import Value
from dunning.providers.base import PaymentProvider, ProviderRefused
from dunning.providers.cohorts import Cohort, CohortProvider

MIGRATE_PRICES = "migrate_prices"


class MigratePricesInput(Value):
    """One cohort to move."""

    account: str
    regions_version: str
    cohort: Cohort


class PriceMigrationActivities:
    """One instance per worker; providers by merchant account."""

    def __init__(self, providers: Mapping[str, PaymentProvider]) -> None:
        self._providers = providers

    @activity.defn(name=MIGRATE_PRICES)
    async def migrate_prices(self, request: MigratePricesInput) -> str:
        """Ask the provider to move the cohort; empty, or why it refused. A cohort that is moved stays moved.

        Raises what says that it could not be asked; it is tried again then.
        """
        provider = self._providers.get(request.account)
        if not isinstance(provider, CohortProvider):
            message = f"merchant account {request.account!r} has no cohorts, or is not in this worker's settings"
            raise ApplicationError(message, type="configuration", non_retryable=True)
        try:
            await provider.move_cohort(request.cohort, request.regions_version)
        except ProviderRefused as refused:
            return str(refused)
        return ""
