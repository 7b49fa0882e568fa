"""Every event of SPEC 10 has a schema and an example, and access in an event is the engine's own word."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from dunning.domain.access import access, told_access
from dunning.domain.beginning import new_state
from dunning.domain.event_catalogue import CATALOGUE, TEST_EVENT, check_event, example_of, known_types, schema_of
from dunning.domain.messages import EventType
from dunning.domain.state import State
from dunning.domain.step import Applied, Step
from tests.builders import at, live, subscription

SPECIFIED = {
    *(f"recurring.plan.{name}" for name in ("activated", "inactivated")),
    *(f"recurring.cycle.{name}" for name in ("created", "succeeded", "retrying", "failed")),
    *(f"payment.{name}" for name in ("succeeded", "failed")),
    *(f"subscription.price_change_{name}" for name in ("pending", "confirmed", "applied")),
    *(
        f"subscription.{name}"
        for name in (
            "active", "failed", "on_hold", "paused", "resumed", "canceled", "restored", "deferred", "revoked",
            "refunded", "items_changed", "payment_method_required", "ended", "attention",
        )
    ),
}  # fmt: skip


def test_every_name_of_the_specification_is_in_the_catalogue_and_no_other() -> None:
    assert {kind.value for kind in CATALOGUE} == SPECIFIED == {one.value for one in EventType}
    assert known_types() == [*(kind.value for kind in CATALOGUE), TEST_EVENT]


@pytest.mark.parametrize("name", known_types())
def test_every_example_is_what_its_schema_says(name: str) -> None:
    schema = schema_of(name)
    judge = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    judge.check_schema(schema)
    judge.validate(example_of(name))
    if name != TEST_EVENT:
        check_event(name, example_of(name)["data"])


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("recurring.cycle.retrying", {"next_attempt_at": None}),
        ("recurring.cycle.created", {"amount": "much"}),
        ("payment.failed", {"decline_class": "WEAK"}),
        ("subscription.paused", {"access": {"granted": True}}),
        ("subscription.refunded", {"by": "chance"}),
        ("subscription.refunded", {"amount": -1}),
        ("subscription.revoked", {"because": None}),
        ("subscription.items_changed", {"items": [{"product_id": "pro"}]}),
        ("subscription.price_change_pending", {"state": "perhaps"}),
        ("subscription.price_change_applied", {"items": [{"product_id": "pro", "new_amount": 1}]}),
    ],
)
def test_content_of_another_form_is_found_out_by_schema_and_model(name: str, changes: dict[str, Any]) -> None:
    event = example_of(name)
    event["data"] = {**event["data"], **changes}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(event, schema_of(name))
    with pytest.raises(ValidationError):
        check_event(name, event["data"])


@pytest.mark.parametrize("name", [name for name in known_types() if name != TEST_EVENT])
def test_readers_may_meet_new_fields_but_we_send_none_that_are_not_described(name: str) -> None:
    event = example_of(name)
    event["data"]["new"] = 1
    jsonschema.validate(event, schema_of(name))
    with pytest.raises(ValidationError):
        check_event(name, event["data"])


# --- access -----------------------------------------------------------------------------------------


ON_ITS_WAY = timedelta(minutes=1)
"""While a charge at the last moment of a window is on its way, the engine's word changes before its event."""


class Ears:
    """A backend that hears the machine's events, and the states that they were told in."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.told: dict[str, Any] = {"granted": False, "until": None}
        self.before: State | None = None
        self.compared: list[tuple[str, bool]] = []
        self.wrong: list[str] = []
        done = Step.done

        def heard(step: Step) -> Applied:
            self.compare(step.now)
            applied = done(step)
            for event in applied.events:
                self.told = event.data.get("access") or self.told
            self.before = applied.state
            return applied

        patch.setattr(Step, "done", heard)

    def compare(self, now: datetime) -> None:
        """A second before the next thing happens, and halfway to it, both sides say the same."""
        if self.before is None or now - self.before.latest < ON_ITS_WAY:
            return
        since = self.before.latest
        for at_ in (since + (now - since) / 2, max(since, now - timedelta(seconds=1))):
            engine = access(self.before, at_).is_granted
            until = self.told["until"]
            backend = self.told["granted"] and (until is None or at_ < datetime.fromisoformat(until))
            self.compared.append((self.before.status.value, engine))
            if engine is not backend:
                self.wrong.append(f"{self.before.status.value} at {at_}: engine {engine}, backend {backend}")


TRIAL = {"anchor_at": "2026-03-20T13:10:00+00:00", "interval": "MONTH", "trial_ends_at": "2026-03-20T13:10:00+00:00"}
SHORT_TRIAL = {**TRIAL, "trial_ends_at": "2026-03-08T13:10:00+00:00"}
LINK: dict[str, Any] = {"payment_methods": [], "provider_options": {"country": "ID", "product_id": "p"}}
LIVES: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "paid": (("SUCCEEDED",), {}),
    "stopped": (("INSUFFICIENT_FUNDS",) * 4, {}),
    "went on": (("INSUFFICIENT_FUNDS",) * 4, {"failed_cycle_action": "RESUME", "cycles": 3}),
    "grace, hold, recovered": (("INSUFFICIENT_FUNDS",) * 2, {"grace_days": 3, "hold_days": 30, "cycles": 2}),
    "grace, hold, stopped": (("INSUFFICIENT_FUNDS",) * 9, {"grace_days": 3, "hold_days": 20}),
    "hard": (("STOLEN_CARD",), {}),
    "pending": (("INSUFFICIENT_FUNDS", "PENDING/30h/SUCCEEDED"), {"cycles": 2}),
    "trial": (("SUCCEEDED",), {"schedule": TRIAL, "cycles": 2}),
    "trial, then declined": (("INSUFFICIENT_FUNDS",) * 4, {"schedule": TRIAL}),
    "trial, authorised on its third day": (("SUCCEEDED",), {**LINK, "schedule": TRIAL, "mandate_after": "72h",
                                                             "cycles": 2}),
    "trial, never authorised": ((), {**LINK, "schedule": TRIAL, "mandate": "never"}),
    "trial, authorised by nobody in time": ((), {**LINK, "schedule": SHORT_TRIAL, "mandate": "never"}),
    "trial, authorisation refused": ((), {**LINK, "schedule": TRIAL, "mandate": "fail", "mandate_after": "72h"}),
    "trial, paid at its end": (("SUCCEEDED",), {**LINK, "schedule": TRIAL, "immediate_action": "FULL_AMOUNT",
                                               "mandate_after": "72h", "cycles": 2}),
    "trial, not paid at its end": (("INSUFFICIENT_FUNDS",), {"schedule": TRIAL, "immediate_action": "FULL_AMOUNT"}),
    "trial, canceled in it": ((), {**LINK, "schedule": TRIAL, "mandate": "never",
                                   "do": [{"at": "+3d", "action": "cancel"}]}),
    "three cycles": (("SUCCEEDED",), {"schedule": {**TRIAL, "total_cycles": 3}, "cycles": 4}),
    "canceled": (("SUCCEEDED",), {"do": [{"at": "+10d", "action": "cancel",
                                          "with": {"type": "USER_REQUESTED_STOP_RENEWALS"}}], "cycles": 3}),
    "paused": (("SUCCEEDED",), {"do": [{"at": "+10d", "action": "pause"}, {"at": "+70d", "action": "resume"}],
                                "cycles": 4}),
    "deferred": (("SUCCEEDED",), {"do": [{"at": "+10d", "action": "defer", "with": {"days": 9}}], "cycles": 2}),
    "canceled while past due": (("INSUFFICIENT_FUNDS",) * 4, {"do": [{"at": "+7d", "action": "cancel"}]}),
    "never authorised": ((), {**LINK, "mandate": "never"}),
}  # fmt: skip


@pytest.mark.parametrize("name", LIVES)
def test_between_any_two_steps_the_backend_that_heard_the_events_grants_what_the_engine_grants(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes, changes = LIVES[name]
    ears = Ears(monkeypatch)
    live(*outcomes, **changes)
    assert ears.wrong == []
    assert len(ears.compared) >= 2


def test_these_lives_pass_through_every_kind_of_access(monkeypatch: pytest.MonkeyPatch) -> None:
    ears = Ears(monkeypatch)
    for outcomes, changes in LIVES.values():
        ears.before, ears.told = None, {"granted": False, "until": None}
        live(*outcomes, **changes)
    assert {("active", True), ("past_due", True), ("on_hold", False), ("canceled", True), ("paused", True),
            ("paused", False), ("requires_action", False), ("requires_action", True),
            ("activating", True)} <= set(ears.compared)  # fmt: skip


def test_a_trial_gives_access_before_the_authorisation_and_the_first_event_says_so_and_until_when() -> None:
    applied = new_state(
        account="demo", subscription="s", generation=1, created_at=at("2026-03-05T13:10"),
        terms=subscription(**LINK, schedule=TRIAL).terms(),
    )  # fmt: skip
    [event] = applied.events
    assert (applied.state.status.value, event.type) == ("requires_action", EventType.ACTIVE)
    check_event(event.type.value, event.data)
    assert event.data["access"] == {
        "granted": True, "until": "2026-03-20T13:10:00+00:00", "reason": "the trial is not over",
    }  # fmt: skip


def test_without_a_trial_nothing_is_given_before_the_authorisation() -> None:
    terms = subscription(**LINK).terms()
    created = at("2026-03-05T13:10")
    assert not new_state(account="demo", subscription="s", generation=1, created_at=created, terms=terms).events


def test_access_in_an_event_ends_by_itself_only_where_nothing_more_is_collected() -> None:
    canceled = live(
        "SUCCEEDED",
        do=[{"at": "+10d", "action": "cancel", "with": {"type": "USER_REQUESTED_STOP_RENEWALS"}}],
        until="2026-03-12T00:00",
    ).state
    active = live("SUCCEEDED", until="2026-03-12T00:00").state
    now = at("2026-03-12T00:00")
    assert told_access(canceled, now)["until"] == "2026-04-05T13:10:00+00:00"
    assert told_access(active, now)["until"] is None
