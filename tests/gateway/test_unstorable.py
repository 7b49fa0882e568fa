"""A message that the ledger could not keep settles nothing. SPEC 18."""

from __future__ import annotations

import pytest

from tests.gateway.house import House, payment

pytestmark = pytest.mark.server


async def test_a_message_with_a_nul_settles_nothing_and_is_refused_for_good(house: House) -> None:
    """Settled first and then not storable, it would be sent again for ever."""
    key = await house.send_attempt()
    answer = await house.deliver(payment(key, subscription_id="sub\x00dodo"))
    assert answer.status_code == 401
    row = await house.ledger.attempt(key)
    assert row is not None
    assert row.settled_at is None
    assert await house.rows() == []


async def test_the_words_backslash_u0000_are_no_nul(house: House) -> None:
    key = await house.send_attempt()
    answer = await house.deliver(payment(key, error_message="\\u0000"))
    assert answer.status_code == 200


@pytest.mark.parametrize("amount", [10**40, -(10**40)])
async def test_an_amount_that_no_ledger_could_add_up_is_refused(house: House, amount: int) -> None:
    key = await house.send_attempt()
    assert (await house.deliver(payment(key, total_amount=amount))).status_code == 401
