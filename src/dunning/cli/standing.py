"""Where a subscription stands, for a command: what does not answer is noted on standard error."""

from __future__ import annotations

from dunning import standing
from dunning.cli.output import note
from dunning.cli.session import Session
from dunning.standing import Standing, next_json, obligation_json, standing_json

__all__ = ["Standing", "next_json", "obligation_json", "standing_json", "standing_of"]


async def standing_of(here: Session, subscription: str) -> Standing:
    """Ask the run; without one that answers, read the ledger. Raises `NotFound`."""
    stored = await here.dunning.ledger.read_subscription(here.account, subscription)
    return await standing.standing_of(here.dunning, stored, note=note)
