"""Moving a legacy price cohort of Google Play to the current price. SPEC 9, 12."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from pydantic import Field
from temporalio import activity
from temporalio.exceptions import ApplicationError

from dunning.domain.base import Value
from dunning.domain.play_prices import PriceChangeMode
from dunning.providers.base import PaymentProvider, ProviderRefused
from dunning.providers.google_play import GooglePlayProvider

MIGRATE_PRICES = "migrate_prices"
_TYPES = {
    PriceChangeMode.PRICE_INCREASE: "PRICE_INCREASE_TYPE_OPT_IN",
    PriceChangeMode.OPT_OUT_PRICE_INCREASE: "PRICE_INCREASE_TYPE_OPT_OUT",
}


class Cohort(Value):
    """Subscribers of one base plan in one region whose price was set before `oldest_allowed_at`. SPEC 12.

    `mode`: how an increase is asked for; Play itself sees what is a decrease.
    """

    product_id: str
    base_plan_id: str
    region_code: str = Field(pattern=r"^[A-Z]{2}$")
    oldest_allowed_at: datetime
    mode: PriceChangeMode = PriceChangeMode.PRICE_INCREASE


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
        """Ask Google Play to move the cohort; empty, or why it refused. A cohort that is moved stays moved.

        Raises what says that it could not be asked; it is tried again then.
        """
        provider = self._providers.get(request.account)
        if not isinstance(provider, GooglePlayProvider):
            message = f"merchant account {request.account!r} is none of Google Play in this worker's settings"
            raise ApplicationError(message, type="configuration", non_retryable=True)
        cohort = request.cohort
        row = {
            "regionCode": cohort.region_code,
            "oldestAllowedPriceVersionTime": cohort.oldest_allowed_at.astimezone(UTC).isoformat(),
        }
        if cohort.mode in _TYPES:
            row["priceIncreaseType"] = _TYPES[cohort.mode]
        client = provider.client
        try:
            await client.migrate_prices(cohort.product_id, cohort.base_plan_id, [row], request.regions_version)
        except ProviderRefused as refused:
            return str(refused)
        return ""
