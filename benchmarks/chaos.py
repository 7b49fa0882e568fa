"""Chaos: faults on a fifth of the provider's requests, workers killed and stopped, and the same money. SPEC 19.

A portfolio drawn from a seed goes twice through its ladders on a development server with test clocks, with the real
ledger, the sandbox over HTTP and several worker processes: once in peace, once with faults, kills and stops. The two
runs are held against each other, subscription by subscription.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.chaos_herd import Struck, blows, open_herd
from benchmarks.chaos_judge import Life, differences
from benchmarks.chaos_portfolio import CYCLES, Member, faults, portfolio
from benchmarks.rows import Row
from benchmarks.stage import Stage, open_stage
from dunning.demo.living import Lived, Living

SUBSCRIPTIONS, KILLS, STOPS = 40, 20, 5
QUICK_SUBSCRIPTIONS, QUICK_KILLS, QUICK_STOPS = 6, 4, 1
AT_ONCE = 12
PATIENCE = 300.0
"""Seconds that a subscription may be busy at one instant: it may lose its worker several times."""
LEAD = timedelta(hours=6)
"""Both runs begin before the first cycle of the portfolio is due."""


class Chaos:
    """The two runs of one portfolio on one stage."""

    def __init__(self, stage: Stage, engine: AsyncEngine, seed: int, size: int) -> None:
        self._stage, self._engine, self._seed = stage, engine, seed
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.members = portfolio(seed, size, self.now + LEAD)

    async def in_peace(self) -> list[Life]:
        """No fault, nobody killed."""
        async with open_herd(self._stage):
            return await self._live_all("calm")

    async def in_chaos(self, planned: int, kills: int, stops: int) -> tuple[list[Life], Struck, list[str]]:
        """Faults, kills and stops; `planned` is how many attempts the run makes at least."""
        (await self._stage.sandbox.delete("/_sandbox/faults")).raise_for_status()
        for member in self.members:
            body = faults(self._seed, member, f"chaos-{member.number:03d}")
            (await self._stage.sandbox.post("/_sandbox/faults", json=body)).raise_for_status()
        webhooks = {"webhooks": {"mode": "lose", "every": 2}}
        (await self._stage.sandbox.post("/_sandbox/configure", json=webhooks)).raise_for_status()
        async with open_herd(self._stage) as herd:
            moments = blows(self._seed, kills, stops, planned)
            draw = random.Random(f"{self._seed}/victims")
            striking = asyncio.create_task(herd.strike(moments, draw, self._attempts_made, self._holders))
            living = asyncio.create_task(self._live_all("chaos"))
            try:
                # Whichever fails first ends the other: without workers nothing would ever end.
                struck, lives = await asyncio.gather(striking, living)
            finally:
                striking.cancel()
                living.cancel()
            wrong = [f"a worker ended by itself with {code}" for code in herd.ended_by_themselves()]
            return lives, struck, wrong + herd.complaints()

    async def _live_all(self, run: str) -> list[Life]:
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(member: Member) -> Life:
            async with slots:
                return await self._live(member, run)

        return list(await asyncio.gather(*(one(member) for member in self.members)))

    async def _live(self, member: Member, run: str) -> Life:
        given = member.named(run)
        living = Living(
            self._stage.dunning,
            self._stage.sandbox,
            given,
            member.script,
            now=self.now,
            cycles=CYCLES,
            on_step=lambda _: None,
            patience=PATIENCE,
        )
        lived: Lived = await living.live()
        rows = await self._stage.dunning.ledger.events_of(given.merchant_account, given.id)
        events = tuple({"type": r["type"], "cycle": r["data"].get("cycle")} for r in rows)
        return Life(lived=lived, events=events)

    async def _attempts_made(self) -> int:
        return await self._count("subscription LIKE 'chaos-%'")

    async def _holders(self) -> set[int]:
        """Process ids of workers that have a charge in hand."""
        live = "settled_at IS NULL AND status IN ('started', 'sent') AND lease_until > clock_timestamp()"
        async with self._engine.connect() as connection:
            found = await connection.execute(text(f"SELECT owner FROM attempts WHERE {live}"))
            return {int(row.owner.partition("/")[0]) for row in found}

    async def _count(self, condition: str) -> int:
        async with self._engine.connect() as connection:
            found = await connection.execute(text(f"SELECT count(*) FROM attempts WHERE {condition}"))
            return int(found.scalar_one())


async def play(seed: int, size: int, kills: int, stops: int) -> tuple[list[str], str]:
    """Both runs; every difference, and what the second one went through in a line."""
    async with open_stage(["temporal", "migrate", "sandbox", "gateway"]) as stage:
        engine = create_async_engine(
            stage.stack.env["DUNNING_LEDGER_URL"].replace("postgresql:", "postgresql+psycopg:")
        )
        try:
            chaos = Chaos(stage, engine, seed, size)
            began = time.monotonic()
            calm = await chaos.in_peace()
            print(f"     in peace: {_said(calm)}, {time.monotonic() - began:.0f} s", flush=True)
            began = time.monotonic()
            planned = sum(len(life.lived.attempts) for life in calm)
            lives, struck, wrong = await chaos.in_chaos(planned, kills, stops)
            print(f"     in chaos: {_said(lives)}, {time.monotonic() - began:.0f} s", flush=True)
            found = [f"{m.number:03d}: {d}" for m, a, b in zip(chaos.members, calm, lives, strict=True)
                     for d in differences(m, a, b)]  # fmt: skip
            found += wrong + _missing(struck, kills, stops)
            return found, f"{_met(struck)}; {await _faulted(stage.sandbox)}"
        finally:
            await engine.dispose()


def _missing(struck: Struck, kills: int, stops: int) -> list[str]:
    dealt = (struck.kills, struck.stops)
    return [] if dealt == (kills, stops) else [f"{dealt} kills and stops were dealt, not {(kills, stops)}"]


def _met(struck: Struck) -> str:
    return f"{struck.kills} SIGKILLs and {struck.stops} SIGSTOPs, {struck.with_a_charge} with a charge in hand"


async def _faulted(sandbox: httpx.AsyncClient) -> str:
    told = (await sandbox.get("/_sandbox/faults")).json()
    asked, struck = sum(told["requests"].values()), sum(told["befallen"].values())
    kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(told["befallen"].items()))
    return f"{struck} of {asked} requests faulted ({kinds})"


def _said(lives: Sequence[Life]) -> str:
    attempts = [row for life in lives for row in life.lived.attempts]
    absent = sum(1 for row in attempts if row.outcome is not None and row.outcome.kind.value == "absent")
    cycles = sum(len(life.cycles) for life in lives)
    return f"{len(lives)} subscriptions, {cycles} cycles, {len(attempts)} attempts, {absent} closed as absent"


def run(
    *, is_quick: bool = False, seed: int | None = None, subscriptions: int | None = None, kills: int | None = None
) -> list[Row]:
    """Play it; the row fails with any difference, and says the seed and what differed."""
    seed = secrets.randbelow(10**6) if seed is None else seed
    size, deaths, stops = (QUICK_SUBSCRIPTIONS, QUICK_KILLS, QUICK_STOPS) if is_quick else (SUBSCRIPTIONS, KILLS, STOPS)
    size = subscriptions or size
    deaths = deaths if kills is None else kills
    print(f"     chaos: --seed {seed} --subscriptions {size} --kills {deaths}", flush=True)
    found, met = asyncio.run(play(seed, size, deaths, stops))
    print(f"     {met}", flush=True)
    for difference in found:
        print(f"     seed {seed}: {difference}", flush=True)
    return [Row("chaos: differences from the run without faults", len(found), "", at_most=0, aim=f"seed {seed}")]
