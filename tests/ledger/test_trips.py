"""What is sent in one round trip is one transaction, and no failure leaves a connection that spoils the next."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from dunning.ledger import Ledger
from dunning.ledger.models import Record
from tests.builders import subscription
from tests.ledger.test_records import event
from tests.ledger.test_records import record as of_revision
from tests.ledger.till import AT, Till, charge

pytestmark = pytest.mark.server


@pytest.fixture
async def till(ledger_url: str) -> AsyncIterator[Till]:
    """With one connection only: whoever spoils it is found out by the next call."""
    ledger = await Ledger.open(ledger_url, pool_size=1)
    yield Till(ledger, ledger_url)
    await ledger.aclose()


def record(revision: int) -> Record:
    return of_revision(revision, events=(event(revision),))


def impossible(revision: int) -> Record:
    """Its last statement fails: a subscription has a status."""
    return record(revision).model_copy(update={"status": None})


async def test_a_record_whose_last_statement_fails_writes_nothing_of_it(till: Till) -> None:
    await till.ledger.create_subscription(subscription(), now=AT)

    with pytest.raises(IntegrityError):
        await till.ledger.record(impossible(1))

    assert await till.events() == []
    await till.ledger.record(record(1))
    assert [sequence for sequence, _ in await till.events()] == [1]


async def test_an_admission_whose_record_fails_claims_nothing(till: Till) -> None:
    await till.ledger.create_subscription(subscription(), now=AT)

    with pytest.raises(IntegrityError):
        await till.admit(charge(carry=impossible(1)))

    assert await till.ledger.attempts_of("demo", "sub-1") == []
    assert (await till.admit(charge(carry=record(1)))).claim is not None


async def test_a_transaction_around_several_calls_ends_all_of_them(till: Till) -> None:
    async def failing() -> None:
        async with till.ledger.together():
            await till.ledger.record(record(1))
            assert await till.ledger.attempt("nothing") is None
            raise LookupError

    with pytest.raises(LookupError):
        await failing()

    assert await till.events() == []


async def waiting_for_a_lock(url: str) -> None:
    """Return once somebody waits for a lock in this database."""
    query = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with (
        asyncio.timeout(60),
        await psycopg.AsyncConnection.connect(url, autocommit=True) as watching,
    ):
        while True:
            found = await (await watching.execute(query)).fetchone()
            if found is not None and found[0]:
                return


@pytest.mark.parametrize("is_admission", [True, False], ids=["two round trips", "one round trip"])
async def test_who_is_cancelled_while_it_waits_writes_nothing_and_spoils_no_connection(
    till: Till, *, is_admission: bool
) -> None:
    await till.ledger.record(record(1))
    async with await psycopg.AsyncConnection.connect(till.url) as holding:
        await holding.execute("select * from sequences for update")
        work = till.admit(charge(carry=record(2))) if is_admission else till.ledger.record(record(2))
        waiting = asyncio.ensure_future(work)
        await waiting_for_a_lock(till.url)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await holding.rollback()

    assert [sequence for sequence, _ in await till.events()] == [1]
    await till.ledger.record(record(3))
    assert [sequence for sequence, _ in await till.events()] == [1, 2]


async def test_when_a_connection_dies_one_call_fails_and_all_are_replaced(
    ledger_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dunning.ledger.pooling.IDLE", 3600.0)
    ledger = await Ledger.open(ledger_url, pool_size=3)
    together = asyncio.Barrier(3)

    async def connected() -> None:
        async with ledger.together():
            await together.wait()
            await ledger.attempt("nothing")

    await asyncio.gather(connected(), connected(), connected())
    async with await psycopg.AsyncConnection.connect(ledger_url, autocommit=True) as killer:
        others = "datname = current_database() and pid <> pg_backend_pid()"
        killed = await killer.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where {others}")
        assert len(await killed.fetchall()) == 3

    with pytest.raises(SQLAlchemyError):
        await ledger.record(record(1))
    await asyncio.gather(connected(), connected(), connected())
    await ledger.aclose()
