"""Charging once over the real sandbox and the real ledger: what is unclear is looked up, never sent again. SPEC 13."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from dunning.charging import Charging
from dunning.domain.attempts import Outcome, OutcomeKind, Trigger
from dunning.ledger import Ledger
from dunning.ledger.models import ChargeInput, LookUpInput
from dunning.providers.dodo import DodoProvider
from dunning.sandbox import SandboxServer
from tests.ledger.till import AT, WIDE, attempt, charge

pytestmark = pytest.mark.server
REFERENCE = "sub_sub-1"


class Shop:
    """One merchant account, and its customer at the sandbox."""

    def __init__(self, ledger: Ledger, sandbox: SandboxServer, http: httpx.AsyncClient, url: str) -> None:
        self.ledger, self.sandbox, self.http, self.url = ledger, sandbox, http, url
        self.provider = DodoProvider(SecretStr("dodo_test_key"), is_test=True, base_url=sandbox.url)
        self.charging = Charging(ledger, self.provider, WIDE, wait_seconds=2)

    async def post(self, path: str, body: Any) -> None:
        (await self.http.post(f"/_sandbox/{path}", json=body)).raise_for_status()

    async def agree(self, *script: str, **more: Any) -> None:
        body = {
            "subscription_id": REFERENCE, "customer_id": "cus_1", "payment_method_id": "pm_1", "currency": "IDR",
            "metadata": {"subscription": "sub-1"}, "script": list(script),
            "methods": [{"payment_method_id": "pm_2"}], **more,
        }  # fmt: skip
        await self.post("subscriptions", body)

    async def fault(self, kind: str, on: str = "charge", **more: Any) -> None:
        await self.post("faults", [{"kind": kind, "on": on, **more}])

    async def charge(self, request: ChargeInput | None = None) -> Outcome:
        return await self.charging.charge(request or charge(), owner=str(uuid.uuid4()))

    async def look_up(
        self, *, after: timedelta = timedelta(), may_close_absent: bool = False, **changes: Any
    ) -> Outcome:
        given = charge(**changes)
        names = LookUpInput.model_fields.keys() & ChargeInput.model_fields.keys()
        values = {name: getattr(given, name) for name in names} | {"business_at": AT + after}
        return await self.charging.look_up(LookUpInput(**values, may_close_absent=may_close_absent))

    async def book(self) -> list[str]:
        """The status of every charge that the provider made."""
        return [c["status"] for c in (await self.http.get("/_sandbox/charges")).json()["charges"]]

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Read beside the ledger."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            return await (await connection.execute(statement)).fetchall()

    async def is_written(self, status: str) -> bool:
        row = await self.ledger.attempt(charge().attempt.key)
        return row is not None and row.status == status


@pytest.fixture
async def shop(ledger_url: str) -> AsyncIterator[Shop]:
    async with SandboxServer.start(settle_seconds=0.01, hold_seconds=0.05) as sandbox:
        ledger = await Ledger.open(ledger_url, pool_size=4)
        async with httpx.AsyncClient(base_url=sandbox.url, timeout=10) as http:
            found = Shop(ledger, sandbox, http, ledger_url)
            yield found
            await found.provider.aclose()
        await ledger.aclose()


async def test_a_paid_charge_is_settled_and_asking_again_charges_nothing(shop: Shop) -> None:
    await shop.agree("SUCCEEDED")
    first = await shop.charge()
    assert first.kind is OutcomeKind.SUCCEEDED
    assert await shop.charge() == first
    assert await shop.look_up() == first
    assert await shop.book() == ["succeeded"]


async def test_a_declined_charge_is_settled_with_its_code_class_and_rule(shop: Shop) -> None:
    await shop.agree("INSUFFICIENT_FUNDS")
    found = await shop.charge()
    assert (found.kind, found.raw_code, found.klass and found.klass.value) == (
        OutcomeKind.DECLINED,
        "INSUFFICIENT_FUNDS",
        "SOFT",
    )
    assert found.rule
    assert await shop.charge() == found
    assert await shop.book() == ["failed"]


async def test_a_pending_charge_is_settled_by_a_look_up_once_the_provider_decides(shop: Shop) -> None:
    await shop.agree("PENDING/2h/SUCCEEDED")
    shop.charging = Charging(shop.ledger, shop.provider, WIDE, wait_seconds=0)
    assert (await shop.charge()).kind is OutcomeKind.PENDING
    assert (await shop.look_up(after=timedelta(hours=1))).kind is OutcomeKind.PENDING
    assert (await shop.charge()).kind is OutcomeKind.PENDING
    assert (await shop.look_up(after=timedelta(hours=3))).kind is OutcomeKind.SUCCEEDED
    assert await shop.is_written("settled")
    assert await shop.book() == ["succeeded"]


@pytest.mark.parametrize("kind", ["timeout_after_commit", "drop_after_commit", "http_500_after_commit"])
async def test_a_charge_whose_answer_is_lost_is_unknown_and_found_by_look_up(shop: Shop, kind: str) -> None:
    await shop.agree("SUCCEEDED")
    await shop.fault(kind)
    assert (await shop.charge()).kind is OutcomeKind.UNKNOWN
    assert (await shop.charge()).kind is OutcomeKind.UNKNOWN
    assert (await shop.look_up()).kind is OutcomeKind.SUCCEEDED
    assert await shop.book() == ["succeeded"]


@pytest.mark.parametrize("kind", ["drop_connection", "timeout_before_commit", "http_500"])
async def test_a_charge_that_never_arrived_is_absent_only_when_that_is_certain(shop: Shop, kind: str) -> None:
    await shop.agree("SUCCEEDED")
    await shop.fault(kind)
    assert (await shop.charge()).kind is OutcomeKind.UNKNOWN
    assert (await shop.look_up()).kind is OutcomeKind.UNKNOWN
    assert (await shop.charge()).kind is OutcomeKind.UNKNOWN
    assert (await shop.look_up(after=timedelta(hours=25), may_close_absent=True)).kind is OutcomeKind.ABSENT
    assert (await shop.charge()).kind is OutcomeKind.ABSENT
    assert await shop.book() == []


async def test_a_look_up_that_fails_never_proves_an_absence(shop: Shop) -> None:
    await shop.agree("SUCCEEDED")
    await shop.fault("timeout_after_commit")
    await shop.charge()
    await shop.fault("http_500", on="lookup", times=1)
    assert (await shop.look_up(may_close_absent=True)).kind is OutcomeKind.UNKNOWN
    assert (await shop.look_up(may_close_absent=True)).kind is OutcomeKind.SUCCEEDED


async def test_a_look_up_that_lags_finds_the_payment_later_and_nothing_is_sent_between(shop: Shop) -> None:
    await shop.agree("SUCCEEDED")
    await shop.fault("timeout_after_commit")
    await shop.charge()
    await shop.fault("lookup_lag", on="lookup", times=1)
    assert (await shop.look_up()).kind is OutcomeKind.UNKNOWN
    assert (await shop.charge()).kind is OutcomeKind.UNKNOWN
    assert (await shop.look_up()).kind is OutcomeKind.SUCCEEDED
    assert await shop.book() == ["succeeded"]


async def test_a_throttled_charge_is_an_outage_and_goes_later_under_the_same_key(shop: Shop) -> None:
    await shop.agree("SUCCEEDED")
    await shop.fault("429")
    assert (await shop.charge()).kind is OutcomeKind.OUTAGE
    assert (await shop.charge()).kind is OutcomeKind.SUCCEEDED
    rows = await shop.ledger.attempts_of("demo", "sub-1")
    assert [(r.key, r.number, r.status) for r in rows] == [(charge().attempt.key, 1, "settled")]
    assert await shop.book() == ["succeeded"]


def by_new_method(**changes: Any) -> ChargeInput:
    made = attempt(number=2, method="pm_2", trigger=Trigger.PAYMENT_METHOD_UPDATED)
    return charge(attempt=made, is_method_attached=False, **changes)


async def test_a_change_of_method_that_charges_by_itself_is_adopted(shop: Shop) -> None:
    await shop.agree("INSUFFICIENT_FUNDS", "SUCCEEDED", on_hold_after_failure=True)
    assert (await shop.charge()).kind is OutcomeKind.DECLINED
    found = await shop.charge(by_new_method())
    assert found.kind is OutcomeKind.SUCCEEDED
    assert await shop.charge(by_new_method()) == found
    assert await shop.book() == ["failed", "succeeded"]


async def test_a_payment_that_the_customer_made_by_changing_the_method_there_is_adopted(shop: Shop) -> None:
    await shop.agree("INSUFFICIENT_FUNDS", "SUCCEEDED", on_hold_after_failure=True)
    assert (await shop.charge()).kind is OutcomeKind.DECLINED
    await shop.post(f"subscriptions/{REFERENCE}/update-method", {"payment_method_id": "pm_2"})
    assert (await shop.charge(by_new_method())).kind is OutcomeKind.SUCCEEDED
    assert await shop.book() == ["failed", "succeeded"]


async def test_a_change_of_method_that_charges_nothing_is_followed_by_one_charge(shop: Shop) -> None:
    await shop.agree("INSUFFICIENT_FUNDS", "SUCCEEDED")
    assert (await shop.charge()).kind is OutcomeKind.DECLINED
    assert (await shop.charge(by_new_method())).kind is OutcomeKind.SUCCEEDED
    assert await shop.book() == ["failed", "succeeded"]


async def test_a_ledger_that_is_away_before_sending_is_an_outage_and_nothing_is_sent(
    shop: Shop, free_port: int
) -> None:
    await shop.agree("SUCCEEDED")
    away = await Ledger.open(f"postgresql://nobody@127.0.0.1:{free_port}/none")
    found = await Charging(away, shop.provider, WIDE).charge(charge(), owner="one")
    await away.aclose()
    assert found.kind is OutcomeKind.OUTAGE
    assert await shop.book() == []


async def test_a_ledger_that_fails_at_the_moment_of_sending_sends_nothing(shop: Shop) -> None:
    await shop.agree("SUCCEEDED")
    async with await psycopg.AsyncConnection.connect(shop.url, autocommit=True) as other:
        await other.execute(
            "create function refuse() returns trigger language plpgsql as $$ begin raise 'disk full'; end $$"
        )
        await other.execute(
            "create trigger refusing before update on attempts for each row"
            " when (new.status = 'sent') execute function refuse()"
        )
        assert (await shop.charge()).kind is OutcomeKind.UNKNOWN
        assert await shop.book() == []
        assert "in hand" in (await shop.look_up()).because
        await other.execute("drop trigger refusing on attempts")
        await other.execute("update attempts set lease_until = clock_timestamp()")
    assert (await shop.look_up()).kind is OutcomeKind.OUTAGE
    assert (await shop.charge()).kind is OutcomeKind.SUCCEEDED
    assert await shop.book() == ["succeeded"]


@pytest.mark.parametrize("may_close", [False, True])
async def test_a_look_up_of_what_another_worker_has_in_hand_asks_nobody(shop: Shop, may_close: bool) -> None:
    await shop.agree("SUCCEEDED")
    admission = await shop.ledger.admit(charge(), owner="other", limits=WIDE)
    assert admission.claim is not None
    await shop.ledger.mark_sent(admission.claim)
    found = await shop.look_up(may_close_absent=may_close)
    assert (found.kind, "in hand" in found.because) == (OutcomeKind.UNKNOWN, True)


async def test_a_webhook_that_settles_first_is_what_the_waiting_charge_returns(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.agree("PENDING/2h/SUCCEEDED")
    settled = shop.ledger.settle
    told: list[Outcome] = []

    async def ask(query: Any, ask: Callable[[Any], Any] = shop.provider.find_payment) -> Any:
        paid = Outcome(kind=OutcomeKind.SUCCEEDED, at=AT, provider_payment_id="pay_told")
        told.append(await settled(charge().attempt.key, paid))
        return await ask(query)

    monkeypatch.setattr(shop.provider, "find_payment", ask)
    assert await shop.charge() == told[0]
