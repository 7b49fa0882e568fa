"""Xendit's recurring plans: made once, read, changed, ended. Source: the contract sheet, A2.2 to A4. SPEC 12.

Xendit lists no plans and documents no key that makes a creation safe to repeat. So a creation with payment tokens, of
which the answer never came, is not made again: the plan's own message tells whether it exists. Without a token a plan
waits for a customer who never saw its link, so a second one harms nobody.
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

from dunning.domain.plan_rules import PLAN_RULES, PlanRules
from dunning.domain.plans import (
    CancelCycle,
    ChangeTerms,
    ForceAttempt,
    MoveNext,
    PlanChange,
    PlanStatus,
    ReplaceMethod,
)
from dunning.domain.terms import Terms
from dunning.providers.base import ProviderRefused, ProviderUnavailable
from dunning.providers.following import Plan, PlanRequest, PlanUnclear
from dunning.providers.http import Reply
from dunning.providers.xendit_client import (
    LEGACY_PLANS_VERSION,
    PLANS_VERSION,
    XenditClient,
    read,
    refused_or_unsent,
    required,
    validated,
)
from dunning.providers.xendit_customers import customer_of
from dunning.providers.xendit_plan_requests import changes_body, legacy_body, moved_schedule, plan_body, plan_options
from dunning.providers.xendit_plan_wire import LEGACY_PREFIX, WireCycle, WirePlan, plan_of
from dunning.providers.xendit_requests import derived, major, wire_instant
from dunning.providers.xendit_wire import Wire, WirePayment, WireToken

PAGE_SIZE = 100
MAX_PAGES = 50
ENOUGH_CLOSED = 12
"""Cycles come newest first: after so many that are over, older ones hold nothing new."""
FRESH = 3
"""The payments of so many of the latest cycles are read: their ids, and what the card network advised."""
_GONE = "DATA_NOT_FOUND"


class _Cycles(Wire):
    data: list[dict[str, object]]
    has_more: bool = False


class XenditPlans:
    """The part of Xendit's adapter that makes and follows plans."""

    def __init__(self, client: XenditClient) -> None:
        self._client = client

    @property
    def plan_rules(self) -> PlanRules:
        """What its plans can do, as data."""
        return PLAN_RULES["xendit"]

    async def create_plan(self, request: PlanRequest) -> Plan:
        """Make the plan, once, by the contract that the options name."""
        terms = request.terms
        is_legacy = plan_options(terms).legacy_plan
        customer = await self._payer(request)
        body = legacy_body(request, customer) if is_legacy else plan_body(request, customer)
        version = LEGACY_PLANS_VERSION if is_legacy else PLANS_VERSION
        tries = () if request.method_tokens else (wire_instant(request.business_at),)
        key = derived(request.account, request.reference, *tries)
        reply = await self._client.plans(
            "POST", "", request.business_at, version=version, body=body, idempotency_key=key
        )
        if not reply.is_ok:
            refused_or_unsent(reply)
            if not request.method_tokens:
                raise ProviderUnavailable(f"{reply.because}: nobody ever saw the link that was perhaps made")
            raise PlanUnclear(f"a plan was asked for, and {reply.because}")
        try:
            wire = read(WirePlan, reply)
        except ProviderUnavailable as failure:
            raise PlanUnclear(str(failure)) from None
        plan_id = f"{LEGACY_PREFIX}{wire.id}" if is_legacy else wire.id
        return _translated(wire, plan_id, [], {})

    async def find_plans(self, request: PlanRequest, *, since: datetime) -> tuple[Plan, ...]:
        """What an unclear creation made: Xendit lists no plans, so only the plan's own message can tell.

        Raises:
            ProviderUnavailable: a plan with payment tokens may exist.
        """
        if not request.was_unclear or not request.method_tokens:
            return ()
        raise ProviderUnavailable("Xendit lists no plans: if this one exists, its own message tells; else adopt it")

    async def read_plan(self, plan_id: str, *, business_at: datetime) -> Plan:
        """The plan, its cycles and what became of their latest payments. One that is gone is read as ended."""
        try:
            wire = await self._plan(plan_id, business_at)
        except ProviderRefused as refused:
            if refused.code != _GONE:
                raise
            return Plan(plan_id=plan_id, status=PlanStatus.ENDED, because="Xendit knows no such plan")
        cycles = await self._cycles(plan_id, business_at)
        return _translated(wire, plan_id, cycles, await self._payments(cycles, business_at))

    async def end_plan(self, plan_id: str, *, business_at: datetime, reason: str) -> Plan:
        """Deactivate it for good and read it back; already inactive is success."""
        found = await self.read_plan(plan_id, business_at=business_at)
        if found.status is PlanStatus.ENDED:
            return found
        path = f"/{_part(plan_id)}/deactivate"
        reply = await self._client.plans("POST", path, business_at, version=_version(plan_id), body={})
        found = await self.read_plan(plan_id, business_at=business_at)
        if found.status is not PlanStatus.ENDED:
            _required(reply)
        return found

    async def change_plan(self, plan_id: str, change: PlanChange, *, business_at: datetime) -> Plan:
        """Make one change and read the plan back. All but a forced attempt may safely be made again."""
        if isinstance(change, ForceAttempt):
            await self._force(plan_id, change.cycle_id, business_at)
        elif isinstance(change, CancelCycle):
            await self._cancel(plan_id, change, business_at)
        elif isinstance(change, MoveNext):
            await self._move(plan_id, change.to, business_at)
        elif isinstance(change, ReplaceMethod):
            await self._replace(plan_id, change.token, business_at)
        elif isinstance(change, ChangeTerms):
            await self._change(plan_id, change.terms, business_at)
        return await self.read_plan(plan_id, business_at=business_at)

    # --- changes -------------------------------------------------------------------------------------

    async def _force(self, plan_id: str, cycle_id: str, at: datetime) -> None:
        """Charge now. A request whose answer is lost is looked at before anybody may ask again."""
        before = await self._cycle(plan_id, cycle_id, at)
        path = f"/{_part(plan_id)}/cycles/{quote(cycle_id, safe='')}/force_attempt"
        reply = await self._client.plans("POST", path, at, version=_version(plan_id), body={})
        if reply.is_ok:
            return
        refused = _refusal(reply)
        if refused is None:
            refused_or_unsent(reply)
        try:
            after = await self._cycle(plan_id, cycle_id, at)
        except (ProviderUnavailable, ProviderRefused):
            raise PlanUnclear(f"a charge was asked for, and {reply.because}") from None
        is_done = after.status in ("SUCCEEDED", "PENDING") or after.forced_attempt_count > before.forced_attempt_count
        if is_done:
            return
        if refused is not None:
            raise refused
        raise PlanUnclear(f"a charge was asked for, and {reply.because}")

    async def _cancel(self, plan_id: str, change: CancelCycle, at: datetime) -> None:
        cycle = await self._scheduled(plan_id, change, at)
        if cycle is None:
            return  # canceled already: the plan that is read back tells so
        path = f"/{_part(plan_id)}/cycles/{quote(cycle.id, safe='')}/cancel"
        _required(await self._client.plans("POST", path, at, version=_version(plan_id), body={}))

    async def _move(self, plan_id: str, to: datetime, at: datetime) -> None:
        """The scheduled cycle first: where its day has begun nothing moves at all."""
        schedule = moved_schedule(await self._plan(plan_id, at), to)
        cycle = await self._next_cycle(plan_id, at)
        if cycle is not None and cycle.scheduled_timestamp != to:
            await self._edit(plan_id, cycle, {"scheduled_timestamp": wire_instant(to)}, at)
        await self._patch(plan_id, {"schedule": schedule}, at)

    async def _replace(self, plan_id: str, token: str, at: datetime) -> None:
        is_legacy = plan_id.startswith(LEGACY_PREFIX)
        name, field = ("payment_methods", "payment_method_id") if is_legacy else ("payment_tokens", "payment_token_id")
        await self._patch(plan_id, {name: [{field: token, "rank": 1}]}, at)

    async def _change(self, plan_id: str, terms: Terms, at: datetime) -> None:
        """From the next cycle on. That one is scheduled already, and takes its amount by itself."""
        body = changes_body(await self._plan(plan_id, at), terms)
        amount = major(terms.amount, terms.currency)
        cycle = await self._next_cycle(plan_id, at)
        if cycle is not None and float(cycle.amount) != float(amount):
            await self._edit(plan_id, cycle, {"amount": amount, "currency": terms.currency}, at)
        if body:
            await self._patch(plan_id, body, at)

    async def _edit(self, plan_id: str, cycle: WireCycle, body: dict[str, object], at: datetime) -> None:
        path = f"/{_part(plan_id)}/cycles/{quote(cycle.id, safe='')}"
        try:
            _required(await self._client.plans("PATCH", path, at, version=_version(plan_id), body=body))
        except ProviderRefused as refused:
            if refused.code != "INELIGIBLE_CYCLE_REQUEST":
                raise
            because = "the day of the next cycle has begun at Xendit; ask again when it is collected"
            raise ProviderRefused(refused.code, because) from None

    async def _patch(self, plan_id: str, body: dict[str, object], at: datetime) -> None:
        _required(await self._client.plans("PATCH", f"/{_part(plan_id)}", at, version=_version(plan_id), body=body))

    # --- reading -------------------------------------------------------------------------------------

    async def _plan(self, plan_id: str, at: datetime) -> WirePlan:
        return read(
            WirePlan, required(await self._client.plans("GET", f"/{_part(plan_id)}", at, version=_version(plan_id)))
        )

    async def _cycle(self, plan_id: str, cycle_id: str, at: datetime) -> WireCycle:
        path = f"/{_part(plan_id)}/cycles/{quote(cycle_id, safe='')}"
        return read(WireCycle, required(await self._client.plans("GET", path, at, version=_version(plan_id))))

    async def _cycles(self, plan_id: str, at: datetime) -> list[WireCycle]:
        """The cycles that can hold something new. The list must come to its end, or to cycles that are long over."""
        found: list[WireCycle] = []
        asked = {"limit": str(PAGE_SIZE)}
        for _ in range(MAX_PAGES):
            path, version = f"/{_part(plan_id)}/cycles", _version(plan_id)
            page = read(_Cycles, required(await self._client.plans("GET", path, at, version=version, query=asked)))
            found += [validated(WireCycle, row) for row in page.data]
            if not page.has_more or _is_long_over(found):
                return found
            if not page.data:
                break
            asked["after_id"] = found[-1].id
        raise ProviderUnavailable(f"the cycles of {plan_id} did not end")

    async def _next_cycle(self, plan_id: str, at: datetime) -> WireCycle | None:
        ahead = [one for one in await self._cycles(plan_id, at) if one.status == "SCHEDULED"]
        return min(ahead, key=lambda one: one.scheduled_timestamp or at, default=None)

    async def _scheduled(self, plan_id: str, change: CancelCycle, at: datetime) -> WireCycle | None:
        """The cycle that is to be left out; None when it is canceled. Raises `ProviderRefused` when it has begun."""
        wanted = [
            one
            for one in await self._cycles(plan_id, at)
            if one.id == change.cycle_id or (not change.cycle_id and one.scheduled_timestamp == change.due_at)
        ]
        if any(one.status == "CANCELLED" for one in wanted):
            return None
        found = next((one for one in wanted if one.status == "SCHEDULED"), None)
        if found is None:
            raise ProviderRefused("INELIGIBLE_CYCLE_REQUEST", "no scheduled cycle is due then: it has begun, or moved")
        return found

    async def _payments(self, cycles: list[WireCycle], at: datetime) -> dict[str, WirePayment]:
        """The payments of the latest cycles: a refund needs their request's id, a decline the network's advice."""
        latest = sorted(cycles, key=lambda one: one.cycle_number or 0)[-FRESH:]
        names = [one.payment for cycle in latest for one in cycle.actions if one.payment.startswith("py-")]
        found: dict[str, WirePayment] = {}
        for name in names:
            reply = await self._client.get(f"/v3/payments/{quote(name, safe='')}", at)
            try:
                found[name] = read(WirePayment, required(reply))
            except ProviderRefused:
                continue  # what the cycle itself tells counts
        return found

    async def _payer(self, request: PlanRequest) -> str:
        """Whose plan it is: whoever the tokens belong to, or the customer that the options or contacts name."""
        named = plan_options(request.terms).customer_id
        if named is not None:
            return named
        if request.method_tokens and not plan_options(request.terms).legacy_plan:
            path = f"/v3/payment_tokens/{quote(request.method_tokens[0], safe='')}"
            token = read(WireToken, required(await self._client.get(path)))
            if token.customer_id:
                return token.customer_id
        return await customer_of(self._client, request.account, request.contacts)


def _translated(wire: WirePlan, plan_id: str, cycles: list[WireCycle], payments: dict[str, WirePayment]) -> Plan:
    try:
        return plan_of(wire, plan_id, cycles, payments, otherwise=datetime.now(UTC))
    except ValueError:
        raise ProviderUnavailable("the plan cannot be read: an odd amount") from None


def _is_long_over(found: list[WireCycle]) -> bool:
    """Whether older cycles can be left unread; only where the list surely runs from new to old."""
    numbers = [one.cycle_number or 0 for one in found]
    is_newest_first = numbers == sorted(numbers, reverse=True)
    return is_newest_first and len(found) >= ENOUGH_CLOSED and all(one.is_closed for one in found[-ENOUGH_CLOSED:])


def _version(plan_id: str) -> str:
    return LEGACY_PLANS_VERSION if plan_id.startswith(LEGACY_PREFIX) else PLANS_VERSION


def _part(plan_id: str) -> str:
    """A plan's id as a part of a path, without our mark."""
    return quote(plan_id.removeprefix(LEGACY_PREFIX), safe="") or "-"


def _refusal(reply: Reply) -> ProviderRefused | None:
    """The refusal in an answer, if it surely is one."""
    try:
        refused_or_unsent(reply)
    except ProviderRefused as refused:
        return refused
    except ProviderUnavailable:
        return None
    return None


def _required(reply: Reply) -> None:
    """Raises what an answer that is not good amounts to: refused, surely not sent, or unclear."""
    if not reply.is_ok:
        refused_or_unsent(reply)
        raise PlanUnclear(f"a change was asked for, and {reply.because}")
