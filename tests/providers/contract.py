"""What every adapter must do, written once: a test module derives `ProviderContract` and gives a rig.

The rig speaks to the sandbox over real HTTP, whose charge book tells the truth about money.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dunning.domain.declines import DeclineClass, classify
from dunning.providers.base import (
    AnswerKind,
    LookUp,
    MandateStatus,
    MessageKind,
    PaymentStatus,
    ProviderMessage,
    ProviderRefused,
    ProviderUnavailable,
    WebhookRefused,
)
from dunning.providers.sending import now, sending_until
from tests.providers.ordering import AT, Delivery, Rig, asking, order


@pytest.mark.server
class ProviderContract:
    """Derive it, and give a fixture `rig`."""

    # --- charging -----------------------------------------------------------------------------------

    async def test_an_accepted_charge_is_found_paid_by_its_key_and_by_its_id(self, rig: Rig) -> None:
        reference = await rig.agree("SUCCEEDED")
        answer = await rig.provider.charge(order(reference))
        assert answer.kind is AnswerKind.PAYMENT
        assert answer.payment is not None
        await rig.quiet()
        by_key = await rig.provider.find_payment(asking(reference))
        by_id = await rig.provider.find_payment(asking(reference, payment_id=answer.payment.payment_id))
        assert by_key == by_id
        assert by_key.is_certain
        assert by_key.payment is not None
        assert by_key.payment.status is PaymentStatus.SUCCEEDED
        assert by_key.payment.payment_id == answer.payment.payment_id
        found = by_key.payment
        assert (found.key, found.amount, found.currency) == ("at_1", 100_000, "IDR")

    async def test_key_instants_and_ids_travel_with_the_charge(self, rig: Rig) -> None:
        reference = await rig.agree()
        await rig.provider.charge(order(reference, retry_attempt=2, obligation="3"))
        (row,) = await rig.book()
        expected = {
            "dunning_key": "at_1",
            "retry_attempt": 2,
            "planned_at": "2026-03-05T13:10:00Z",
            "business_at": "2026-03-05T13:10:04Z",
            "subscription": "ours-1",
            "obligation": "3",
            "campaign": "spring",
        }
        # Some providers keep metadata as texts.
        assert {name: str(value) for name, value in row.metadata.items()} == {
            name: str(value) for name, value in expected.items()
        }

    async def test_the_merchants_metadata_never_passes_for_a_key(self, rig: Rig) -> None:
        reference = await rig.agree()
        forged = {"dunning_key": "at_other", "subscription": "theirs"}
        await rig.provider.charge(order(reference, metadata=forged))
        (row,) = await rig.book()
        assert row.key == "at_1"
        assert row.metadata["subscription"] == "ours-1"

    async def test_a_decline_carries_the_providers_code_and_its_table_knows_it(self, rig: Rig) -> None:
        reference = await rig.agree(rig.soft_code)
        await rig.provider.charge(order(reference))
        await rig.quiet()
        found = (await rig.provider.find_payment(asking(reference))).payment
        assert found is not None
        assert (found.status, found.code) == (PaymentStatus.FAILED, rig.soft_code)
        verdict = classify(rig.provider.declines, found.code_field, found.code)
        assert (verdict.klass, verdict.is_unknown) == (DeclineClass.SOFT, False)

    async def test_a_decline_of_each_class_is_told_by_a_code_that_the_table_knows(self, rig: Rig) -> None:
        """The first code of each class in the adapter's own table, through its wire."""
        rows = [row for row in rig.provider.declines.rows if row.field == "error_code"]
        codes = {row.klass: row.code for row in reversed(rows)}
        assert set(codes) >= {DeclineClass.SOFT, DeclineClass.HARD, DeclineClass.ACTION, DeclineClass.TECHNICAL}
        for klass, code in codes.items():
            reference = await rig.agree(code)
            await rig.provider.charge(order(reference, key=f"at_{code}"))
            await rig.quiet()
            found = (await rig.provider.find_payment(asking(reference, key=f"at_{code}"))).payment
            assert found is not None
            verdict = classify(rig.provider.declines, found.code_field, found.code)
            assert (found.status, verdict.klass, verdict.is_unknown) == (PaymentStatus.FAILED, klass, False), code

    async def test_an_advised_wait_is_passed_on(self, rig: Rig) -> None:
        reference = await rig.agree(f"{rig.soft_code}/wait=10d")
        await rig.provider.charge(order(reference))
        await rig.quiet()
        found = (await rig.provider.find_payment(asking(reference))).payment
        assert found is not None
        assert found.retry_after_seconds == 10 * 86_400

    async def test_a_pending_payment_is_pending_until_its_business_instant(self, rig: Rig) -> None:
        reference = await rig.agree("PENDING/2h/SUCCEEDED")
        answer = await rig.provider.charge(order(reference))
        assert answer.payment is not None
        paid = asking(reference, payment_id=answer.payment.payment_id)
        soon = await rig.provider.find_payment(paid.but(business_at=AT + timedelta(hours=1)))
        late = await rig.provider.find_payment(paid.but(business_at=AT + timedelta(hours=3)))
        assert soon.payment is not None
        assert late.payment is not None
        assert (soon.payment.status, late.payment.status) == (PaymentStatus.PENDING, PaymentStatus.SUCCEEDED)

    # --- what is certain ----------------------------------------------------------------------------

    async def test_a_charge_whose_lease_has_ended_is_not_sent_and_that_is_certain(self, rig: Rig) -> None:
        with sending_until(now()):
            answer = await rig.provider.charge(order(await rig.agree()))
        assert answer.kind is AnswerKind.OUTAGE
        assert await rig.book() == []

    async def test_where_nobody_listens_nothing_was_charged(self, rig: Rig) -> None:
        answer = await rig.unreachable().charge(order("sub_x"))
        assert answer.kind is AnswerKind.OUTAGE

    @pytest.mark.parametrize("kind", ["429", "401"])
    async def test_a_turned_away_request_is_an_outage_and_charged_nothing(self, rig: Rig, kind: str) -> None:
        reference = await rig.agree()
        await rig.fault(kind)
        answer = await rig.provider.charge(order(reference))
        assert answer.kind is AnswerKind.OUTAGE
        assert await rig.book() == []
        assert ("attention" in answer.because) == (kind == "401")

    async def test_a_429_that_says_how_long_to_wait_is_believed(self, rig: Rig) -> None:
        reference = await rig.agree()
        await rig.fault("429", seconds=17)
        answer = await rig.provider.charge(order(reference))
        assert (answer.kind, answer.retry_after_seconds) == (AnswerKind.OUTAGE, 17)
        assert await rig.book() == []

    @pytest.mark.parametrize("kind", ["timeout_after_commit", "http_500_after_commit", "drop_after_commit"])
    async def test_a_lost_answer_is_unclear_and_the_payment_is_found_by_its_key(self, rig: Rig, kind: str) -> None:
        reference = await rig.agree("SUCCEEDED")
        await rig.fault(kind)
        answer = await rig.provider.charge(order(reference))
        assert (answer.kind, answer.payment) == (AnswerKind.UNCLEAR, None)
        await rig.quiet()
        found = await rig.provider.find_payment(asking(reference))
        assert found.payment is not None
        assert found.payment.status is PaymentStatus.SUCCEEDED
        assert [row.key for row in await rig.book()] == ["at_1"]

    @pytest.mark.parametrize("kind", ["timeout_before_commit", "http_500", "drop_connection"])
    async def test_a_lost_request_is_unclear_too_and_absent_afterwards(self, rig: Rig, kind: str) -> None:
        reference = await rig.agree()
        await rig.fault(kind)
        answer = await rig.provider.charge(order(reference))
        assert answer.kind is AnswerKind.UNCLEAR
        found = await rig.provider.find_payment(asking(reference))
        self._must_be_absent(rig, found)
        assert await rig.book() == []

    async def test_nothing_is_sent_twice_whatever_happens(self, rig: Rig) -> None:
        """Each fault is used up by the first request: a repeat below us would get through and show."""
        for number, kind in enumerate(("http_500", "429", "401", "drop_connection", "timeout_before_commit")):
            reference = await rig.agree()
            await rig.fault(kind)
            await rig.provider.charge(order(reference, key=f"at_{number}"))
        assert await rig.book() == []

    @pytest.mark.parametrize("kind", ["http_500", "drop_connection", "429", "401", "timeout_before_commit"])
    async def test_a_look_up_that_fails_proves_nothing(self, rig: Rig, kind: str) -> None:
        reference = await rig.agree()
        await rig.fault(kind, on="lookup")
        found = await rig.provider.find_payment(asking(reference))
        assert (found.is_certain, found.payment) == (False, None)

    async def test_a_look_up_of_a_paid_charge_that_fails_half_way_proves_nothing(self, rig: Rig) -> None:
        reference = await rig.agree("SUCCEEDED")
        await rig.provider.charge(order(reference))
        await rig.quiet()
        await rig.fault("http_500", on="lookup", after=1)
        found = await rig.provider.find_payment(asking(reference))
        assert (found.is_certain, found.payment) == (False, None)

    async def test_a_key_is_found_behind_hundreds_of_other_payments(self, rig: Rig) -> None:
        reference = await rig.agree("SUCCEEDED")
        await rig.provider.charge(order(reference))
        await rig.quiet()
        for _ in range(205):
            await rig.pay_by_link(reference, 7_000)
        found = await rig.provider.find_payment(asking(reference))
        assert found.payment is not None
        assert found.payment.key == "at_1"
        self._must_be_absent(rig, await rig.provider.find_payment(asking(reference, key="at_2")))

    async def test_only_payments_since_the_request_are_looked_at(self, rig: Rig) -> None:
        reference = await rig.agree("SUCCEEDED")
        await rig.provider.charge(order(reference))
        await rig.quiet()
        later = datetime.now(UTC) + timedelta(hours=1)
        self._must_be_absent(rig, await rig.provider.find_payment(asking(reference, since=later)))

    async def test_a_payment_without_a_key_counts_only_when_it_is_accepted_and_of_equal_price(self, rig: Rig) -> None:
        reference = await rig.agree()
        await rig.pay_by_link(reference, 7_000)
        await rig.pay_by_link(reference, 100_000)
        strict = await rig.provider.find_payment(asking(reference))
        lenient = await rig.provider.find_payment(asking(reference, accept_keyless=True))
        other = await rig.provider.find_payment(asking(reference, amount=50_000, accept_keyless=True))
        self._must_be_absent(rig, strict)
        self._must_be_absent(rig, other)
        if not rig.provider.capabilities.finds_keyless:
            self._must_be_absent(rig, lenient)
            return
        assert lenient.payment is not None
        assert (lenient.payment.key, lenient.payment.amount) == (None, 100_000)

    async def test_another_attempts_payment_is_never_adopted_by_its_id(self, rig: Rig) -> None:
        reference = await rig.agree("SUCCEEDED")
        answer = await rig.provider.charge(order(reference, key="at_other"))
        assert answer.payment is not None
        found = await rig.provider.find_payment(asking(reference, payment_id=answer.payment.payment_id))
        assert (found.is_certain, found.payment) == (False, None)

    # --- mandates -----------------------------------------------------------------------------------

    async def test_an_authorised_mandates_reference_and_method_can_be_charged(self, rig: Rig) -> None:
        made = await rig.authorise()
        await rig.quiet()
        stands = await rig.provider.read_mandate(made.reference)
        assert stands.status is MandateStatus.AUTHORIZED
        assert stands.method_token
        answer = await rig.provider.charge(order(stands.reference, method_token=stands.method_token))
        assert answer.kind is AnswerKind.PAYMENT

    async def test_an_outage_creates_no_mandate_and_says_so(self, rig: Rig) -> None:
        with pytest.raises(ProviderUnavailable):
            await rig.unreachable().create_mandate(rig.mandate_request())
        await rig.fault("429", on="mandate")
        with pytest.raises(ProviderUnavailable):
            await rig.provider.create_mandate(rig.mandate_request())

    async def test_an_unknown_reference_is_refused(self, rig: Rig) -> None:
        with pytest.raises(ProviderRefused):
            await rig.provider.read_mandate("sub_nobody")

    async def test_an_ended_mandate_is_ended_and_ending_it_again_is_success(self, rig: Rig) -> None:
        reference = await rig.agree()
        await rig.provider.end_mandate(reference, reason="canceled")
        await rig.provider.end_mandate(reference, reason="canceled")
        assert (await rig.provider.read_mandate(reference)).status is MandateStatus.ENDED

    # --- messages -----------------------------------------------------------------------------------

    async def test_messages_of_a_charge_tell_its_key_our_id_and_its_outcome(self, rig: Rig) -> None:
        reference = await rig.agree(rig.soft_code, "SUCCEEDED")
        for key in ("at_1", "at_2"):
            await rig.provider.charge(order(reference, key=key))
            await rig.quiet()
        told = [one for one in self._read_all(rig) if one.kind is MessageKind.PAYMENT and one.payment]
        declined = next(one for one in told if one.payment and one.payment.key == "at_1")
        paid = next(one for one in told if one.payment and one.payment.key == "at_2")
        assert declined.payment is not None
        assert paid.payment is not None
        assert (declined.payment.status, declined.payment.code) == (PaymentStatus.FAILED, rig.soft_code)
        assert paid.payment.status is PaymentStatus.SUCCEEDED
        assert (paid.subscription, paid.reference) == ("ours-1", reference)
        assert len({one.message_id for one in told}) == len(told)

    async def test_a_mandates_message_carries_our_id_and_the_reference(self, rig: Rig) -> None:
        made = await rig.authorise()
        await rig.quiet()
        told = next(one for one in self._read_all(rig) if one.kind is MessageKind.MANDATE)
        assert told.subscription == "ours-1"
        assert told.mandate is not None
        assert told.mandate.status is MandateStatus.AUTHORIZED
        assert told.mandate.reference == (await rig.provider.read_mandate(made.reference)).reference

    async def test_a_message_that_is_not_the_providers_is_refused(self, rig: Rig) -> None:
        """Where the signature covers them, so is one that was changed, and one that is old."""
        reference = await rig.agree()
        await rig.provider.charge(order(reference))
        await rig.quiet()
        sent = rig.deliveries()[-1]
        now = datetime.now(UTC)
        self._read(rig, sent, now)
        with pytest.raises(WebhookRefused):
            self._read(rig, Delivery({}, sent.body), now)
        with pytest.raises(WebhookRefused):
            rig.provider.read_webhook(sent.headers, sent.body, secrets=[], now=now)
        if not rig.provider.capabilities.signs_messages:
            return
        with pytest.raises(WebhookRefused):
            self._read(rig, Delivery(sent.headers, sent.body + b" "), now)
        with pytest.raises(WebhookRefused):
            self._read(rig, sent, now + timedelta(minutes=6))

    def _must_be_absent(self, rig: Rig, found: LookUp) -> None:
        """Not found, and certain only where the provider's lists leave nothing out."""
        assert (found.is_certain, found.payment) == (rig.provider.capabilities.look_up_proves_absence, None)

    def _read_all(self, rig: Rig) -> list[ProviderMessage]:
        now = datetime.now(UTC)
        return [self._read(rig, one, now) for one in rig.deliveries()]

    def _read(self, rig: Rig, sent: Delivery, now: datetime) -> ProviderMessage:
        return rig.provider.read_webhook(sent.headers, sent.body, secrets=[rig.secret], now=now)
