"""What client and workflows say to each other about a provider's own orders and prices. SPEC 9, 12, 15.

As in `dunning.contract`: names are part of histories and never change, payloads only gain optional fields.
"""

from __future__ import annotations

from pydantic import Field

from dunning.domain.base import Value
from dunning.providers.cohorts import Cohort

REFUND_ORDER_WORKFLOW = "RefundOrderWorkflow"
MIGRATION_WORKFLOW = "PriceMigrationWorkflow"
QUERY_PROGRESS = "progress"
SIGNAL_PAUSE = "pause"
SIGNAL_RESUME = "resume"
SIGNAL_STOP = "stop"

ORDER_ID = r"^[A-Za-z0-9._:-]{1,255}$"
"""What an order's id may look like; it comes from outside and becomes part of a workflow's id."""


class RefundOrderInput(Value):
    """Give one order back whole, by a command's id. `revoke`: what it bought is taken away too."""

    account: str
    order_id: str = Field(pattern=ORDER_ID)
    command_id: str
    revoke: bool = False


def refund_order_id(account: str, command_id: str) -> str:
    """The workflow's id: one run for one command."""
    return f"refund-order/{account}/{command_id}"


def owner_of(order_id: str) -> str:
    """Where a command about an order stands in the ledger; no subscription can have such an id."""
    return f"order/{order_id}"


class RefusedCohort(Value):
    """One that the provider refused, and why."""

    cohort: Cohort
    because: str


class PriceMigrationInput(Value):
    """Everything to move. `per_minute` bounds the rate; `done` and `refused` are carried from run to run.

    `regions_version`: as the provider counts its lists of regions, as `2022/02`.
    """

    account: str
    regions_version: str
    cohorts: tuple[Cohort, ...]
    per_minute: int = Field(default=60, ge=1, le=3000)
    done: int = 0
    refused: tuple[RefusedCohort, ...] = ()
    is_paused: bool = False


class Progress(Value):
    """How far it is. `is_stopped`: it ended before the last cohort, on request; `resume` goes on from there."""

    total: int
    done: int
    refused: tuple[RefusedCohort, ...] = ()
    is_paused: bool = False
    is_stopped: bool = False


def migration_id(account: str, name: str) -> str:
    """The workflow's id of a migration that was given this name."""
    return f"price-migration/{account}/{name}"
