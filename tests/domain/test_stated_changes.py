"""What differs between two readings of a Play purchase is told once: items, prices, refunds, deferrals. SPEC 10, 12."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from dunning.domain import facts
from dunning.domain.apply import apply
from dunning.domain.beginning import new_state
from dunning.domain.command_table import judge
from dunning.domain.commands import CommandResult
from dunning.domain.decide import Do
from dunning.domain.messages import NoticeStatus, PlannedNotice
from dunning.domain.plans import ItemStanding, PlanPhase, PlanStanding, PlanStatus, PriceStanding, RefundStanding
from dunning.domain.play_prices import PriceChangeMode, PriceChangeState
from dunning.domain.state import State
from dunning.domain.step import Applied
from dunning.domain.terms import Occasion
from dunning.intake import parse_command, parse_subscription
from tests.builders import subscription_data
from tests.domain.calendars import at

NOW = at("2026-06-01T12:00")
NEXT = at("2026-06-07T00:00")
LATER = at("2026-07-07T00:00")
UP, OPT_OUT, DOWN = (
    PriceChangeMode.PRICE_INCREASE,
    PriceChangeMode.OPT_OUT_PRICE_INCREASE,
    PriceChangeMode.PRICE_DECREASE,
)
OUTSTANDING, CONFIRMED = PriceChangeState.OUTSTANDING, PriceChangeState.CONFIRMED
APPLIED, CANCELED = PriceChangeState.APPLIED, PriceChangeState.CANCELED


def item(name: str, until: datetime | None = NEXT, **given: Any) -> ItemStanding:
    fields = {"amount": 700, "currency": "USD", "order_id": f"order-{name}", "base_plan_id": "monthly", **given}
    return ItemStanding(product_id=name, until=until, **fields)


def change(state: PriceChangeState, amount: int, when: datetime = LATER, mode: PriceChangeMode = UP) -> PriceStanding:
    return PriceStanding(mode=mode, state=state, new_amount=amount, charge_at=when)


def standing(*items: ItemStanding, phase: PlanPhase = PlanPhase.ACTIVE, **given: Any) -> PlanStanding:
    status = PlanStatus.ENDED if phase is PlanPhase.OVER else PlanStatus.ACTIVE
    ends = [one.until for one in items if one.until is not None]
    fields = {"next_due": tuple(sorted(set(ends))), "access_until": max(ends, default=None), "region": "US", **given}
    return PlanStanding(plan_id="token-1", status=status, phase=phase, items=items, **fields)


def read(state: State, told: PlanStanding, now: datetime = NOW) -> Applied:
    return apply(state, facts.PlanRead(standing=told, is_asked=True), now)


def purchase(*items: ItemStanding, **changes: Any) -> State:
    """A purchase that was read once and is active; it renews on the 7th."""
    data = subscription_data(
        provider="google_play",
        collection="provider",
        provider_options={"purchase_token": "token-1", "package_name": "com.your.app"},
        payment_methods=[],
        currency="USD",
        items=[{"product_id": "A", "role": "base", "quantity": 1, "unit_amount": 700}],
        schedule={"anchor_at": "2026-05-07T00:00:00Z", "interval": "MONTH", "interval_count": 1},
        notifications={"price_change": ["EMAIL"], "refunded": ["EMAIL"]},
        **changes,
    )
    terms = parse_subscription(data).terms()
    state = new_state(account="a", subscription="s", generation=1, terms=terms, created_at=at("2026-05-07T00:00")).state
    made = facts.PlanRead(standing=standing(*(items or (item("A"),))), is_asked=True, is_made=True)
    state = apply(state, made, at("2026-05-31T00:00")).state
    return apply(state, facts.TimeCame(what=Do.ACTIVATE.value), at("2026-05-31T00:00")).state


def told(applied: Applied) -> list[tuple[str, dict[str, Any]]]:
    """Events without what access is."""
    return [(e.type.value, {k: v for k, v in e.data.items() if k != "access"}) for e in applied.events]


# --- items -----------------------------------------------------------------------------------------


def test_an_item_that_was_added_is_told_with_everything_that_there_is() -> None:
    ((name, data),) = told(read(purchase(), standing(item("A"), item("B"))))
    assert name == "subscription.items_changed"
    assert (data["added"], data["removed"], data["ending"]) == (["B"], [], [])
    assert [(one["product_id"], one["renews"]) for one in data["items"]] == [("A", True), ("B", True)]


def test_a_removal_is_told_when_it_is_scheduled_and_when_the_item_is_gone() -> None:
    first = read(purchase(item("A"), item("B")), standing(item("A"), item("B", is_renewing=False)))
    ((_, data),) = told(first)
    assert (data["ending"], data["removed"]) == (["B"], [])
    over = NEXT + timedelta(hours=1)
    ((_, data),) = told(read(first.state, standing(item("A", LATER, order_id="order-2")), over))
    assert (data["ending"], data["removed"], [one["product_id"] for one in data["items"]]) == ([], ["B"], ["A"])


def test_the_same_reading_again_tells_nothing() -> None:
    state = read(purchase(), standing(item("A"), item("B"))).state
    assert told(read(state, standing(item("A"), item("B")))) == []


def test_a_renewal_tells_of_no_items_and_no_deferral() -> None:
    late = standing(item("A", None), item("B", LATER), access_until=LATER)
    state = read(purchase(item("A"), item("B", LATER)), late, NEXT).state
    renewed = read(state, standing(item("A", LATER, order_id="order-2"), item("B", LATER)), NEXT + timedelta(hours=1))
    assert told(renewed) == []


def test_an_item_that_is_gone_before_its_time_was_revoked() -> None:
    applied = read(purchase(item("A"), item("B")), standing(item("A")))
    assert told(applied) == [
        ("subscription.revoked", {"because": "an item was revoked", "item": "B", "command_id": None})
    ]


def test_what_a_hold_takes_away_for_a_while_is_no_removal_and_what_it_loses_is() -> None:
    state = purchase(item("A"), item("B", is_renewing=False), item("C"))
    held = standing(item("A", None), item("B", None, is_renewing=False), item("C", None), phase=PlanPhase.HOLD)
    hold = read(state, held)
    assert told(hold) == []
    back = read(hold.state, standing(item("A"), item("B", is_renewing=False), item("C")))
    assert "subscription.items_changed" not in [name for name, _ in told(back)]
    lost = standing(item("A", is_renewing=False), item("C", None, is_renewing=False), phase=PlanPhase.ENDING)
    found = [data for name, data in told(read(hold.state, lost)) if name == "subscription.items_changed"]
    assert [(data["removed"], data["ending"]) for data in found] == [(["B", "C"], [])]


def test_what_a_purchase_in_place_of_another_leaves_out_was_removed_by_the_customer() -> None:
    state = purchase(item("A"), item("B"))
    follows = PlanStanding(plan_id="token-2", takes_place_of="token-1", is_whole=False)
    state = apply(state, facts.PlanRead(standing=follows), NOW).state
    new = standing(item("C"), item("D"), takes_place_of="token-1").but(plan_id="token-2")
    ((name, data),) = told(read(state, new))
    assert (name, data["added"], data["removed"]) == ("subscription.items_changed", ["C", "D"], ["A", "B"])
    assert data["because"] == "the customer changed the purchase"


# --- deferrals and revocations -------------------------------------------------------------------------


def test_a_deferral_that_was_read_is_told_with_its_days() -> None:
    moved = standing(item("A", NEXT + timedelta(days=7)), item("B", NEXT + timedelta(days=7)))
    assert told(read(purchase(item("A"), item("B")), moved)) == [
        ("subscription.deferred", {"days": 7, "next_due_at": "2026-06-14T00:00:00+00:00"})
    ]


@pytest.mark.parametrize(
    "moved",
    [
        pytest.param((item("A", NEXT + timedelta(days=7)), item("B")), id="one-item-alone"),
        pytest.param((item("A", NEXT + timedelta(hours=20)), item("B", NEXT + timedelta(hours=20))), id="hours"),
        pytest.param((item("A", LATER, order_id="new"), item("B", LATER, order_id="new")), id="paid-for"),
    ],
)
def test_other_shifts_are_no_deferral(moved: tuple[ItemStanding, ...]) -> None:
    assert told(read(purchase(item("A"), item("B")), standing(*moved))) == []


def test_an_end_before_its_time_is_told_as_revoked_and_one_in_time_is_not() -> None:
    over = standing(phase=PlanPhase.OVER, because="canceled by the developer")
    names = [name for name, _ in told(read(purchase(), over))]
    assert names == ["subscription.revoked", "recurring.plan.inactivated", "subscription.ended"]
    in_time = read(purchase(), over, NEXT + timedelta(hours=1))
    assert "subscription.revoked" not in [name for name, _ in told(in_time)]


# --- refunds ---------------------------------------------------------------------------------------


def refunded(amount: int, **parts: int) -> RefundStanding:
    return RefundStanding(order_id="order-A", amount=amount, currency="USD", at=NOW, parts=parts)


def test_every_part_that_was_given_back_is_told_once_with_its_products() -> None:
    state = purchase(item("A"), item("B"))
    items = standing(item("A"), item("B"))
    first = read(state, items.but(refunds=(refunded(200, B=200),)))
    assert told(read(first.state, items.but(refunds=(refunded(200, B=200),)))) == []
    second = read(first.state, items.but(refunds=(refunded(900, A=700, B=200),)))
    found = [(name, data["amount"], data["parts"], data["by"]) for one in (first, second) for name, data in told(one)]
    assert found == [
        ("subscription.refunded", 200, {"B": 200}, "provider"),
        ("subscription.refunded", 700, {"A": 700}, "provider"),
    ]
    assert [n.occasion for n in second.notices] == [Occasion.REFUNDED]


def test_what_was_given_back_before_the_purchase_was_ours_is_history() -> None:
    state = new_state(
        account="a", subscription="s", generation=1, terms=purchase().terms, created_at=at("2026-05-07T00:00")
    ).state
    told_first = standing(item("A"), refunds=(refunded(700, A=700),))
    made = apply(state, facts.PlanRead(standing=told_first, is_asked=True, is_made=True), NOW)
    assert "subscription.refunded" not in [name for name, _ in told(made)]
    assert told(read(made.state, told_first)) == []


# --- prices ----------------------------------------------------------------------------------------


def price_events(applied: Applied) -> list[tuple[str, str, list[tuple[str, int | None, int]]]]:
    return [
        (
            name.removeprefix("subscription.price_change_"),
            data["state"],
            [(one["product_id"], one["old_amount"], one["new_amount"]) for one in data["items"]],
        )
        for name, data in told(applied)
        if "price_change" in name
    ]


def notices(state: State) -> list[PlannedNotice]:
    return [n for n in state.notices if n.occasion is Occasion.PRICE_CHANGE]


def test_an_increase_waits_is_confirmed_and_is_applied() -> None:
    waits = read(purchase(), standing(item("A", price_change=change(OUTSTANDING, 1_000))))
    assert price_events(waits) == [("pending", "outstanding", [("A", 700, 1_000)])]
    agreed = read(waits.state, standing(item("A", price_change=change(CONFIRMED, 1_000))))
    assert price_events(agreed) == [("confirmed", "confirmed", [("A", 700, 1_000)])]
    paid = item("A", at("2026-08-07T00:00"), amount=1_000, order_id="o-2", price_change=change(APPLIED, 1_000))
    applied = read(agreed.state, standing(paid), LATER + timedelta(hours=1))
    assert price_events(applied) == [("applied", "applied", [("A", 700, 1_000)])]
    assert price_events(read(applied.state, standing(paid), LATER + timedelta(hours=2))) == []


@pytest.mark.parametrize(("mode", "amount"), [(DOWN, 500), (OPT_OUT, 800)])
def test_what_needs_no_consent_is_pending_until_its_day(mode: PriceChangeMode, amount: int) -> None:
    known = read(purchase(), standing(item("A", price_change=change(CONFIRMED, amount, mode=mode))))
    assert price_events(known) == [("pending", "confirmed", [("A", 700, amount)])]
    # The provider tells no more of a change once it is past: the price that it states says so.
    paid = item("A", at("2026-08-07T00:00"), amount=amount, order_id="o-2")
    assert price_events(read(known.state, standing(paid), LATER + timedelta(hours=1))) == [
        ("applied", "applied", [("A", 700, amount)])
    ]


def test_a_change_that_is_called_off_says_so_and_a_newer_one_takes_its_place() -> None:
    state = read(purchase(), standing(item("A", price_change=change(OUTSTANDING, 1_000)))).state
    assert price_events(read(state, standing(item("A", price_change=change(CANCELED, 1_000))))) == [
        ("pending", "canceled", [("A", 700, 1_000)])
    ]
    assert price_events(read(state, standing(item("A", price_change=change(OUTSTANDING, 1_100))))) == [
        ("pending", "canceled", [("A", 700, 1_000)]),
        ("pending", "outstanding", [("A", 700, 1_100)]),
    ]


def test_the_customer_hears_thirty_days_before_the_first_charge_and_once_of_all_items_of_that_day() -> None:
    august = at("2026-08-07T00:00")
    both = standing(
        item("A", price_change=change(OUTSTANDING, 1_000, august)),
        item("B", price_change=change(CONFIRMED, 600, august + timedelta(hours=9), DOWN)),
        item("C"),
    )
    state = read(purchase(item("A"), item("B"), item("C")), both).state
    (notice,) = notices(state)
    assert notice.at == at("2026-07-08T08:00")  # 30 days before, after the quiet hours
    assert notice.facts["items"] == '[["A", 700, 1000], ["B", 700, 600]]'
    assert (notice.facts["old_amount"], notice.facts["amount"], notice.facts["stage"]) == (2_100, 2_300, "consent")
    agreed = both.but(items=(item("A", price_change=change(CONFIRMED, 1_000, august)), *both.items[1:]))
    (notice,) = notices(read(state, agreed).state)
    assert "stage" not in notice.facts


def test_another_item_on_the_same_day_makes_it_one_message_of_both() -> None:
    august = at("2026-08-07T00:00")
    one = item("A", price_change=change(OUTSTANDING, 1_000, august))
    state = read(purchase(item("A"), item("B")), standing(one, item("B"))).state
    two = standing(one, item("B", price_change=change(OUTSTANDING, 800, august)))
    first, second = notices(read(state, two).state)
    assert (first.status, second.status) == (NoticeStatus.DROPPED, NoticeStatus.PLANNED)
    assert second.facts["items"] == '[["A", 700, 1000], ["B", 700, 800]]'


def test_a_change_that_is_nearer_than_thirty_days_is_told_at_once_and_one_that_is_off_not_at_all() -> None:
    soon = read(purchase(), standing(item("A", price_change=change(CONFIRMED, 500, NEXT, DOWN)))).state
    (notice,) = notices(soon)
    assert notice.at == NOW
    dropped = notices(read(soon, standing(item("A", price_change=change(CANCELED, 500, NEXT, DOWN)))).state)
    assert [n.status for n in dropped] == [NoticeStatus.DROPPED]


# --- change_items -------------------------------------------------------------------------------------


def wanted(*names: str, **first: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{"product_id": name, "role": "addon"} for name in names]
    rows[0] |= {"role": "base", **first}
    return rows


def ask(state: State, items: list[dict[str, Any]], **given: Any) -> tuple[Applied | None, CommandResult | str]:
    command = parse_command({"name": "change_items", "command_id": "c-1", "items": items, **given})
    verdict = judge(state, command, NOW)
    if not verdict.is_allowed:
        return None, verdict.because
    queued = apply(state, facts.Queued(command=command), NOW).state
    applied = apply(queued, facts.Commanded(command=command), NOW)
    (result,) = applied.results
    return applied, result


@pytest.mark.parametrize(
    ("existing", "names", "mode", "change_"),
    [
        pytest.param("A B", "A", None, {"removed": ["B"]}, id="row-1"),
        pytest.param("A", "A B", None, {"added": ["B"]}, id="row-2"),
        pytest.param("A B", "A C", None, {"removed": ["B"], "added": ["C"]}, id="row-3"),
        pytest.param("A B", "B", None, {"removed": ["A"]}, id="row-4"),
        pytest.param("A B", "C", "DEFERRED", {"replaced": ["A", "C"], "removed": ["B"]}, id="row-5"),
        pytest.param("A B", "C B", "WITHOUT_PRORATION", {"replaced": ["A", "C"]}, id="row-6"),
        pytest.param("A B", "C D", "CHARGE_FULL_PRICE", {"replaced": ["A", "C"], "removed": ["B"], "added": ["D"]},
                     id="row-7"),
    ],
)  # fmt: skip
def test_the_guides_table_row_by_row_gives_the_billing_flow_and_changes_nothing(
    existing: str, names: str, mode: str | None, change_: dict[str, Any]
) -> None:
    state = purchase(*(item(name) for name in existing.split()))
    applied, result = ask(state, wanted(*names.split()), replacement_mode=mode)
    assert isinstance(result, CommandResult)
    flow = result.billing_flow
    assert applied is not None
    assert flow is not None
    assert (flow.old_purchase_token, flow.replacement_mode) == ("token-1", mode)
    assert [one.product_id for one in flow.items] == names.split()
    shown = flow.change.model_dump(mode="json")
    assert {name: shown[name] for name in ("replaced", "removed", "added")} == {
        "replaced": None, "removed": [], "added": [], **change_,
    }  # fmt: skip
    after = applied.state
    assert applied.events == ()
    assert (after.terms, after.obligations, after.status) == (state.terms, state.obligations, state.status)
    assert after.plan is not None
    assert state.plan is not None
    assert after.plan == state.plan.but(wanted_base=names.split(maxsplit=1)[0])


@pytest.mark.parametrize(
    ("existing", "items", "given", "because"),
    [
        ("A B", wanted("C"), {}, "replacement_mode: needed"),
        ("A B", wanted("C"), {"replacement_mode": "KEEP_EXISTING"}, "replacement_mode: needed"),
        ("A B", wanted("A", "B"), {}, "those of the purchase already"),
        ("A", wanted("A", "B", period="P1Y"), {}, "same billing period"),
        ("A", wanted(*(f"p{n}" for n in range(51))), {}, "at most 50"),
        ("A", wanted("A", "B", is_prepaid=True), {}, "prepaid plans take no add-ons"),
        ("A", wanted("A", "B", offer_id="week"), {}, "must not be given for A"),
        ("A", wanted("A", "B", quantity=2), {}, "quantity: must be 1"),
        ("A", [*wanted("A"), *wanted("B")], {}, "exactly one base item"),
    ],
)
def test_what_the_guide_does_not_allow_is_refused_with_the_reason(
    existing: str, items: list[dict[str, Any]], given: dict[str, Any], because: str
) -> None:
    applied, refused = ask(purchase(*(item(name) for name in existing.split())), items, **given)
    assert applied is None
    assert because in str(refused)


@pytest.mark.parametrize("region", ["IN", "KR"])
def test_where_there_are_no_add_ons_one_item_is_all_that_can_be_had(region: str) -> None:
    state = read(purchase(), standing(item("A"), region=region)).state
    assert "no add-ons" in str(ask(state, wanted("A", "B"))[1])
    assert isinstance(ask(state, wanted("C"), replacement_mode="WITH_TIME_PRORATION")[1], CommandResult)


def test_an_offer_for_new_owners_is_judged_for_each_item_alone() -> None:
    items = wanted("A", "B", "C")
    items[1]["offer_id"] = "first-week"
    _, result = ask(purchase(), items)
    assert isinstance(result, CommandResult)
    assert result.billing_flow is not None
    assert result.billing_flow.offers == ("B",)


def test_after_the_customer_bought_another_base_the_next_change_knows_it() -> None:
    applied, _ = ask(purchase(), wanted("C"), replacement_mode="WITHOUT_PRORATION")
    assert applied is not None
    follows = PlanStanding(plan_id="token-2", takes_place_of="token-1", is_whole=False)
    state = apply(applied.state, facts.PlanRead(standing=follows), NOW).state
    bought = standing(item("X"), item("C"), takes_place_of="token-1").but(plan_id="token-2")
    state = read(state, bought).state
    _, result = ask(state, wanted("C"))
    assert isinstance(result, CommandResult)
    assert result.billing_flow is not None
    assert (result.billing_flow.old_purchase_token, result.billing_flow.change.removed) == ("token-2", ("X",))
