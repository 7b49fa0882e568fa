"""Purchases at Google Play, lived on the real server: notification, workflow, and what `dunning show` answers.

The customer buys, adds an item and repairs a payment in the sandbox's Google Play, whose purchases have clocks of their
own. Each change is pushed to the gateway as Pub/Sub does it, with a signed token; what it answers to `show` at each
step is held against `preview` and against golden instants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import yaml
from rich.table import Table

from dunning.client import DunningClient
from dunning.demo.golden import instant
from dunning.demo.judging import TOLERANCE
from dunning.domain.base import Value
from dunning.domain.decide import Do
from dunning.domain.preview_purchase import PurchaseMoment
from dunning.domain.script import BUY_ADD_ON, REPAIR_PAYMENT, Script, ScriptedAction
from dunning.domain.terms import Subscription
from dunning.errors import ConfigurationError
from dunning.importing import Entry
from dunning.previewing import foretell
from dunning.standing import Standing, standing_json, standing_of
from dunning.testclock import TestClock

STEPS = 400
EVENTS_SECONDS = 60.0
LOOK_EVERY = 0.1
_HELD = "on_hold"


class Told(Value):
    """What is answered from `at` on: status, the end of access of each item that gives some, and the next change."""

    at: datetime
    status: str
    items: dict[str, datetime]
    next: datetime | None = None


class GoldenPurchase(Value):
    """What a purchase must do, worked out by hand. `charge`: of the add-on, by days of the first period; cents."""

    charge: dict[int, int]
    moments: tuple[dict[str, Any], ...]

    def told(self, anchor: datetime) -> list[Told]:
        """The moments as instants."""
        return [
            Told(
                at=instant(one["at"], anchor),
                status=one["status"],
                items={name: instant(words, anchor) for name, words in one["items"].items()},
                next=instant(one["next"], anchor) if "next" in one else None,
            )
            for one in self.moments
        ]

    def charged(self, anchor: datetime) -> int:
        """What the add-on's first charge must be, in a period that begins at `anchor`."""
        return self.charge[(instant("A+1M", anchor).date() - anchor.date()).days]


class PurchaseStory(Value):
    """One purchase: what was told at each step, and everything that is not as it must be."""

    id: str
    told: tuple[Told, ...]
    notices: tuple[str, ...]
    granted: bool
    events: int
    faults: tuple[str, ...]


class PurchaseLife:
    """The life of one purchase on its test clock."""

    def __init__(
        self,
        dunning: DunningClient,
        places: tuple[httpx.AsyncClient, httpx.AsyncClient],
        given: Subscription,
        script: Script,
        *,
        now: datetime,
    ) -> None:
        self._dunning = dunning
        self._sandbox, self._shop = places
        self._given, self._script, self._now = given, script, now
        self._token = given.adopted_reference or given.id
        self._clock = TestClock(dunning, given.merchant_account, given.id, sandbox=self._sandbox)
        self._told: list[Told] = []

    async def live(self, until: datetime) -> list[Told]:
        """Buy, start, and move on from change to change; returns what `show` answered after each, repeats left out."""
        await self._buy()
        await self._dunning.start(self._given, now=self._now, is_test_clock=True)
        todo = sorted(self._script.do, key=lambda one: one.instant(self._now))
        for _ in range(STEPS):
            found = await self._show()
            following = await self._next_at()
            coming = [t for t in (following, todo[0].instant(self._now) if todo else None) if t is not None]
            if not coming or min(coming) > until or (found.decision is not None and found.decision.do is Do.FINISH):
                return self._told
            at = min(coming)
            await self._clock.move_to(at)
            if todo and todo[0].instant(self._now) == at:
                await self._deed(todo.pop(0), at)
            else:
                await self._post(f"purchases/{self._token}/advance", {"at": at.isoformat()})
        raise RuntimeError(f"{self._given.id}: its life did not end after {STEPS} steps")

    async def entitled(self) -> tuple[bool, bool, int]:
        """Access by the engine and by the backend, which knows signed events alone; and how many events there are."""
        account, own = self._given.merchant_account, self._given.id
        sent = len(await self._dunning.ledger.events_of(account, own))
        for _ in range(int(EVENTS_SECONDS / LOOK_EVERY)):
            if len((await self._shop.get(f"/received/{own}")).raise_for_status().json()) >= sent:
                break
            await asyncio.sleep(LOOK_EVERY)
        said = standing_json(await self._standing())
        kept = await self._shop.get(f"/access/{own}", params={"at": said["business_now"]})
        return said["access"]["granted"], kept.raise_for_status().json()["granted"], sent

    async def charges(self) -> list[int]:
        """What each order of the purchase was to cost, as Google Play has it; minor units."""
        orders = (await self._sandbox.get("/_sandbox/play/orders", params={"token": self._token})).json()["orders"]
        return [int(one["total"]["units"]) * 100 + one["total"]["nanos"] // 10_000_000 for one in orders]

    # --- steps ------------------------------------------------------------------------------------------

    async def _buy(self) -> None:
        package = getattr(self._given.provider_options, "package_name", None) or "example.app"
        base = self._given.base_item
        item = {
            "product_id": base.product_id,
            "price": base.unit_amount * base.quantity,
            "is_base": True,
            "grace_days": base.grace_days or 0,
            "hold_days": base.hold_days or 0,
        }
        body = {"token": self._token, "package": package, "at": self._now.isoformat(), "items": [item]}
        await self._post("purchases", {**body, "currency": self._given.currency, "script": list(self._script.outcomes)})

    async def _deed(self, action: ScriptedAction, at: datetime) -> None:
        moment = {"at": at.isoformat()}
        if action.action == BUY_ADD_ON:
            item = {name: value for name, value in action.with_.items() if name != "unit_amount"}
            item["price"] = action.with_["unit_amount"]
            await self._post(f"purchases/{self._token}/items", {**moment, "item": item})
        elif action.action == REPAIR_PAYMENT:
            await self._post(f"purchases/{self._token}/deeds", {**moment, "deed": "repair"})
        else:
            raise RuntimeError(f"{self._given.id}: the demo knows no {action.action} of a purchase")

    async def _show(self) -> Standing:
        """What `dunning show` says, once everything that was pushed has been heard and read."""
        answer = await self._sandbox.get("/_sandbox/quiet", params={"subscription": self._token, "wait": 60})
        if not answer.raise_for_status().json()["quiet"]:
            raise RuntimeError(f"{self._given.id}: a notification of Google Play's does not arrive")
        await self._clock.until_quiet()
        found = await self._standing()
        said = standing_json(found)
        told = Told(
            at=found.now,
            status=said["status"],
            items={
                one["product_id"]: datetime.fromisoformat(one["until"])
                for one in said["access"]["items"]
                if one["granted"]
            },
            next=min(found.state.plan.next_due, default=None) if found.state.plan is not None else None,
        )
        if not self._told or told.but(at=self._told[-1].at, next=self._told[-1].next) != self._told[-1]:
            self._told.append(told)
        return found

    async def _standing(self) -> Standing:
        ledger = self._dunning.ledger
        stored = await ledger.read_subscription(self._given.merchant_account, self._given.id)
        return await standing_of(self._dunning, stored)

    async def _next_at(self) -> datetime | None:
        found = (await self._sandbox.get(f"/_sandbox/play/purchases/{self._token}")).raise_for_status().json()
        return datetime.fromisoformat(found["next_at"]) if found["next_at"] else None

    async def _post(self, path: str, body: Mapping[str, Any]) -> None:
        answer = await self._sandbox.post(f"/_sandbox/play/{path}", json=body)
        if not answer.is_success:
            raise RuntimeError(f"{self._given.id}: Google Play's sandbox: {answer.status_code} {answer.text}")


# --- judging ---------------------------------------------------------------------------------------------


def differences(
    lived: Sequence[Told], foretold: Sequence[PurchaseMoment], golden: GoldenPurchase, anchor: datetime
) -> list[str]:
    """Everything that was not answered as `preview` foretold and as the golden instants have it; empty: a pass."""
    wanted = golden.told(anchor)
    ahead = [
        Told(
            at=one.at,
            status=one.status,
            items={item.product_id: item.until for item in one.items if item.until is not None},
            next=one.next_at,
        )
        for one in foretold
        if one.at <= wanted[-1].at
    ]
    return [*_compared("golden", wanted, lived), *_compared("preview", ahead, lived)]


def _compared(name: str, wanted: Sequence[Told], lived: Sequence[Told]) -> list[str]:
    if len(wanted) != len(lived):
        days = ", ".join(f"{one.at:%m-%d}" for one in lived)
        return [f"{name}: wanted {len(wanted)} moments, there were {len(lived)}: {days}"]
    return [
        f"{name}: wanted {_words(want)}, was {_words(was)}"
        for place, (want, was) in enumerate(zip(wanted, lived, strict=True))
        if not _is_same(want, was, is_first=place == 0)
    ]


def _is_same(want: Told, was: Told, *, is_first: bool) -> bool:
    """Expiries are equal to the second; a moment is heard of within two minutes. On hold Play tells of no end.

    The first moment is asked for when the stack is up, which takes what it takes.
    """
    is_in_time = is_first or timedelta(0) <= was.at - want.at <= TOLERANCE
    is_next = want.status == _HELD or want.next == was.next
    return is_in_time and is_next and (want.status, want.items) == (was.status, was.items)


def _words(one: Told) -> str:
    items = ", ".join(f"{name} to {until:%Y-%m-%dT%H:%M:%SZ}" for name, until in sorted(one.items.items()))
    return f"{one.at:%Y-%m-%dT%H:%M:%SZ} {one.status} ({items or 'no access'})"


# --- all of them -----------------------------------------------------------------------------------------


class Purchases(NamedTuple):
    """The purchases of a demo, and their golden instants."""

    entries: list[Entry]
    golden: dict[str, GoldenPurchase]


def chosen(entries: Sequence[Entry], golden_file: Path, only: set[str]) -> Purchases:
    """Those that are to be lived; `only`: ids, empty for all.

    Raises:
        ConfigurationError: an entry is faulty, or has no golden instants.
    """
    content = yaml.safe_load(golden_file.read_text(encoding="utf-8"))
    golden = {name: GoldenPurchase.model_validate(entry) for name, entry in content.items()}
    found = [one for one in entries if not only or str(one.document.get("id")) in only]
    for one in found:
        name = str(one.document.get("id"))
        if one.faults or name not in golden:
            raise ConfigurationError(f"{name}: {'; '.join(map(str, one.faults)) or 'has no golden instants'}")
    return Purchases(found, golden)


async def live_purchases(
    purchases: Purchases,
    dunning: DunningClient,
    places: tuple[httpx.AsyncClient, httpx.AsyncClient],
    now: datetime,
) -> list[PurchaseStory]:
    """Live them all at the same time; `places`: the sandbox and the product backend."""

    async def one(entry: Entry) -> PurchaseStory:
        given, script = entry.subscription, entry.script or Script()
        if given is None:
            raise RuntimeError("entries with faults do not get here")
        wanted = purchases.golden[given.id]
        life = PurchaseLife(dunning, places, given, script, now=now)
        told = await life.live(wanted.told(now)[-1].at)
        foretold = foretell(given, script, created_at=now, until=wanted.told(now)[-1].at, cycles=STEPS)
        faults = differences(told, foretold.purchase, wanted, now)
        engine, backend, events = await life.entitled()
        charges = await life.charges()
        if wanted.charged(now) not in charges:
            faults.append(f"golden: the add-on's charge: wanted {wanted.charged(now)}, the orders were {charges}")
        if engine is not backend:
            faults.append(f"access at the end: engine {engine}, backend {backend}")
        notices = await dunning.ledger.notices_of(given.merchant_account, given.id)
        said = tuple(f"{n.occasion} ({n.channel.lower()})" for n in notices)
        return PurchaseStory(
            id=given.id, told=tuple(told), notices=said, granted=engine, events=events, faults=tuple(faults)
        )

    return list(await asyncio.gather(*(one(entry) for entry in purchases.entries)))


def table_of(stories: Sequence[PurchaseStory]) -> Table:
    """What `show` answered, step by step."""
    table = Table(title="What the purchases at Google Play gave", show_lines=True)
    for column in ("purchase", "from (UTC)", "status", "access item by item, to (UTC)", "notices planned"):
        table.add_column(column, overflow="fold")
    for story in stories:
        for place, one in enumerate(story.told):
            items = "\n".join(f"{name}: {until:%Y-%m-%d %H:%M}" for name, until in sorted(one.items.items()))
            is_first = place == 0
            status = f"[red]{one.status}[/red]" if story.faults and is_first else one.status
            table.add_row(
                story.id if is_first else "", f"{one.at:%Y-%m-%d %H:%M}", status, items or "none",
                "\n".join(story.notices) if is_first else "",
            )  # fmt: skip
    return table
