"""Who may be charged with which card: tokens, customers, and what ends."""

from __future__ import annotations

import pytest

from dunning.domain.declines import DeclineClass, classify
from dunning.providers.base import (
    AnswerKind,
    Mandate,
    MandateStatus,
    PaymentStatus,
    ProviderRefused,
    ProviderUnavailable,
)
from tests.providers.omise.rig import OmiseRig, agreement
from tests.providers.ordering import mandate_request, order


@pytest.mark.server
class TestTokens:
    """A token is good once; attempts under it are many."""

    async def test_a_token_becomes_a_card_once_and_is_found_by_later_attempts(self, rig: OmiseRig) -> None:
        reference, token = await rig.agree(), await rig.tokenise()
        first = await rig.provider.charge(order(reference, key="at_1", method_token=token))
        second = await rig.provider.charge(order(reference, key="at_2", method_token=token))
        assert first.payment is not None
        assert second.payment is not None
        assert first.payment.method_token == second.payment.method_token not in (None, token, "pm_1")
        assert len((await rig.omise("GET", f"/customers/{reference}/cards"))["data"]) == 3

    async def test_a_spent_token_is_refused_and_charges_nothing(self, rig: OmiseRig) -> None:
        reference, token = await rig.agree(), await rig.tokenise()
        await rig.omise("POST", "/customers", card=token)
        answer = await rig.provider.charge(order(reference, method_token=token))
        assert (answer.kind, answer.code) == (AnswerKind.REFUSED, "used_token")
        assert classify(rig.provider.declines, answer.code_field, answer.code).klass is DeclineClass.ACTION
        assert await rig.book() == []

    async def test_where_a_token_cannot_be_attached_it_is_an_outage(self, rig: OmiseRig) -> None:
        reference, token = await rig.agree(), await rig.tokenise()
        await rig.fault("http_500", on="any")
        answer = await rig.provider.charge(order(reference, method_token=token))
        assert answer.kind is AnswerKind.OUTAGE
        assert await rig.book() == []

    async def test_what_others_note_on_a_customer_stays(self, rig: OmiseRig) -> None:
        reference, token = await rig.agree(), await rig.tokenise()
        await rig.provider.charge(order(reference, method_token=token))
        await rig.provider.end_mandate(reference, reason="canceled")
        metadata = (await rig.omise("GET", f"/customers/{reference}"))["metadata"]
        assert metadata["subscription"] == "ours-1"
        assert metadata[f"dunning_card_of_{token}"].startswith("card_")
        assert metadata["dunning_ended"] == "canceled"

    async def test_a_change_of_method_makes_it_the_default_and_charges_nothing(self, rig: OmiseRig) -> None:
        reference, token = await rig.agree(), await rig.tokenise()
        stored = await rig.provider.change_method(reference, "pm_new")
        assert (stored.method_token, stored.payment) == ("pm_new", None)
        change = await rig.provider.change_method(reference, token)
        assert (await rig.provider.read_mandate(reference)).method_token == change.method_token
        assert change.method_token not in (None, token, "pm_1", "pm_new")
        assert await rig.book() == []

    @pytest.mark.parametrize("token", ["card_nobody", None])
    async def test_an_unknown_card_and_a_wish_for_a_link_are_refused(self, rig: OmiseRig, token: str | None) -> None:
        reference = await rig.agree()
        with pytest.raises(ProviderRefused):
            await rig.provider.change_method(reference, token)


@pytest.mark.server
class TestMandates:
    async def ask(self, rig: OmiseRig, **options: str) -> Mandate:
        return await rig.provider.create_mandate(mandate_request(agreement(**options)))

    async def test_a_token_makes_a_customer_who_can_be_charged_at_once(self, rig: OmiseRig) -> None:
        made = await self.ask(rig, card_token=await rig.tokenise())
        assert (made.status, made.link) == (MandateStatus.AUTHORIZED, None)
        assert made.method_token is not None
        answer = await rig.provider.charge(order(made.reference, method_token=made.method_token))
        assert answer.payment is not None
        assert answer.payment.status is PaymentStatus.SUCCEEDED

    @pytest.mark.parametrize("kind", ["http_500_after_commit", "drop_after_commit"])
    async def test_a_customer_whose_making_was_answered_too_late_is_found_again(self, rig: OmiseRig, kind: str) -> None:
        token = await rig.tokenise()
        await rig.fault(kind, on="mandate")
        with pytest.raises(ProviderUnavailable):
            await self.ask(rig, card_token=token)
        made = await self.ask(rig, card_token=token)
        (only,) = (await rig.omise("GET", "/customers"))["data"]
        assert (made.status, made.reference) == (MandateStatus.AUTHORIZED, only["id"])

    async def test_somebody_elses_spent_token_is_refused(self, rig: OmiseRig) -> None:
        token = await rig.tokenise()
        await rig.omise("POST", "/customers", card=token, metadata={"subscription": "ours-2"})
        with pytest.raises(ProviderRefused, match="used_token"):
            await self.ask(rig, card_token=token)

    async def test_a_token_is_attached_to_the_customer_that_exists(self, rig: OmiseRig) -> None:
        reference = await rig.agree()
        made = await self.ask(rig, customer_id=reference, card_token=await rig.tokenise())
        assert (made.reference, made.status) == (reference, MandateStatus.AUTHORIZED)
        assert made.method_token not in (None, "pm_1")

    async def test_an_ended_customer_is_taken_on_again(self, rig: OmiseRig) -> None:
        reference = await rig.agree()
        await rig.provider.end_mandate(reference, reason="canceled")
        made = await self.ask(rig, customer_id=reference)
        assert (made.reference, made.method_token, made.status) == (reference, "pm_1", MandateStatus.AUTHORIZED)

    async def test_a_customer_without_a_usable_card_is_refused(self, rig: OmiseRig) -> None:
        bare = (await rig.omise("POST", "/customers", email="a@example.com"))["id"]
        old = {"payment_method_id": "pm_old", "expiry_month": "02", "expiry_year": "2026"}
        expired = await rig.agree(payment_method_id="pm_old", methods=[old])
        for options, code in (
            ({}, "missing_card"),
            ({"customer_id": bare}, "missing_card"),
            ({"customer_id": expired}, "expired_card"),
            ({"customer_id": "cust_nobody"}, "not_found"),
        ):
            with pytest.raises(ProviderRefused) as caught:
                await self.ask(rig, **options)
            assert caught.value.code == code

    async def test_other_providers_terms_are_refused(self, rig: OmiseRig) -> None:
        with pytest.raises(ProviderRefused, match="dodo"):
            await rig.provider.create_mandate(mandate_request())

    async def test_a_destroyed_customer_is_ended_already(self, rig: OmiseRig) -> None:
        reference = await rig.agree()
        await rig.omise("DELETE", f"/customers/{reference}")
        await rig.provider.end_mandate(reference, reason="canceled")

    async def test_ending_leaves_the_customers_cards_alone(self, rig: OmiseRig) -> None:
        reference = await rig.agree()
        await rig.provider.end_mandate(reference, reason="canceled")
        assert len((await rig.omise("GET", f"/customers/{reference}/cards"))["data"]) == 2
