"""`change_items` where the engine collects: added for a prorated charge of its own, removed with the period. SPEC 9."""

from __future__ import annotations

from typing import Any

import pytest

from dunning.domain.command_table import judge
from dunning.domain.commands import ChangeItems
from dunning.domain.plan_commands import change_for
from dunning.domain.plans import ChangeTerms
from dunning.domain.preview import Foretold
from dunning.domain.state import State
from dunning.domain.step import Applied, Step
from dunning.domain.tables import CycleStatus
from dunning.intake import parse_command
from tests.builders import at, live
from tests.domain.test_following import running

BASE = {"product_id": "pro", "role": "base", "quantity": 1, "unit_amount": 100_000}
SEATS = {"product_id": "seats", "role": "addon", "quantity": 1, "unit_amount": 31_000}
SMS = {"product_id": "sms", "role": "addon", "quantity": 1, "unit_amount": 5_000}
# The period is that of Mar 5 to Apr 5, 31 days; Mar 15 is its day 11, so 20 of 31 are left: 31,000 x 20/31 = 20,000.
MID = "2026-03-15T14:00:00Z"
OWN = "od-c-1"
Told = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Every event of a life, in order."""
    heard: Told = []
    done = Step.done

    def hear(step: Step) -> Applied:
        applied = done(step)
        heard.extend((event.type.value, event.data) for event in applied.events)
        return applied

    monkeypatch.setattr(Step, "done", hear)
    return heard


def life(*outcomes: str, wanted: list[dict[str, Any]], had: list[dict[str, Any]], **given: Any) -> Foretold:
    change = {"at": MID, "action": "change_items", "with": {"command_id": "c-1", "items": wanted}}
    return live(*outcomes, items=had, do=[change], **{"cycles": 2, **given})


def result(state: State) -> tuple[str, str]:
    return next((r.status, r.reason) for r in state.results if r.command_id == "c-1")


def names(state: State) -> list[str]:
    return [item.product_id for item in state.terms.items]


def test_what_is_added_is_charged_prorated_now_and_whole_from_the_next_period(told: Told) -> None:
    found = life("SUCCEEDED", "SUCCEEDED", wanted=[BASE, SEATS], had=[BASE])
    paid = next(o for o in found.obligations if o.id == OWN)
    assert (paid.amount, paid.status) == (20_000, CycleStatus.SUCCEEDED)
    assert next(o.amount for o in found.obligations if o.id == "2") == 131_000
    assert result(found.state) == ("done", "")
    ((_, data),) = [one for one in told if one[0] == "subscription.items_changed"]
    assert (data["added"], data["ending"], data["command_id"]) == (["seats"], [], "c-1")


def test_what_is_declined_is_not_added_not_tried_again_and_the_customer_is_not_written_to(told: Told) -> None:
    found = life("SUCCEEDED", "INSUFFICIENT_FUNDS", wanted=[BASE, SEATS], had=[BASE])
    refused = next(o for o in found.obligations if o.id == OWN)
    assert (refused.status, len(refused.attempts)) == (CycleStatus.FAILED, 1)
    assert result(found.state)[0] == "refused"
    assert "declined" in result(found.state)[1]
    assert names(found.state) == ["pro"]
    assert [n.occasion for n in found.notices if n.obligation == OWN] == []
    assert "subscription.items_changed" not in [name for name, _ in told]
    assert next(o.amount for o in found.obligations if o.id == "2") == 100_000


@pytest.mark.parametrize("outcome", ["STOLEN_CARD", "PENDING/2h/INSUFFICIENT_FUNDS", "OUTAGE/2h"])
def test_however_the_charge_ends_the_command_is_answered_once(outcome: str) -> None:
    found = life("SUCCEEDED", outcome, wanted=[BASE, SEATS], had=[BASE])
    status, _ = result(found.state)
    assert status == ("done" if outcome.startswith("OUTAGE") else "refused")
    assert ("seats" in names(found.state)) is (status == "done")


def test_what_is_left_out_ends_with_the_period_without_any_charge(told: Told) -> None:
    found = life("SUCCEEDED", wanted=[BASE], had=[BASE, SEATS])
    assert OWN not in [o.id for o in found.obligations]
    assert next(o.amount for o in found.obligations if o.id == "2") == 100_000
    first, second = [data for name, data in told if name == "subscription.items_changed"]
    assert (first["ending"], first["removed"]) == (["seats"], [])
    assert [one["renews"] for one in first["items"]] == [True, False]
    assert (second["ending"], second["removed"]) == ([], ["seats"])


def test_a_new_base_item_and_a_new_amount_begin_with_the_next_period() -> None:
    plus = {**BASE, "product_id": "plus", "unit_amount": 150_000}
    found = life("SUCCEEDED", wanted=[plus, {**SEATS, "quantity": 2}], had=[BASE, SEATS], until="2026-03-20T00:00")
    assert names(found.state) == ["pro", "seats"]
    found = life("SUCCEEDED", wanted=[plus, {**SEATS, "quantity": 2}], had=[BASE, SEATS])
    assert (names(found.state), next(o.amount for o in found.obligations if o.id == "2")) == (
        ["plus", "seats"],
        212_000,
    )


def test_before_anything_is_paid_an_add_on_costs_nothing_now() -> None:
    trial = {"anchor_at": "2026-03-20T13:10:00Z", "interval": "MONTH", "trial_ends_at": "2026-03-20T13:10:00Z"}
    found = life("SUCCEEDED", wanted=[BASE, SEATS], had=[BASE], schedule=trial, cycles=1)
    assert OWN not in [o.id for o in found.obligations]
    assert next(o.amount for o in found.obligations if o.id == "1") == 131_000


def test_a_cancel_takes_back_what_waits_to_be_charged() -> None:
    change = {"at": MID, "action": "change_items", "with": {"command_id": "c-1", "items": [BASE, SEATS]}}
    cancel = {"at": "2026-03-15T15:00:00Z", "action": "cancel", "with": {"type": "USER_REQUESTED_STOP_RENEWALS"}}
    found = live("SUCCEEDED", "OUTAGE/9h", items=[BASE], do=[change, cancel], cycles=2)
    assert (result(found.state)[0], names(found.state)) == ("refused", ["pro"])


def command(items: list[dict[str, Any]], **given: Any) -> ChangeItems:
    found = parse_command({"name": "change_items", "command_id": "c", "items": items, **given})
    assert isinstance(found, ChangeItems)
    return found


@pytest.mark.parametrize(
    ("items", "given", "because"),
    [
        ([BASE], {}, "are those of the subscription already"),
        ([SEATS], {}, "exactly one base item"),
        ([BASE, SEATS, SEATS], {}, "different products"),
        ([BASE, {"product_id": "seats", "role": "addon"}], {}, "items.1.unit_amount: must be given"),
        ([BASE, {**SEATS, "period": "P1Y"}], {}, "one period"),
        ([BASE, *({**SEATS, "product_id": f"p{n}"} for n in range(50))], {}, "at most 50"),
        ([{**BASE, "product_id": "plus"}], {"replacement_mode": "CHARGE_FULL_PRICE"}, "next period (DEFERRED)"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(
    items: list[dict[str, Any]], given: dict[str, Any], because: str
) -> None:
    state = live("SUCCEEDED", items=[BASE], until="2026-03-12T00:00").state
    verdict = judge(state, command(items, **given), at("2026-03-12T00:00"))
    assert (verdict.is_allowed, because in verdict.because) == (False, True), verdict


def test_without_a_usable_method_nothing_is_added() -> None:
    state = live("SUCCEEDED", items=[BASE], until="2026-03-12T00:00").state
    dead = state.but(methods=tuple(m.but(verdict="HARD") for m in state.methods))
    now = at("2026-03-12T00:00")
    assert "no usable payment method" in judge(dead, command([BASE, SEATS]), now).because
    assert judge(
        dead.but(terms=dead.terms.but(items=(*dead.terms.items,))), command([{**BASE, "quantity": 2}]), now
    ).is_allowed


def test_a_plan_of_the_providers_own_costs_the_new_amount_from_its_next_cycle() -> None:
    state = running(items=[BASE])
    change = change_for(state, command([BASE, SMS]))
    assert isinstance(change, ChangeTerms)
    assert (change.terms.amount, [item.product_id for item in change.terms.items]) == (105_000, ["pro", "sms"])
