"""What is still said when a channel was down, and what is not said any more. SPEC 11."""

from __future__ import annotations

from datetime import datetime

import pytest

from dunning.domain.apply import apply
from dunning.domain.facts import NoticeConcluded
from dunning.domain.messages import NoticeStatus, PlannedNotice
from dunning.domain.state import State
from dunning.domain.tables import CycleStatus
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
