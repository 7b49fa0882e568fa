"""`POST /v1/previews`: the exact future of a subscription; nothing is written. SPEC 17."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from dunning.domain.fields import Instant
from dunning.domain.outcomes import OutcomeSyntaxError, ScriptedOutcome, parse_outcomes
from dunning.domain.script import Script
from dunning.domain.terms import Subscription
from dunning.errors import Fault
from dunning.gateway.api.creation import accepted
from dunning.gateway.api.house import ApiOf, CallerOf
from dunning.gateway.api.problems import Trouble, invalid
from dunning.gateway.api.requests import read_document
from dunning.intake import faults_in
from dunning.previewing import CYCLES, foretell, preview_json

MAX_CYCLES = 60

router = APIRouter(prefix="/v1")


class PreviewOptions(BaseModel):
    """What happens, and how far to look."""

    model_config = ConfigDict(extra="forbid")

    outcomes: list[StrictStr] = Field(
        default=[],
        max_length=200,
        description="one for each attempt, then success for ever",
        examples=[["INSUFFICIENT_FUNDS"]],
    )
    cycles: StrictInt = Field(default=CYCLES, ge=1, le=MAX_CYCLES)
    until: Instant | None = Field(default=None, description="look no further than this")


class PreviewView(BaseModel):
    """The same as `dunning preview --json` prints. `purchase`: only where the provider states access itself."""

    cycles: list[dict[str, Any]]
    on_demand: list[dict[str, Any]]
    dropped_rungs: list[dict[str, Any]]
    warnings: list[str]
    final_status: str
    purchase: list[dict[str, Any]] = []


@router.post("/previews", response_model=PreviewView)
async def preview(request: Request, api: ApiOf, caller: CallerOf) -> JSONResponse:
    """Foretell every cycle, attempt and notice of a subscription, each with its instant and its reason.

    Nothing is written and nothing is charged. What is previewed is what will run: the same rules decide both.
    """
    document = await read_document(request)
    options, outcomes, faults = _options(document)
    given, subscription = document.get("subscription"), None
    if isinstance(given, dict):
        try:
            subscription = accepted(api, caller, given, api.machine_now(), is_preview=True)
        except Trouble as refused:
            faults.extend(Fault(f"subscription.{e.field}", e.rule, e.value) for e in refused.errors or ())
    else:
        faults.append(Fault("subscription", "must be given, as an object"))
    if faults or subscription is None:
        raise invalid(faults)
    created = subscription.created_at or api.machine_now().replace(microsecond=0)

    def walk(told: Subscription) -> dict[str, Any]:
        foretold = foretell(
            told, Script(), created_at=created, outcomes=outcomes, until=options.until, cycles=options.cycles
        )
        return preview_json(told, foretold)

    # In a thread: a long walk must not keep webhooks waiting.
    return JSONResponse(await asyncio.to_thread(walk, subscription))


def _options(document: dict[str, Any]) -> tuple[PreviewOptions, tuple[ScriptedOutcome, ...], list[Fault]]:
    """The options with their outcomes read; defaults, and what is wrong, where they cannot be."""
    try:
        options = PreviewOptions.model_validate({k: v for k, v in document.items() if k != "subscription"})
        return options, parse_outcomes(options.outcomes), []
    except ValidationError as error:
        faults = faults_in(error)
    except OutcomeSyntaxError as error:
        faults = [Fault("outcomes", error.because, error.text[:80])]
    return PreviewOptions(), (), faults
