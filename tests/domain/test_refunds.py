"""What is given back: never more than was paid, in total and for each item; the parts add up. SPEC 9."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.domain import facts
from dunning.domain.access import access
from dunning.domain.apply import apply
from dunning.domain.command_table import judge
from dunning.domain.commands import Refund, Reinstate, Revoke, RevokeType
from dunning.domain.prorate import prorated
from dunning.domain.refunds import RefundKind, RefundOutcome, RefundStatus, TooMuch, give, refund_key, shares
from dunning.domain.state import State, prune
from dunning.domain.tables import SubscriptionStatus
from dunning.domain.terms import Item, Role
from tests.builders import live

COSTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 10**9), min_size=1)
HALF_WAY = datetime(2026, 3, 20, 13, 10, tzinfo=UTC)
ITEMS = [
    {"product_id": "base", "role": "base", "quantity": 1, "unit_amount": 70_001},
    {"product_id": "seats", "role": "addon", "quantity": 3, "unit_amount": 9_999},
]


@given(costs=COSTS, data=st.data())
def test_the_shares_add_up_to_the_whole_and_none_is_more_than_was_left(
    costs: dict[str, int], data: st.DataObject
) -> None:
    whole = data.draw(st.integers(0, sum(costs.values())))
    found = shares(whole, costs)
    assert sum(found.values()) == whole
    assert all(0 <= found[name] <= costs[name] for name in costs)


@given(costs=COSTS, data=st.data())
def test_however_often_is_refunded_no_item_and_no_payment_gives_back_more_than_was_paid(
    costs: dict[str, int], data: st.DataObject
) -> None:
    paid, before, refunded = sum(costs.values()), dict.fromkeys(costs, 0), 0
    for _ in range(data.draw(st.integers(1, 5))):
        asked = data.draw(st.none() | st.integers(1, paid + 1))
        item = data.draw(st.none() | st.sampled_from(sorted(costs)))
        try:
            given_ = give(
                paid=paid, items=costs, before=before, refunded=refunded, amount=asked, item=item,
                may_be_less=data.draw(st.booleans()),
            )  # fmt: skip
        except TooMuch:
            continue
        refunded += given_.amount
        assert sum(given_.parts.values()) == given_.amount
        before = {name: before[name] + given_.parts.get(name, 0) for name in costs}
    assert refunded <= paid
    assert all(before[name] <= costs[name] for name in costs)


@given(amount=st.integers(0, 10**12), days=st.integers(1, 366))
def test_what_is_prorated_falls_from_day_to_day_and_is_never_more_than_was_paid(amount: int, days: int) -> None:
    found = [prorated(amount, days, day) for day in range(1, days + 1)]
    assert found == sorted(found, reverse=True)
    assert all(0 <= part <= amount for part in found)
    assert found[-1] == 0


def test_the_rest_after_a_part_is_the_rest_of_each_item() -> None:
    first = give(paid=3, items={"a": 1, "b": 2}, before={}, refunded=0, amount=1)
    rest = give(paid=3, items={"a": 1, "b": 2}, before=first.parts, refunded=1, amount=None)
    assert (first.parts, rest.parts) == ({"a": 0, "b": 1}, {"a": 1, "b": 1})


@pytest.mark.parametrize(("amount", "refunded"), [(101, 0), (51, 50), (None, 100), (0, 0)])
def test_more_than_is_left_is_refused(amount: int | None, refunded: int) -> None:
    with pytest.raises(TooMuch):
        give(paid=100, items={}, before={}, refunded=refunded, amount=amount)


def test_one_command_has_one_key_and_no_two_share_it() -> None:
    keys = {refund_key(a, s, c) for a in ("x", "y") for s in ("x", "y") for c in ("x", "y")}
    assert len(keys) == 8
    assert refund_key("a", "b", "c") == refund_key("a", "b", "c")


# --- the machine ----------------------------------------------------------------------------------


def paid_state() -> State:
    """One cycle paid on March 5th, with two items, 99,998 in all."""
    schedule = {"anchor_at": "2026-03-05T13:10:00Z", "interval": "MONTH", "interval_count": 1}
    return live("SUCCEEDED", until="2026-03-10T00:00:00Z", items=ITEMS, schedule=schedule).state


def commanded(state: State, command: Refund | Revoke, at: datetime = HALF_WAY) -> State:
    queued = apply(state, facts.Queued(command=command), at).state
    return apply(queued, facts.Commanded(command=command), at).state


def concluded(state: State, kind: RefundKind, amount: int | None = None) -> State:
    refund = state.refunds[-1]
    outcome = RefundOutcome(kind=kind, at=HALF_WAY, amount=amount or refund.amount or refund.paid, refund_id="rfd_1")
    return apply(state, facts.RefundConcluded(key=refund.key, outcome=outcome), HALF_WAY).state


def test_a_prorated_revoke_is_the_specifications_formula() -> None:
    state = commanded(paid_state(), Revoke(command_id="r", type=RevokeType.PRORATED))
    (refund,) = state.refunds
    # March 20th is day 16 of the 31 days from March 5th: 100,000-ish x 15/31, half to even.
    assert refund.amount == prorated(state.obligation("1").amount, 31, 16)
    assert (state.status, access(state, HALF_WAY).is_granted) == (SubscriptionStatus.INACTIVE, False)


def test_a_full_revoke_gives_back_what_an_earlier_refund_left() -> None:
    state = concluded(commanded(paid_state(), Refund(command_id="a", order="1", amount=40_000)), RefundKind.SUCCEEDED)
    state = commanded(state, Revoke(command_id="b", type=RevokeType.FULL))
    assert state.refunds[-1].amount == state.obligation("1").amount - 40_000


def test_revoking_an_item_gives_back_its_price_and_the_rest_goes_on() -> None:
    state = commanded(paid_state(), Revoke(command_id="r", type=RevokeType.ITEM, item="seats"))
    assert (state.refunds[-1].amount, state.refunds[-1].item) == (29_997, "seats")
    assert state.status is SubscriptionStatus.ACTIVE
    assert [i.product_id for i in state.terms.items] == ["base"]
    assert access(state, HALF_WAY).is_granted


@pytest.mark.parametrize(("item", "because"), [("other", "not one of"), ("base", "base item"), (None, "which one")])
def test_an_item_that_cannot_be_given_back_alone_is_refused(item: str | None, because: str) -> None:
    verdict = judge(paid_state(), Revoke(command_id="r", type=RevokeType.ITEM, item=item), HALF_WAY)
    assert not verdict.is_allowed
    assert because in verdict.because


def test_an_item_is_not_given_back_of_a_payment_that_was_made_for_other_items() -> None:
    state = paid_state()
    more = Item(product_id="more", role=Role.ADDON, quantity=1, unit_amount=5_000)
    added = state.but(terms=state.terms.but(items=(*state.terms.items, more)))
    for item in ("seats", "more"):
        verdict = judge(added, Revoke(command_id="r", type=RevokeType.ITEM, item=item), HALF_WAY)
        assert not verdict.is_allowed
        assert "give back an amount" in verdict.because


def test_a_refund_of_a_disputed_payment_is_refused_and_allowed_when_the_dispute_is_over() -> None:
    state = apply(paid_state(), facts.DisputeOpened(at=HALF_WAY, payment_id="pay_x"), HALF_WAY).state
    command = Refund(command_id="r", order="pay_x")
    assert not judge(state, command, HALF_WAY).is_allowed
    state = apply(state, facts.DisputeClosed(at=HALF_WAY, payment_id="pay_x"), HALF_WAY).state
    assert judge(state, command, HALF_WAY).is_allowed


def test_a_refund_that_failed_after_it_counted_as_made_is_taken_back_and_shown_to_a_person() -> None:
    state = concluded(commanded(paid_state(), Refund(command_id="a", order="1")), RefundKind.SUCCEEDED)
    assert state.obligation("1").refunded == state.obligation("1").amount
    state = concluded(state, RefundKind.REFUSED)
    assert (state.refunds[-1].status, state.obligation("1").refunded) == (RefundStatus.FAILED, 0)
    assert state.attention


def test_a_word_said_twice_about_a_refund_changes_nothing() -> None:
    once = concluded(commanded(paid_state(), Refund(command_id="a", order="1")), RefundKind.SUCCEEDED)
    twice = concluded(once, RefundKind.SUCCEEDED)
    assert twice.but(revision=0, latest=once.latest) == once.but(revision=0)


def test_a_revoked_period_cannot_be_reinstated() -> None:
    state = commanded(paid_state(), Revoke(command_id="r", type=RevokeType.FULL))
    assert not judge(state, Reinstate(command_id="x"), HALF_WAY).is_allowed


def test_the_paid_cycle_is_remembered_when_a_run_ends_so_that_it_can_be_revoked() -> None:
    state = paid_state()
    cycle = state.obligation("1")
    later = cycle.but(id="od-x", number=None)
    assert prune(state.but(obligations=(cycle, later))).has("1")


def test_a_refund_that_ends_access_is_concluded_also_where_nothing_can_be_revoked() -> None:
    state = commanded(paid_state(), Refund(command_id="a", order="1", revoke=True))
    state = concluded(state.but(status=SubscriptionStatus.ACTIVATING), RefundKind.SUCCEEDED)
    assert (state.status, state.open_refunds) == (SubscriptionStatus.ACTIVATING, ())
