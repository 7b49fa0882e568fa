"""Whole lives through the machine: the ladder cases of the specification, declines, windows, commands.

Every instant here was computed by hand from the rules; the sums stand beside them.
"""

from __future__ import annotations

import pytest

from dunning.domain.access import access
from tests.builders import at, live, planned, triggers

SOFT, HARD, ACTION = "INSUFFICIENT_FUNDS", "DO_NOT_HONOR", "INCORRECT_CVC"
TECH, MERCHANT = "NETWORK_ERROR", "INVALID_REQUEST"


def status(foretold, obligation="1"):
    return next(o for o in foretold.obligations if o.id == obligation).status.value


def occasions(foretold):
    return [(n.occasion.value, n.status.value) for n in foretold.notices]


class TestLadder:
    def test_l1_three_retries_at_day_3_10_17_then_the_cycle_fails(self):
        life = live(SOFT, SOFT, SOFT, SOFT)

        # 5+3=8, 5+10=15, 5+17=22, each at the anchor's 13:10
        assert planned(life) == ["03-05T13:10:00", "03-08T13:10:00", "03-15T13:10:00", "03-22T13:10:00"]
        assert status(life) == "failed"
        assert life.state.status == "inactive"

    def test_l3_an_outage_of_days_keeps_the_gap_of_the_next_rungs(self):
        # attempt 2 is put off from 03-08T13:10 by OUTAGE/36h; probes 1m 5m 15m 1h 2h then every 4h:
        # 13:10 +1m 13:11 +5m 13:16 +15m 13:31 +1h 14:31 +2h 16:31 +4h 20:31, 00:31, ... first at or after 03-10T01:10
        # is 03-10T04:31; 36 h late, so the base is the actual time: +7 -> 03-17, +7 -> 03-24, at 13:10
        life = live(SOFT, "OUTAGE/36h", SOFT, SOFT, SOFT)

        assert planned(life) == ["03-05T13:10:00", "03-08T13:10:00", "03-17T13:10:00", "03-24T13:10:00"]

    def test_l5_a_hard_decline_ends_automatic_attempts_on_that_method(self):
        life = live(SOFT, HARD)

        assert planned(life) == ["03-05T13:10:00", "03-08T13:10:00"]

    def test_l6_uniform_interval(self):
        life = live(SOFT, SOFT, SOFT, SOFT, retry={"interval": "DAY", "interval_count": 3, "total": 3})

        assert planned(life) == ["03-05T13:10:00", "03-08T13:10:00", "03-11T13:10:00", "03-14T13:10:00"]

    def test_l7_weekly_keeps_only_the_day_3_rung(self):
        life = live(SOFT, SOFT, schedule={"anchor_at": "2026-03-05T13:10:00Z", "interval": "WEEK", "interval_count": 1})

        assert planned(life) == ["03-05T13:10:00", "03-08T13:10:00"]
        dropped = next(o for o in life.obligations if o.id == "1").dropped
        assert [(d.rung, d.days) for d in dropped] == [(2, 10), (3, 17)]

    def test_l8_month_end_clamp_in_the_third_cycle(self):
        anchor = "2027-01-31T09:00:00Z"
        life = live(
            "SUCCEEDED", "SUCCEEDED", SOFT, SOFT, SOFT, SOFT,
            cycles=3, created="2027-01-30T00:00:00Z",
            payment_methods=[{"token": "pm_1", "authorized_at": anchor}],
            schedule={"anchor_at": anchor, "interval": "MONTH", "interval_count": 1},
        )  # fmt: skip

        assert planned(life, "1") == ["01-31T09:00:00"]
        assert planned(life, "2") == ["02-28T09:00:00"]
        assert planned(life, "3") == ["03-31T09:00:00", "04-03T09:00:00", "04-10T09:00:00", "04-17T09:00:00"]

    def test_l9_an_advised_wait_moves_the_rung_and_later_rungs_keep_their_gaps(self):
        life = live(f"{SOFT}/wait=10d", SOFT, SOFT, SOFT)

        # 10 days after the decline: 03-15; then +7, +7
        assert planned(life) == ["03-05T13:10:00", "03-15T13:10:00", "03-22T13:10:00", "03-29T13:10:00"]

    def test_l10_the_anchors_time_of_day_is_kept_when_the_due_time_differs(self):
        life = live(
            SOFT, SOFT, SOFT, SOFT,
            schedule={"anchor_at": "2026-03-06T00:00:00Z", "interval": "MONTH", "interval_count": 1},
        )  # fmt: skip

        # due 03-06T00:00; 6+3=9, 6+10=16, 6+17=23, at 13:10
        assert planned(life) == ["03-06T00:00:00", "03-09T13:10:00", "03-16T13:10:00", "03-23T13:10:00"]

    @pytest.mark.parametrize(
        ("anchor", "retries"),
        [
            # L4: 6+3, 6+10, 6+17 at 13:10; 20:00 -> 13:10 is 2 d 17 h 10 m, not sooner than 3 d - 12 h
            ("13:10", ["03-09T13:10:00", "03-16T13:10:00", "03-23T13:10:00"]),
            # L12: 3 days later at 07:00 would be 2 d 11 h: one day more; then +7, +7
            ("07:00", ["03-10T07:00:00", "03-17T07:00:00", "03-24T07:00:00"]),
        ],
        ids=["L4", "L12"],
    )
    def test_an_on_demand_charge_has_its_own_ladder_at_the_anchors_time(self, anchor, retries):
        authorized = f"2026-03-05T{anchor}:00Z"
        life = live(
            "SUCCEEDED", SOFT, SOFT, SOFT, SOFT,
            do=[{"at": "2026-03-06T20:00:00Z", "action": "charge", "with": {"amount": 5_000}}],
            payment_methods=[{"token": "pm_1", "authorized_at": authorized}],
            schedule={"anchor_at": authorized, "interval": "MONTH", "interval_count": 1},
        )  # fmt: skip

        assert planned(life, "od-script-1") == ["03-06T20:00:00", *retries]
        assert status(life, "od-script-1") == "failed"
        assert life.state.status == "active"

    def test_l14_an_operators_try_moves_a_rung_less_than_a_day_away(self):
        life = live(
            SOFT, SOFT, SOFT, SOFT, SOFT,
            do=[{"at": "2026-03-15T09:00:00Z", "action": "retry_now"}],
        )  # fmt: skip

        # the rung of 03-15T13:10 runs one day later; the last keeps its gap of 7 from it
        assert planned(life) == [
            "03-05T13:10:00", "03-08T13:10:00", "03-15T09:00:00", "03-16T13:10:00", "03-23T13:10:00",
        ]  # fmt: skip
        assert triggers(life) == ["due", "ladder", "operator", "ladder", "ladder"]


class TestDeclines:
    def test_technical_answers_use_no_rung_and_three_repeats(self):
        life = live(TECH, TECH, TECH, TECH, "SUCCEEDED")

        # +1 h, +4 h, +12 h, each after the one before; then rung 1 at day 3
        assert planned(life) == [
            "03-05T13:10:00", "03-05T14:10:00", "03-05T18:10:00", "03-06T06:10:00", "03-08T13:10:00",
        ]  # fmt: skip
        assert triggers(life) == ["due", "due", "due", "due", "ladder"]

    def test_a_backup_is_tried_once_at_once_before_the_customer_is_asked(self):
        methods = [{"token": "pm_1", "authorized_at": "2026-03-05T13:10:00Z"}, {"token": "pm_2"}]
        life = live(HARD, HARD, payment_methods=methods)

        assert triggers(life) == ["due", "backup"]
        assert occasions(life) == [("action_required", "sent"), ("stopped", "sent")]

    def test_a_new_method_is_tried_at_once_and_its_soft_decline_resumes_the_rungs(self):
        life = live(
            HARD, SOFT, "SUCCEEDED",
            do=[{"at": "2026-03-10T09:00:00Z", "action": "update_payment_method", "with": {"token": "pm_2"}}],
        )  # fmt: skip

        # the day-3 rung passed while waiting; day 10 is 03-15
        assert planned(life) == ["03-05T13:10:00", "03-10T09:00:00", "03-15T13:10:00"]
        dropped = next(o for o in life.obligations if o.id == "1").dropped
        assert [(d.rung, d.because) for d in dropped] == [(1, "its instant passed while waiting")]

    def test_fail_cycle_gives_up_at_the_hard_decline(self):
        life = live(HARD, on_hard_decline="FAIL_CYCLE")

        assert life.state.status == "inactive"
        assert occasions(life) == [("stopped", "sent")]

    def test_a_merchant_fault_waits_for_the_operator_and_nobody_is_told(self):
        life = live(MERCHANT, "SUCCEEDED", do=[{"at": "2026-03-06T09:00:00Z", "action": "mark_fixed"}])

        assert triggers(life) == ["due", "operator"]
        assert occasions(life) == []
        assert any("configuration" in a.what for a in life.state.attention)

    def test_an_outage_and_an_unclear_answer_use_no_rung(self):
        assert triggers(live("OUTAGE/48h")) == ["due"]
        assert triggers(live("TIMEOUT_COMMITTED")) == ["due"]

    def test_pending_tells_nobody_and_its_decline_is_a_decline(self):
        life = live(f"PENDING/2h/{SOFT}", "SUCCEEDED")

        assert planned(life) == ["03-05T13:10:00", "03-08T13:10:00"]


class TestRecoveryWindow:
    def test_awaiting_a_method_is_given_up_when_the_last_rung_would_have_run(self):
        life = live(HARD)

        assert next(o for o in life.obligations if o.id == "1").closed_at == at("2026-03-22T13:10")

    def test_grace_then_hold_then_given_up(self):
        life = live(SOFT, SOFT, SOFT, SOFT, grace_days=3, hold_days=30, cycles=4)

        # 03-05 + 3 + 30 = 04-07; cycle 2 (04-05) falls into the hold and is canceled
        assert next(o for o in life.obligations if o.id == "1").closed_at == at("2026-04-07T13:10")
        assert status(life, "2") == "canceled"

    def test_recovered_in_hold_starts_the_calendar_again_at_the_recovery(self):
        life = live(SOFT, SOFT, "SUCCEEDED", grace_days=3, hold_days=30, cycles=2)

        # recovered by the rung of 03-15: the next due instant is a month later
        assert planned(life, "2") == ["04-15T13:10:00"]

    def test_resume_goes_on_with_the_next_cycle(self):
        life = live(SOFT, SOFT, SOFT, SOFT, failed_cycle_action="RESUME", cycles=2)

        assert (status(life, "1"), status(life, "2")) == ("failed", "succeeded")
        assert life.state.status == "active"

    def test_a_first_payment_that_is_declined_never_starts_the_service(self):
        life = live(SOFT, immediate_action="FULL_AMOUNT")

        assert triggers(life) == ["due"]
        assert life.state.status == "failed"
        assert not access(life.state, life.ended_at).is_granted


class TestLife:
    def test_the_mandate_link_not_completed_fails_after_its_days(self):
        life = live(mandate="never", payment_methods=[], provider_options={"country": "ID", "product_id": "pdt_1"})

        assert life.state.status == "failed"
        assert life.ended_at == at("2026-03-08T00:00")  # created 03-01, seven days

    def test_a_calendar_that_ended_leaves_access_to_the_end_of_the_paid_period(self):
        schedule = {"anchor_at": "2026-03-05T13:10:00Z", "interval": "MONTH", "interval_count": 1, "total_cycles": 2}
        life = live(schedule=schedule, cycles=9)

        assert [o.id for o in life.obligations] == ["1", "2"]
        assert life.state.status == "inactive"
        assert life.state.stopped_at == at("2026-05-05T13:10")

    def test_a_users_cancel_can_be_restored_before_it_expires(self):
        life = live(
            do=[
                {"at": "2026-03-06T09:00:00Z", "action": "cancel", "with": {"type": "USER_REQUESTED_STOP_RENEWALS"}},
                {"at": "2026-03-07T09:00:00Z", "action": "restore"},
            ],
            cycles=2,
        )

        assert status(life, "2") == "succeeded"

    def test_a_developers_cancel_while_past_due_stops_collection_at_once(self):
        life = live(SOFT, do=[{"at": "2026-03-06T09:00:00Z", "action": "cancel"}])

        assert (status(life), life.state.status) == ("canceled", "inactive")

    def test_a_payment_by_link_wins_and_drops_the_rungs(self):
        life = live(SOFT, do=[{"at": "2026-03-06T20:00:00Z", "action": "pay_by_link"}])

        assert triggers(life) == ["due"]
        assert status(life) == "succeeded"
        assert occasions(life) == [("failed", "sent"), ("recovered", "sent")]

    def test_a_payment_for_a_cycle_given_up_is_told_where_the_plan_went_on(self):
        life = live(
            *(SOFT,) * 4, failed_cycle_action="RESUME", do=[{"at": "2026-03-25T20:00:00Z", "action": "pay_by_link"}]
        )

        assert (status(life), life.state.status) == ("succeeded", "active")
        assert occasions(life)[-1] == ("recovered", "sent")
        assert [one.what for one in life.state.attention] == ["a payment arrived for a cycle that was given up"]

    def test_a_payment_for_a_cycle_given_up_after_the_stop_is_told_when_a_person_reinstates(self):
        paid = {"at": "2026-03-25T20:00:00Z", "action": "pay_by_link"}
        late = live(*(SOFT,) * 4, do=[paid], until="2026-03-26T00:00")
        back = live(*(SOFT,) * 4, do=[paid, {"at": "2026-03-26T09:00:00Z", "action": "reinstate"}])

        # "everything is in order again" is not true before
        assert (status(late), late.state.status, occasions(late)[-1]) == ("succeeded", "inactive", ("stopped", "sent"))
        assert occasions(back)[-1] == ("recovered", "sent")

    def test_pause_skips_cycles_and_uses_their_numbers(self):
        life = live(
            do=[{"at": "2026-03-20T00:00:00Z", "action": "pause", "with": {"until": "2026-05-20T00:00:00Z"}}],
            cycles=4,
        )

        assert [status(life, n) for n in "1234"] == ["succeeded", "canceled", "canceled", "succeeded"]

    def test_defer_moves_the_next_due_instant_and_anchors_the_calendar_there(self):
        life = live(do=[{"at": "2026-03-20T00:00:00Z", "action": "defer", "with": {"days": 10}}], cycles=3)

        # 04-05 + 10 = 04-15, then monthly from there
        assert planned(life, "2") == ["04-15T13:10:00"]
        assert planned(life, "3") == ["05-15T13:10:00"]

    def test_a_deferral_made_while_past_due_outlives_the_hold_and_its_recovery(self):
        life = live(
            SOFT,
            SOFT,
            "SUCCEEDED",
            grace_days=3,
            hold_days=30,
            do=[
                {"at": "2026-03-06T00:00:00Z", "action": "defer", "with": {"days": 40}},
                {"at": "2026-03-07T00:00:00Z", "action": "defer", "with": {"days": 5}},
            ],
            cycles=3,
        )

        # told: 04-05 + 45 = 05-20. Recovered on 03-15: a month later is 04-15, + 45 = 05-30, then monthly from there
        assert planned(life, "2") == ["05-30T13:10:00"]
        assert planned(life, "3") == ["06-30T13:10:00"]
        first = next(o for o in life.obligations if o.id == "1")
        assert first.period_end == at("2026-05-30T13:10")

    def test_a_deferral_is_used_up_by_the_cycle_that_it_moved(self):
        schedule = {"anchor_at": "2026-03-05T13:10:00Z", "interval": "MONTH", "interval_count": 1}
        life = live(
            "SUCCEEDED",
            SOFT,
            SOFT,
            "SUCCEEDED",
            grace_days=1,
            hold_days=20,
            schedule=schedule,
            do=[{"at": "2026-03-20T00:00:00Z", "action": "defer", "with": {"days": 10}}],
            cycles=3,
        )

        # cycle 2: 04-05 + 10 = 04-15, rungs 04-18 and 04-25; recovered in hold on 04-25: 05-25, nothing added again
        assert planned(life, "2") == ["04-15T13:10:00", "04-18T13:10:00", "04-25T13:10:00"]
        assert planned(life, "3") == ["05-25T13:10:00"]

    def test_listed_days_too_keep_a_deferral_through_a_recovery_in_hold(self):
        schedule = {
            "anchor_at": "2026-03-05T13:10:00Z",
            "interval": "MONTH",
            "interval_count": 1,
            "on": {"days_of_month": [5]},
        }
        life = live(
            SOFT,
            SOFT,
            "SUCCEEDED",
            grace_days=3,
            hold_days=30,
            schedule=schedule,
            do=[{"at": "2026-03-06T00:00:00Z", "action": "defer", "with": {"days": 4}}],
            cycles=3,
        )

        # recovered on 03-15: the next listed day is 04-05, + 4 = 04-09; only that instant moves
        assert planned(life, "2") == ["04-09T13:10:00"]
        assert planned(life, "3") == ["05-05T13:10:00"]

    def test_a_deferral_gives_no_access_that_was_not_paid_for(self):
        life = live(
            "SUCCEEDED",
            SOFT,
            SOFT,
            SOFT,
            SOFT,
            failed_cycle_action="RESUME",
            do=[
                {"at": "2026-04-06T00:00:00Z", "action": "defer", "with": {"days": 60}},
                {"at": "2026-04-28T00:00:00Z", "action": "cancel"},
            ],
            cycles=3,
        )

        # cycle 1 is paid to 04-05; cycle 2 was deferred past while unpaid, given up on 04-22, and never paid
        assert life.state.paid_until == at("2026-04-05T13:10")
        assert not access(life.state, at("2026-04-29T00:00")).is_granted

    def test_a_deferral_in_a_paid_period_stretches_it(self):
        life = live(do=[{"at": "2026-03-20T00:00:00Z", "action": "defer", "with": {"days": 10}}], cycles=1)

        # paid on 03-05 for a month, 04-05 + 10
        assert life.state.paid_until == at("2026-04-15T13:10")

    def test_quiet_hours_move_a_failure_notice_to_the_morning(self):
        customer = {"id": "c", "email": "a@example.com", "time_zone": "Asia/Jakarta", "opt_in": {"EMAIL": True}}
        anchor = "2026-03-05T15:30:00Z"  # 22:30 in Jakarta
        life = live(
            SOFT,
            customer=customer,
            payment_methods=[{"token": "pm_1", "authorized_at": anchor}],
            schedule={"anchor_at": anchor, "interval": "MONTH", "interval_count": 1},
        )

        assert life.notices[0].at == at("2026-03-06T01:00")  # 08:00 in Jakarta

    def test_only_the_chosen_failures_are_told(self):
        life = live(SOFT, SOFT, SOFT, SOFT, failed_attempt_notifications=[2])

        assert [(n.occasion.value, n.attempt) for n in life.notices] == [("failed", 2), ("stopped", 4)]
