"""What is still said when a channel was down, and what is not said any more. SPEC 11."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import pytest

from dunning.domain.apply import apply
from dunning.domain.facts import NoticeConcluded, NoticeUndelivered
from dunning.domain.messages import NoticeStatus, PlannedNotice
from dunning.domain.state import State
from dunning.domain.step import Step
from dunning.domain.tables import CycleStatus
from dunning.domain.telling import tell_refunded
from dunning.domain.terms import Channel, Occasion
from tests.builders import at, live, subscription_data

NOON = at("2026-03-05T12:00")


def notice(occasion: Occasion, status: NoticeStatus) -> PlannedNotice:
    return PlannedNotice(
        key=f"1/1/1/{occasion.value}",
        occasion=occasion,
        channels=(Channel.EMAIL, Channel.WHATSAPP),
        at=NOON,
        obligation="1",
        attempt=1,
        because="attempt 1 was declined",
        status=status,
    )


def owing(status: CycleStatus, *notices: PlannedNotice) -> State:
    """A state with cycle 1 in `status` and just these notices."""
    state = live("SUCCEEDED", customer={**subscription_data()["customer"], "time_zone": "Asia/Jakarta"}).state
    return state.but(
        obligations=(state.obligation("1").but(status=status, is_told=False),), notices=notices, attention=()
    )


def concluded(
    state: State, occasion: Occasion = Occasion.FAILED, *, is_sent: bool = False, retry_at: datetime | None = None
) -> State:
    fact = NoticeConcluded(key=f"1/1/1/{occasion.value}", is_sent=is_sent, retry_at=retry_at, detail="EMAIL waiting")
    return apply(state, fact, NOON).state


def test_a_channel_that_is_down_is_tried_again_but_not_in_quiet_hours() -> None:
    state = owing(CycleStatus.RETRYING, notice(Occasion.FAILED, NoticeStatus.SENDING))

    soon = concluded(state, retry_at=at("2026-03-05T13:45")).notices[0]  # 20:45 in Jakarta
    late = concluded(state, retry_at=at("2026-03-05T14:15")).notices[0]  # 21:15

    assert (soon.status, soon.at) == (NoticeStatus.PLANNED, at("2026-03-05T13:45"))
    assert (late.status, late.at) == (NoticeStatus.PLANNED, at("2026-03-06T01:00"))


@pytest.mark.parametrize("retry_at", [None, at("2026-03-05T12:15")])
def test_one_channel_is_enough_to_have_told_a_failure(retry_at: datetime | None) -> None:
    state = owing(CycleStatus.RETRYING, notice(Occasion.FAILED, NoticeStatus.SENDING))

    assert concluded(state, is_sent=True, retry_at=retry_at).obligation("1").is_told
    assert not concluded(state, is_sent=False, retry_at=retry_at).obligation("1").is_told


def test_a_failure_that_was_paid_while_it_was_being_told_is_not_told_later() -> None:
    state = owing(CycleStatus.SUCCEEDED, notice(Occasion.FAILED, NoticeStatus.SENDING))

    (dropped,) = concluded(state, retry_at=at("2026-03-05T12:15")).notices

    assert dropped.status is NoticeStatus.DROPPED
    assert dropped.outcome is not None
    assert dropped.outcome.startswith("paid in the meantime")


def test_a_later_notice_replaces_one_that_still_waits_for_a_channel() -> None:
    waits, later = notice(Occasion.FAILED, NoticeStatus.SENDING), notice(Occasion.STOPPED, NoticeStatus.PLANNED)

    first, second = concluded(owing(CycleStatus.FAILED, waits, later), retry_at=at("2026-03-05T12:15")).notices

    assert (first.status, second.status) == (NoticeStatus.DROPPED, NoticeStatus.PLANNED)


def test_the_last_failure_of_a_cycle_that_was_given_up_is_still_told_later() -> None:
    state = owing(CycleStatus.FAILED, notice(Occasion.FAILED, NoticeStatus.SENDING))

    assert concluded(state, retry_at=at("2026-03-05T12:15")).notices[0].status is NoticeStatus.PLANNED


@pytest.mark.parametrize(
    ("is_sent", "thanks"), [(True, NoticeStatus.PLANNED), (False, NoticeStatus.DROPPED)], ids=["told", "not told"]
)
def test_recovered_follows_only_a_failure_that_reached_somebody(is_sent: bool, thanks: NoticeStatus) -> None:
    failed, recovered = notice(Occasion.FAILED, NoticeStatus.SENDING), notice(Occasion.RECOVERED, NoticeStatus.PLANNED)

    after = concluded(owing(CycleStatus.SUCCEEDED, failed, recovered), is_sent=is_sent)

    assert after.notices[1].status is thanks


def test_a_channel_that_is_set_up_wrongly_raises_attention_once() -> None:
    state = owing(CycleStatus.RETRYING, notice(Occasion.FAILED, NoticeStatus.SENDING))
    fact = NoticeConcluded(key="1/1/1/failed", is_sent=False, retry_at=NOON, attention="WhatsApp 132001")

    once = apply(state, fact, NOON).state
    again = once.but(notices=(once.notices[0].but(status=NoticeStatus.SENDING),))
    twice = apply(again, fact, NOON).state

    assert [a.what for a in once.attention] == ["WhatsApp 132001"]
    assert twice.attention == once.attention


def test_who_has_to_act_is_told_how_long_the_payment_stays_open() -> None:
    asked, stopped = live("EXPIRED_CARD").notices

    # due on 2026-03-05T13:10Z; the window is over with day 17 of the ladder
    assert asked.facts["open_until"] == "2026-03-22T13:10:00+00:00"
    assert stopped.at == at("2026-03-22T13:10")


def test_the_tone_rises_over_the_ladder() -> None:
    declined = ["INSUFFICIENT_FUNDS"] * 4
    stages = [n.facts.get("stage") for n in live(*declined).notices if n.occasion is Occasion.FAILED]
    # Retries on day 3 and 10 still have another after them; day 17 is the last.
    assert stages == [None, "again", "last"]

    only_one = live(*declined, retry={"ladder_days": [5]}).notices
    assert [n.facts.get("stage") for n in only_one if n.occasion is Occasion.FAILED] == ["last"]

    weekly = {"anchor_at": "2026-03-05T13:10:00Z", "interval": "WEEK", "interval_count": 1}
    in_a_week = live(*declined, schedule=weekly, cycles=1).notices
    assert [n.facts.get("stage") for n in in_a_week if n.occasion is Occasion.FAILED][:1] == ["last"]


def test_under_resume_the_last_failure_is_told_again_and_promises_no_try() -> None:
    life = live(*["INSUFFICIENT_FUNDS"] * 4, failed_cycle_action="RESUME")

    last = [n for n in life.notices if n.occasion is Occasion.FAILED][3]

    assert last.facts.get("stage") == "again"
    assert "next_attempt_at" not in last.facts


EVERYTHING = {occasion.value: ["EMAIL"] for occasion in Occasion}


def planned_by(tell: Callable[[Step], bool]) -> tuple[bool, list[PlannedNotice]]:
    state = live("SUCCEEDED", notifications=EVERYTHING).state.but(notices=(), latest=NOON)
    step = Step(state, NOON)
    was_told = tell(step)
    return was_told, list(step.done().notices)


def test_money_that_went_back_is_told_once() -> None:
    was_told, (notice,) = planned_by(
        lambda step: tell_refunded(step, amount=5_000, currency="IDR", description="Pro plan", because="refund r-1")
    )

    assert was_told
    assert (notice.occasion, notice.facts["amount"], notice.because) == (Occasion.REFUNDED, 5_000, "refund r-1")


# --- a channel took it and did not deliver it ----------------------------------------------------------


def undelivered(state_: State, at_: datetime = NOON, occasion: Occasion = Occasion.FAILED) -> State:
    fact = NoticeUndelivered(key=f"1/1/1/{occasion.value}", at=at_, because="WhatsApp 131026")
    return apply(state_.but(latest=NOON), fact, NOON).state


def test_what_did_not_arrive_is_handed_over_again_but_not_in_quiet_hours() -> None:
    state = owing(CycleStatus.RETRYING, notice(Occasion.FAILED, NoticeStatus.SENT))

    at_once = undelivered(state).notices[0]
    tonight = undelivered(state, at("2026-03-05T15:00")).notices[0]  # 22:00 in Jakarta

    assert (at_once.status, at_once.at, at_once.outcome) == (NoticeStatus.PLANNED, NOON, "WhatsApp 131026")
    assert (tonight.status, tonight.at) == (NoticeStatus.PLANNED, at("2026-03-06T01:00"))


def test_what_did_not_arrive_and_is_untrue_by_now_is_not_told_again() -> None:
    paid = undelivered(owing(CycleStatus.SUCCEEDED, notice(Occasion.FAILED, NoticeStatus.SENT))).notices[0]
    passed = notice(Occasion.FAILED, NoticeStatus.SENT).but(facts={"next_attempt_at": NOON.isoformat()})
    came = undelivered(owing(CycleStatus.RETRYING, passed)).notices[0]

    assert (paid.status, paid.outcome) == (NoticeStatus.SENT, "WhatsApp 131026; not told again: paid in the meantime")
    assert came.status is NoticeStatus.SENT
    assert came.outcome is not None
    assert "has come in the meantime" in came.outcome


def test_a_word_that_overtakes_the_senders_own_answer_is_not_lost() -> None:
    state = undelivered(owing(CycleStatus.RETRYING, notice(Occasion.FAILED, NoticeStatus.SENDING)))
    assert state.notices[0].status is NoticeStatus.SENDING

    after = concluded(state, is_sent=True).notices[0]
    again = concluded(state.but(notices=(after.but(status=NoticeStatus.SENDING),)), is_sent=True).notices[0]

    assert (after.status, after.at, after.again_at) == (NoticeStatus.PLANNED, NOON, None)
    assert again.status is NoticeStatus.SENT


@pytest.mark.parametrize("status", [NoticeStatus.DROPPED, NoticeStatus.PLANNED])
def test_a_word_about_what_is_dropped_or_waits_already_changes_nothing(status: NoticeStatus) -> None:
    state = owing(CycleStatus.RETRYING, notice(Occasion.FAILED, status))

    assert undelivered(state).notices == state.notices


def test_what_another_channel_told_is_not_told_again_but_a_person_hears_of_it() -> None:
    state = owing(CycleStatus.RETRYING, notice(Occasion.FAILED, NoticeStatus.SENT)).but(latest=NOON)
    fact = NoticeUndelivered(key="1/1/1/failed", at=NOON, because="x", attention="WhatsApp 132015", is_told=True)

    after = apply(state, fact, NOON).state

    assert after.notices == state.notices
    assert [one.what for one in after.attention] == ["WhatsApp 132015"]


def test_a_charge_counts_its_hours_anew_when_the_notice_that_it_waits_for_did_not_arrive() -> None:
    told = notice(Occasion.CREATED, NoticeStatus.SENT).but(is_precondition=True, told_at=NOON)

    again = undelivered(owing(CycleStatus.SCHEDULED, told), occasion=Occasion.CREATED).notices[0]

    assert (again.status, again.told_at) == (NoticeStatus.PLANNED, None)
