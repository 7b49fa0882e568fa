"""Items of a Play purchase: the guide's table of modifications row by row, limits, prorating, billing flows."""

from __future__ import annotations

from datetime import UTC

import pytest

from dunning.domain.play_items import (
    MODE_EFFECTS,
    PlayItem,
    ReplacementMode,
    aligned_charge,
    billing_flow,
    change_of,
    purchase_faults,
    trials_of,
)
from tests.domain.calendars import at


def items(text, **given):
    """`A B` is base A with add-on B."""
    return [PlayItem(product_id=name, is_base=place == 0, **given) for place, name in enumerate(text.split())]


@pytest.mark.parametrize(
    ("existing", "wanted", "needs_mode", "replaced", "removed", "added"),
    [
        pytest.param("A B", "A", False, None, ("B",), (), id="row-1-B-is-removed-at-the-end"),
        pytest.param("A", "A B", False, None, (), ("B",), id="row-2-B-is-added-now"),
        pytest.param("A B", "A C", False, None, ("B",), ("C",), id="row-3-B-removed-C-added"),
        pytest.param("A B", "B", False, None, ("A",), (), id="row-4-B-becomes-base-A-is-removed"),
        pytest.param("A B", "C", True, ("A", "C"), ("B",), (), id="row-5-A-replaced-B-removed"),
        pytest.param("A B", "C B", True, ("A", "C"), (), (), id="row-6-A-replaced-B-kept"),
        pytest.param("A B", "C D", True, ("A", "C"), ("B",), ("D",), id="row-7-A-replaced-B-removed-D-added"),
    ],
)
def test_the_table_of_modifications(existing, wanted, needs_mode, replaced, removed, added):
    change = change_of(items(existing), items(wanted))
    assert (change.needs_mode, change.replaced, change.removed, change.added) == (needs_mode, replaced, removed, added)
    assert set(change.kept) == set(existing.split()) & set(wanted.split())


def test_nothing_changes_where_the_items_are_the_same():
    change = change_of(items("A B"), items("A B"))
    assert (change.replaced, change.removed, change.added, change.needs_mode) == (None, (), (), False)


def test_an_add_on_added_on_aug_22_costs_10_times_9_of_31():
    start, end = at("2026-08-01T00:00"), at("2026-09-01T00:00")
    assert aligned_charge(1_000, start, end, at("2026-08-22T00:00"), UTC) == 290


def test_a_billing_flow_names_the_old_token_and_every_item_that_stays():
    flow = billing_flow("old-token", items("A B"), items("A B C"))
    assert (flow.old_purchase_token, flow.replacement_mode) == ("old-token", None)
    assert [one.product_id for one in flow.items] == ["A", "B", "C"]


def test_a_new_base_item_needs_a_replacement_mode_and_takes_it_along():
    with pytest.raises(ValueError, match="replacement_mode: needed"):
        billing_flow("t", items("A"), items("C"))
    with pytest.raises(ValueError, match="replacement_mode: needed"):
        billing_flow("t", items("A"), items("C"), ReplacementMode.KEEP_EXISTING)
    assert billing_flow("t", items("A"), items("C"), ReplacementMode.DEFERRED).replacement_mode == "DEFERRED"


def test_a_mode_may_be_given_although_the_base_stays():
    flow = billing_flow("t", items("A"), items("A B"), ReplacementMode.CHARGE_FULL_PRICE)
    assert flow.replacement_mode is ReplacementMode.CHARGE_FULL_PRICE


def test_every_replacement_mode_says_when_and_whether_it_charges():
    assert set(MODE_EFFECTS) == set(ReplacementMode)
    assert not MODE_EFFECTS[ReplacementMode.DEFERRED].is_immediate
    charged = {mode for mode, effect in MODE_EFFECTS.items() if effect.is_charged_now}
    assert charged == {ReplacementMode.CHARGE_PRORATED_PRICE, ReplacementMode.CHARGE_FULL_PRICE}


def faults(these, region="DE"):
    return [fault.rule for fault in purchase_faults(these, region)]


def test_all_items_have_one_period():
    mixed = [PlayItem(product_id="A", is_base=True, period="P1Y"), PlayItem(product_id="B", period="P1M")]
    assert faults(mixed) == ["must all have the same billing period"]


def test_fifty_items_are_a_purchase_and_fifty_one_are_not():
    assert faults(items(" ".join(f"p{n}" for n in range(50)))) == []
    assert faults(items(" ".join(f"p{n}" for n in range(51)))) == ["must be at most 50 in one purchase"]


@pytest.mark.parametrize("region", ["IN", "KR"])
def test_there_are_no_add_ons_in_india_and_south_korea(region):
    assert faults(items("A B"), region) == [f"must be one: Google Play has no add-ons in {region}"]
    assert faults(items("A"), region) == []


def test_add_ons_are_for_plans_that_renew_by_themselves():
    assert len(faults(items("A B", is_prepaid=True))) == 2
    assert faults(items("A", is_prepaid=True)) == []


def test_one_base_and_no_product_twice():
    two = [PlayItem(product_id="A", is_base=True), PlayItem(product_id="A", is_base=True)]
    assert faults(two) == ["must hold exactly one base item", "must be different products"]


def test_offers_are_judged_for_each_item_alone():
    wanted = items("A B C", offer_id="first-week")
    assert trials_of(wanted, frozenset({"B"})) == ("A", "C")
    assert trials_of(items("A"), frozenset()) == ()
