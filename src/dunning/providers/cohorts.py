"""Moving the subscribers of an old price to the current one, where a provider keeps prices itself. SPEC 12."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pydantic import AwareDatetime, Field

from dunning.domain.base import Value
from dunning.domain.play_prices import PriceChangeMode


class Cohort(Value):
    """Subscribers of one base plan in one region whose price was set before `oldest_allowed_at`.

    `mode`: how an increase is asked for; the provider itself sees what is a decrease.
    """

    product_id: str
    base_plan_id: str
    region_code: str = Field(pattern=r"^[A-Z]{2}$")
    oldest_allowed_at: AwareDatetime
    mode: PriceChangeMode = PriceChangeMode.PRICE_INCREASE


@runtime_checkable
class CohortProvider(Protocol):
    """An adapter whose provider can move cohorts; beside `PaymentProvider`."""

    async def move_cohort(self, cohort: Cohort, regions_version: str) -> None:
        """Ask for it. A cohort that is moved stays moved.

        Raises:
            ProviderRefused: asking again is useless.
            ProviderUnavailable: it could not be asked.
        """
        ...
