"""`change_items` where the engine collects. SPEC 9.

What is added is had now, for a prorated charge of its own (declined: not added). What is left out, and what costs
another amount, changes with the next period.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dunning.domain import collecting, planning
from dunning.domain.attempts import Trigger, on_demand_obligation
from dunning.domain.commands import ChangeItems, CommandResult
from dunning.domain.expecting import is_following
from dunning.domain.messages import EventType
from dunning.domain.orders import cost, running
from dunning.domain.play_items import ReplacementMode
from dunning.domain.prorate import prorated_at
from dunning.domain.state import ItemsWanted, Obligation, State
from dunning.domain.step import Step
from dunning.domain.tables import CycleFact, CycleStatus
from dunning.domain.terms import MAX_ITEMS, Item, Role

ON_REQUEST = "changed on request"
NOT_ADDED = "the charge for what was to be added was declined: nothing has changed"
_DECLINED = (CycleStatus.RETRYING, CycleStatus.AWAITING_METHOD, CycleStatus.AWAITING_OPERATOR)


def refuse(state: State, command: ChangeItems, now: datetime) -> str | None:
    """Why the items cannot be changed so; None: they can."""
    faults = _faults(command)
    if faults:
        return "; ".join(faults)
    if command.replacement_mode not in (None, ReplacementMode.DEFERRED):
        return "replacement_mode: another base item begins with the next period (DEFERRED)"
    owned = {_same(state.terms.items), _same((state.next_terms or state.terms).items)}
    if owned == {_same(wanted_items(command))}:
        return "items: are those of the subscription already"
    if len(state.terms.items) + len(added_now(state, command)) > MAX_ITEMS:
        return f"items: would be more than {MAX_ITEMS} until the period ends"
    if price_now(state, command, now) and planning.usable_method(state, now) is None:
        return "there is no usable payment method for what is added now"
    return None


def _same(items: tuple[Item, ...]) -> frozenset[Item]:
    """Items, in whatever order."""
    return frozenset(items)


def _faults(command: ChangeItems) -> list[str]:
    found = []
    if len(command.items) > MAX_ITEMS:
        found.append(f"items: must be at most {MAX_ITEMS}, was {len(command.items)}")
    if sum(item.role is Role.BASE for item in command.items) != 1:
        found.append("items: must hold exactly one base item")
    seen: set[str] = set()
    for index, item in enumerate(command.items):
        if item.product_id in seen:
            found.append(f"items.{index}.product_id: must be different products, was {item.product_id}")
        seen.add(item.product_id)
        if item.unit_amount is None:
            found.append(f"items.{index}.unit_amount: must be given: it is collected here")
        if item.period is not None or item.offer_id is not None or item.base_plan_id is not None or item.is_prepaid:
            found.append(f"items.{index}: period, plan and offer are a store's own; here all items have one period")
    return found


def wanted_items(command: ChangeItems) -> tuple[Item, ...]:
    """What shall be had, as items of an agreement."""
    return tuple(
        Item(product_id=one.product_id, role=one.role, quantity=one.quantity, unit_amount=one.unit_amount or 0)
        for one in command.items
    )


def added_now(state: State, command: ChangeItems) -> tuple[Item, ...]:
    """What is had at once: add-ons that are not owned yet. A provider's own plan changes with its next cycle."""
    if is_following(state):
        return ()
    owned = {item.product_id for item in state.terms.items}
    return tuple(one for one in wanted_items(command) if one.role is Role.ADDON and one.product_id not in owned)


def price_now(state: State, command: ChangeItems, now: datetime) -> int:
    """What the added items cost up to the end of the period that runs, minor units; 0 where none is paid."""
    added, paid, zone = added_now(state, command), running(state, now), state.terms.schedule.anchor_at.tzinfo
    if paid is None or paid.period_end is None or zone is None or now < paid.due_at:
        return 0
    end = paid.period_end
    return sum(prorated_at(cost(item), paid.due_at, end, now, zone) for item in added)


def change_items(step: Step, command: ChangeItems) -> dict[str, str] | None:
    """Charge what is added, if that costs anything now, and change the items; answered when the charge is known."""
    added = added_now(step.s, command)
    wanted = ItemsWanted(command_id=command.command_id, added=added, items=wanted_items(command))
    amount = price_now(step.s, command, step.now)
    if not amount:
        return _apply(step, wanted)
    names = ", ".join(item.product_id for item in added)
    obligation = Obligation(
        id=on_demand_obligation(command.command_id),
        amount=amount,
        currency=step.s.terms.currency,
        description=f"{step.s.terms.description}: {names}",
        due_at=step.now,
        opened_at=step.now,
        wants=wanted,
    )
    step.put(obligation)
    collecting.open_obligation(step, obligation, Trigger.ON_DEMAND, f"what is added is charged now: {names}")
    return None


def settle(step: Step) -> None:
    """After every step: what was paid for is had, and what was declined is not added and not tried again."""
    for found in step.s.obligations:
        obligation, wanted = found, found.wants
        if wanted is None:
            continue
        if obligation.status in _DECLINED:
            step.drop_notices(NOT_ADDED, obligation=obligation.id)
            obligation = step.move(
                obligation, CycleFact.GIVEN_UP, next=None, closed_at=step.now, closed_because=NOT_ADDED
            )
        if obligation.is_open:
            continue
        step.put(obligation, wants=None)
        if obligation.status is CycleStatus.SUCCEEDED and not step.s.is_ended:
            detail = {**_apply(step, wanted), "charged": str(obligation.amount), "obligation": obligation.id}
            step.answer(CommandResult(command_id=wanted.command_id, status="done", detail=detail))
        else:
            because = obligation.closed_because if obligation.status is CycleStatus.CANCELED else NOT_ADDED
            step.answer(CommandResult(command_id=wanted.command_id, status="refused", reason=because or NOT_ADDED))


def _apply(step: Step, wanted: ItemsWanted) -> dict[str, str]:
    """The added items are had now; the rest is as wanted from the next period on."""
    terms = step.s.terms
    now_items = (*terms.items, *wanted.added)
    later = (step.s.next_terms or terms).but(items=wanted.items)
    step.set(terms=terms.but(items=now_items), next_terms=later)
    kept = {item.product_id for item in wanted.items}
    tell(
        step,
        now_items,
        added=[item.product_id for item in wanted.added],
        ending=[item.product_id for item in now_items if item.product_id not in kept],
        command_id=wanted.command_id,
    )
    return {"from_cycle": str(step.s.next_number)}


def tell(
    step: Step,
    items: tuple[Item, ...],
    *,
    added: list[str],
    ending: list[str],
    command_id: str | None,
) -> None:
    """Which items there are now, and which end with the period."""
    end = step.s.paid_until
    rows: list[dict[str, Any]] = [
        {
            "product_id": item.product_id,
            "until": end.isoformat() if end is not None and item.product_id in ending else None,
            "renews": item.product_id not in ending,
        }
        for item in items
    ]
    step.emit(
        EventType.ITEMS_CHANGED,
        items=rows,
        added=added,
        removed=[],
        ending=ending,
        because=ON_REQUEST,
        command_id=command_id,
    )
