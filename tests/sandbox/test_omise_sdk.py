"""Omise's own SDK as a client: it understands the sandbox, and asks for the same things as our adapter. SPEC 20."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from pydantic import SecretStr

from dunning.providers.omise import OmiseProvider
from dunning.sandbox import SandboxServer, omise_charges
from dunning.sandbox.omise_bodies import fields_of
from tests.providers.ordering import order

from .conftest import Shop

omise = pytest.importorskip("omise", reason="the provider's SDK is not installed")
pytestmark = pytest.mark.server
CARD = {"name": "Nok", "number": "4242424242424242", "expiration_month": 12, "expiration_year": 2099}


@pytest.fixture
def sdk(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in {
        "api_main": f"{sandbox.url}/omise/",
        "api_vault": f"{sandbox.url}/omise/",
        "api_secret": "skey_test_key",
        "api_public": "pkey_test_key",
        "api_version": "2019-05-29",
    }.items():
        monkeypatch.setattr(omise, name, value)
    return omise


async def test_customers_cards_charges_refunds_and_events_through_the_sdk(shop: Shop, sdk: Any) -> None:
    def story() -> None:
        token = sdk.Token.create(**CARD)
        made = sdk.Customer.create(email="a@example.com", card=token.id, metadata={"subscription": "ours-1"})
        assert sdk.Token.retrieve(token.id).used is True
        second = sdk.Token.create(**CARD)
        made.update(card=second.id)
        cards = list(made.list_cards())
        assert [card.last_digits for card in cards] == ["4242", "4242"]
        made.update(default_card=cards[1].id)
        assert sdk.Customer.retrieve(made.id).default_card == cards[1].id

        paid = sdk.Charge.create(amount=2_000, currency="thb", customer=made.id, card=cards[0].id)
        assert (paid.status, paid.paid, paid.card.id) == ("successful", True, cards[0].id)
        back = paid.refund(amount=500)
        assert [one.id for one in paid.list_refunds()] == [back.id]
        paid.reload()
        assert paid.refunded_amount == 500
        assert [one.id for one in sdk.Charge.list()] == [paid.id]
        assert [one.key for one in sdk.Event.list()][:2] == ["customer.create", "customer.update"]
        with pytest.raises(sdk.errors.NotFoundError):
            sdk.Charge.retrieve("chrg_nobody")
        with pytest.raises(sdk.errors.UsedTokenError):
            sdk.Customer.create(card=token.id)
        made.destroy()
        assert made.destroyed is True

    await asyncio.to_thread(story)


async def test_schedules_and_occurrences_through_the_sdk(shop: Shop, sdk: Any) -> None:
    await shop.register("cust_1", provider="omise", payment_method_id="card_1", script=["insufficient_fund"])
    price = {"customer": "cust_1", "card": "card_1", "amount": 2_000, "currency": "thb", "description": "Pro plan"}
    days = {"every": 1, "period": "month", "on": {"days_of_month": [15]}}
    span = {"start_date": "2099-12-15", "end_date": "2100-03-15"}

    made = await asyncio.to_thread(lambda: sdk.Schedule.create(**days, **span, charge=price))
    assert (made.status, made.next_occurrences_on[0]) == ("running", "2099-12-15")
    await shop.control("advance", business_now="2099-12-16T12:00:00Z")

    def story() -> None:
        again = sdk.Schedule.retrieve(made.id)
        assert [one.id for one in sdk.Schedule.list()] == [made.id]
        assert [one.id for one in sdk.Charge.list_schedules()] == [made.id]
        (due,) = again.occurrence()
        assert (due.scheduled_on, due.retry_on, due.status) == ("2099-12-15", "2099-12-16", "successful")
        assert sdk.Occurrence.retrieve(due.id).result == due.result
        charges = [sdk.Charge.retrieve(one.id) for one in sdk.Charge.list()]
        assert [(one.status, one.schedule) for one in charges] == [("failed", made.id), ("successful", made.id)]
        again.destroy()
        assert again.destroyed is True
        assert [one.key for one in sdk.Event.list() if one.key.startswith("schedule.")] == [
            "schedule.create", "schedule.destroy",
        ]  # fmt: skip

    await asyncio.to_thread(story)


async def test_a_decline_is_no_error_of_the_sdk(shop: Shop, sdk: Any) -> None:
    await shop.register("cust_1", provider="omise", payment_method_id="card_1", script=["insufficient_fund"])

    def story() -> Any:
        return sdk.Charge.create(amount=2_000, currency="thb", customer="cust_1", card="card_1")

    failed = await asyncio.to_thread(story)
    assert (failed.status, failed.failure_code) == ("failed", "insufficient_fund")


async def test_a_charge_of_ours_is_the_sdk_s_request(shop: Shop, sdk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Method, path, the headers that matter, and every field that the SDK was given."""
    await shop.register("cust_1", provider="omise", payment_method_id="card_1")
    seen: list[tuple[str, str, dict[str, str], dict[str, Any]]] = []

    async def noted(request: Any) -> dict[str, Any]:
        names = ("authorization", "omise-version", "content-type")
        headers = {name: request.headers[name] for name in names}
        seen.append((request.method, request.url.path, headers, json.loads(await request.body())))
        return await fields_of(request)

    monkeypatch.setattr(omise_charges, "fields_of", noted)
    provider = OmiseProvider(SecretStr("skey_test_key"), is_test=True, base_url=f"{shop.sandbox.url}/omise")
    await provider.charge(order("cust_1", currency="THB", method_token="card_1"))
    await provider.aclose()
    ours = seen[0]

    await asyncio.to_thread(lambda: sdk.Charge.create(**ours[3]))
    theirs = seen[1]
    assert ours == theirs
