"""The walk through a subscription's future with its provider's own table of declines. SPEC 17."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from dunning.domain.declines import Classified, DeclineTable, classify
from dunning.domain.foretelling import as_json
from dunning.domain.outcomes import ScriptedOutcome
from dunning.domain.preview import Classifier, Foretold, Walk
from dunning.domain.script import Script
from dunning.domain.terms import Channel, Provider, Subscription
from dunning.intake import creation_warnings
from dunning.providers.dodo_declines import DODO_DECLINES
from dunning.providers.omise_declines import OMISE_DECLINES
from dunning.providers.xendit_declines import XENDIT_DECLINES

CYCLES = 12
"""How many cycles are foretold when nobody says."""

_TABLES: Mapping[Provider, DeclineTable] = {
    Provider.DODO: DODO_DECLINES,
    Provider.OMISE: OMISE_DECLINES,
    Provider.XENDIT: XENDIT_DECLINES,
}


def foretell(
    given: Subscription,
    script: Script,
    *,
    created_at: datetime,
    outcomes: tuple[ScriptedOutcome, ...] | None = None,
    until: datetime | None = None,
    cycles: int = CYCLES,
) -> Foretold:
    """Walk a subscription through its future with the provider's own table of declines."""
    walk = Walk(
        given.terms(),
        account=given.merchant_account,
        subscription=given.id,
        created_at=created_at,
        classify=classifier_of(given.provider),
        script=script,
        outcomes=outcomes,
    )
    return walk.run(until=until, cycles=cycles)


def classifier_of(provider: Provider) -> Classifier:
    """How the provider's raw codes are classed; without a table of its own only the universal rules decide."""
    declines = _TABLES.get(provider) or DeclineTable(provider=provider.value, version="none", rows=())

    def known(code: str) -> Classified:
        return classify(declines, "error_code", code)

    return known


def preview_json(given: Subscription, foretold: Foretold) -> dict[str, Any]:
    """The stable JSON, with what creation warns of."""
    contacts = given.contacts()
    unreachable = [channel for channel in Channel if contacts.reach(channel) is None]
    return as_json(foretold, terms=given.terms(), warnings=creation_warnings(given), unreachable=unreachable)
