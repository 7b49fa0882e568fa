"""Files of subscriptions: each entry on its own, with its line; CSV cells become what their fields take."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.domain.options import DodoOptions
from dunning.domain.terms import Customer, PaymentMethod, RetryPolicy, Schedule, Subscription
from dunning.errors import InvalidInput
from dunning.import_cells import document_of, relative_instant, schemas_at, value_of
from dunning.importing import read_subscriptions, read_text
from tests.builders import subscription, subscription_data

NOW = datetime(2026, 3, 5, 13, 10, tzinfo=UTC)

CSV = """\
id,merchant_account,customer.id,customer.name,customer.email,customer.opt_in.EMAIL,customer.opt_in.WHATSAPP,\
provider,collection,provider_options.country,provider_options.product_id,provider_options.subscription_id,\
payment_methods.0.token,payment_methods.0.authorized_at,currency,description,items.0.product_id,items.0.role,\
items.0.quantity,items.0.unit_amount,schedule.anchor_at,schedule.interval,retry.ladder_days,notifications
sub-1,demo,cust-1,Ayu,ayu@example.com,yes,true,dodo,engine,ID,pdt_1,sub_dodo_1,pm_1,2026-03-05T13:10:00Z,IDR,Pro plan,\
pro,base,1,100000,2026-03-05T13:10:00Z,MONTH,3 10 17,\
"{""failed"": [""EMAIL""], ""action_required"": [""EMAIL""], ""stopped"": [""EMAIL""], ""recovered"": [""EMAIL""]}"
"""


def faults(entry):
    return [(fault.field, fault.value) for fault in entry.faults]


def without_phone():
    data = subscription_data()
    return {**data, "customer": {k: v for k, v in data["customer"].items() if k != "phone"}}


class TestCsv:
    def test_a_row_is_the_same_subscription_as_the_json_object(self):
        (entry,) = read_text(CSV, ".csv")
        (other,) = read_text(json.dumps(without_phone()), ".json")
        assert entry.faults == other.faults == ()
        assert entry.subscription is not None
        assert entry.subscription == other.subscription

    def test_each_row_stands_for_itself_and_names_its_line(self):
        bad = CSV.splitlines()[1].replace("sub-1", "sub-2").replace("IDR", "RUPIAH").replace(",1,", ",one,")
        text = CSV + bad + "\n\n" + CSV.splitlines()[1].replace("sub-1", "sub-3") + "\n"
        first, second, third = read_text(text, ".csv")
        assert (first.line, second.line, third.line) == (2, 3, 5)
        assert (first.is_ok, second.is_ok, third.is_ok) == (True, False, True)
        assert faults(second) == [("currency", "RUPIAH"), ("items.0.quantity", "one")]

    def test_a_cell_with_line_breaks_counts_from_its_first_line(self):
        row = CSV.splitlines()[1]
        text = CSV.splitlines()[0] + "\n" + row.replace("Pro plan", '"Pro\nplan"') + "\n" + row.replace("sub-1", "b")
        first, second = read_text(text, ".csv")
        assert (first.line, second.line) == (2, 4)
        assert first.subscription is not None
        assert first.subscription.description == "Pro\nplan"

    def test_semicolons_and_a_byte_order_mark_are_taken(self, tmp_path):
        file = tmp_path / "portfolio.csv"
        rows = [row.replace(",", ";") for row in CSV.replace(CSV.splitlines()[1].split(",MONTH,")[1], "3").splitlines()]
        file.write_text("\n".join(rows), encoding="utf-8-sig")
        (entry,) = read_subscriptions(file)
        assert entry.is_ok, entry.faults

    def test_an_unknown_column_is_a_fault_of_each_row(self):
        text = "colour," + CSV.splitlines()[0] + "\nred," + CSV.splitlines()[1]
        (entry,) = read_text(text, ".csv")
        assert faults(entry) == [("colour", "red")]

    def test_an_empty_cell_is_an_absent_field(self):
        text = "grace_days," + CSV.splitlines()[0] + "\n ," + CSV.splitlines()[1]
        (entry,) = read_text(text, ".csv")
        assert entry.subscription is not None
        assert entry.subscription.grace_days is None

    def test_a_column_given_twice_is_a_fault(self):
        (entry,) = read_text("id,id\na,b\n", ".csv")
        assert (entry.line, faults(entry)) == (1, [("id", "id")])

    def test_more_cells_than_headings_are_a_fault(self):
        (entry,) = read_text(CSV.rstrip("\n") + ",surplus\n", ".csv")
        assert [field for field, _ in faults(entry)] == ["(row)"]

    def test_columns_that_contradict_each_other_are_a_fault(self):
        document, found = document_of({"retry": '{"ladder_days": [3]}', "retry.max_attempts": "2", "retry.x": "1"})
        assert found == []
        assert document["retry"] == {"ladder_days": [3], "max_attempts": 2, "x": "1"}
        _, found = document_of({"retry": "3", "retry.max_attempts": "2"})
        assert [fault.field for fault in found] == ["retry.max_attempts"]

    def test_an_open_quotation_mark_is_a_fault_and_not_a_crash(self):
        entries = read_text(CSV + 'sub-9,"demo', ".csv")
        assert [entry.is_ok for entry in entries] == [True, False]


class TestCells:
    @pytest.mark.parametrize(
        ("path", "cell", "value"),
        [
            ("grace_days", "3", 3),
            ("grace_days", "three", "three"),
            ("id", "0123", "0123"),
            ("customer.id", "7", "7"),
            ("provider_options.zipcode", "01611", "01611"),
            ("provider_options.mandate_only", "no", False),
            ("provider_options.first_price", "5000", 5000),
            ("retry.ladder_days", "3 10,17", [3, 10, 17]),
            ("retry.ladder_days", "[3, 10]", [3, 10]),
            ("retry.allow_more_than_4", "TRUE", True),
            ("schedule.on.days_of_month", "1;15", [1, 15]),
            ("schedule.on.weekdays", "monday|friday", ["monday", "friday"]),
            ("notifications.failed", "WHATSAPP EMAIL", ["WHATSAPP", "EMAIL"]),
            ("failed_attempt_notifications", "1 3", [1, 3]),
            ("metadata.code", "007", "007"),
            ("metadata", '{"code": 7}', {"code": 7}),
            ("items.12.unit_amount", "100", 100),
            (
                "script.outcomes",
                "INSUFFICIENT_FUNDS,PENDING/2h/SUCCEEDED",
                ["INSUFFICIENT_FUNDS", "PENDING/2h/SUCCEEDED"],
            ),
            ("description", "[not json", "[not json"),
        ],
    )
    def test_a_cell_becomes_what_its_field_takes(self, path, cell, value):
        assert value_of(path.split("."), cell) == value

    def test_every_number_and_flag_of_the_models_has_its_type_from_the_schema(self):
        kinds = {
            path: {schema.get("type") for schema in schemas_at(path.split("."))}
            for path in ("items.0.quantity", "schedule.interval_count", "customer.opt_in.EMAIL", "retry.total")
        }
        assert kinds["items.0.quantity"] == {"integer"}
        assert kinds["customer.opt_in.EMAIL"] == {"boolean"}
        assert {"integer", "null"} == kinds["retry.total"]
        assert "integer" in kinds["schedule.interval_count"]
        assert schemas_at(["no_such_field"]) == ()

    @given(st.dictionaries(st.from_regex(r"[a-z0-9]{1,4}(\.[a-z0-9]{1,4}){0,3}", fullmatch=True), st.text(max_size=6)))
    def test_any_headings_and_cells_give_a_document_or_faults(self, cells):
        document, found = document_of(cells)
        assert isinstance(document, dict)
        assert all(fault.field in cells for fault in found)


class TestJson:
    def test_a_list_names_the_line_of_each_object(self):
        text = json.dumps([subscription_data(id="a"), {**subscription_data(id="b"), "grace_days": 99}, 3], indent=2)
        entries = read_text(text, ".json")
        assert [entry.is_ok for entry in entries] == [True, False, False]
        begin = [line for line, words in enumerate(text.splitlines(), start=1) if words in ("  {", "  3")]
        assert [entry.line for entry in entries] == begin

    def test_a_broken_file_says_where_and_keeps_what_came_before(self):
        text = "[\n" + json.dumps(subscription_data()) + ",\n{broken}\n]"
        good, bad = read_text(text, ".json")
        assert good.is_ok
        assert bad.line == 3
        assert "JSON" in bad.faults[0].rule

    @pytest.mark.parametrize("text", ["[{}", "{} {}", "[{} {}]", "[1,", '{"id": NaN}', "{", "nonsense"])
    def test_what_is_no_json_is_a_fault(self, text):
        entries = read_text(text, ".json")
        assert entries
        assert not entries[-1].is_ok

    def test_a_key_that_stands_twice_is_a_fault(self):
        (entry,) = read_text('{"id": "a", "id": "b"}', ".json")
        assert "'id' twice" in entry.faults[0].rule

    @pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv"])
    @pytest.mark.parametrize("text", ["", "\n\n", "  "])
    def test_an_empty_file_is_a_fault(self, suffix, text):
        (entry,) = read_text(text, suffix)
        assert faults(entry) == [("(file)", None)]

    def test_one_object_in_each_line_and_blank_lines_between(self):
        lines = [json.dumps(subscription_data(id="a")), "", "{broken", json.dumps(subscription_data(id="b")) + " x"]
        entries = read_text("\n".join(lines), ".jsonl")
        assert [(entry.line, entry.is_ok) for entry in entries] == [(1, True), (3, False), (4, False)]

    @given(st.text(max_size=60), st.sampled_from([".json", ".jsonl", ".csv"]))
    def test_any_text_gives_entries_and_never_a_crash(self, text, suffix):
        assert all(entry.faults for entry in read_text(text, suffix))


class TestSameIdTwice:
    def test_the_same_terms_may_stand_twice(self):
        one = json.dumps(subscription_data())
        assert [entry.is_ok for entry in read_text(f"{one}\n{one}", ".jsonl")] == [True, True]

    def test_other_terms_under_one_id_are_refused_with_the_line_of_the_first(self):
        text = json.dumps(subscription_data()) + "\n" + json.dumps(subscription_data(currency="USD"))
        first, second = read_text(text, ".jsonl")
        assert first.is_ok
        assert faults(second) == [("id", "sub-1")]
        assert "line 1" in second.faults[0].rule

    def test_the_same_id_in_another_account_is_another_subscription(self):
        text = (
            json.dumps(subscription_data()) + "\n" + json.dumps(subscription_data(merchant_account="b", currency="USD"))
        )
        assert [entry.is_ok for entry in read_text(text, ".jsonl")] == [True, True]


class TestRelativeInstants:
    @pytest.mark.parametrize(
        ("text", "instant"),
        [
            ("now", "2026-03-05T13:10:00+00:00"),
            ("now+2h", "2026-03-05T15:10:00+00:00"),
            ("now-1d12h", "now-1d12h"),  # each move has its own sign
            ("now-1d-12h", "2026-03-04T01:10:00+00:00"),
            ("now+1w-30m@+07:00", "2026-03-12T19:40:00+07:00"),
            ("now@-05:30", "2026-03-05T07:40:00-05:30"),
            ("now+2y", "now+2y"),
            ("nowhere", "nowhere"),
        ],
    )
    def test_now_and_moves_from_it(self, text, instant):
        assert relative_instant(text, NOW) == instant

    def test_they_stand_for_instants_and_nowhere_else(self):
        data = subscription_data(
            description="now+2h", created_at="now-1h", schedule={"anchor_at": "now+1d", "interval": "DAY"}
        )
        (entry,) = read_text(json.dumps(data), ".json", now=NOW + timedelta(microseconds=7))
        assert entry.subscription is not None
        assert entry.subscription.description == "now+2h"
        assert entry.subscription.schedule.anchor_at == NOW + timedelta(days=1)
        assert entry.subscription.created_at == NOW - timedelta(hours=1)

    def test_without_a_now_they_are_faults(self):
        (entry,) = read_text(json.dumps(subscription_data(created_at="now")), ".json")
        assert faults(entry) == [("created_at", "now")]


class TestScripts:
    def test_a_script_is_read_beside_the_subscription(self):
        script = {"outcomes": ["INSUFFICIENT_FUNDS"], "do": [{"at": "+5d", "action": "pay_by_link"}]}
        (entry,) = read_text(json.dumps({**subscription_data(), "script": script}), ".json")
        assert entry.is_ok
        assert entry.script is not None
        assert entry.script.outcomes == ("INSUFFICIENT_FUNDS",)
        assert entry.subscription == subscription()

    @pytest.mark.parametrize(
        ("script", "field"),
        [
            ({"outcomes": ["PENDING"]}, "script"),
            ({"mandate": "maybe"}, "script.mandate"),
            ({"mandate_after": "soon"}, "script"),
            ({"colour": 1}, "script.colour"),
        ],
    )
    def test_a_wrong_script_is_a_fault_of_its_entry(self, script, field):
        (entry,) = read_text(json.dumps({**subscription_data(), "script": script}), ".json")
        assert [fault.field for fault in entry.faults] == [field]
        assert entry.subscription is None


class TestFiles:
    def test_a_file_is_known_by_its_name(self, tmp_path):
        file = tmp_path / "portfolio.xlsx"
        file.write_bytes(b"PK")
        with pytest.raises(InvalidInput, match=r"\*\.csv"):
            read_subscriptions(file)

    def test_an_absent_file_says_so(self, tmp_path):
        with pytest.raises(InvalidInput, match="cannot be read"):
            read_subscriptions(tmp_path / "none.json")

    def test_a_file_that_is_not_utf_8_says_so(self, tmp_path):
        file = tmp_path / "latin.csv"
        file.write_bytes("id\ncafé".encode("latin-1"))
        with pytest.raises(InvalidInput, match="UTF-8"):
            read_subscriptions(file)

    @pytest.mark.parametrize("suffix", [".json", ".jsonl", ".ndjson", ".JSON"])
    def test_each_form_is_read_from_a_file(self, tmp_path, suffix):
        file = tmp_path / f"one{suffix}"
        file.write_text(json.dumps(subscription_data()), encoding="utf-8")
        (entry,) = read_subscriptions(file)
        assert entry.subscription == subscription()


class TestThePage:
    PAGE = (Path(__file__).parent.parent / "docs" / "subscription-file.md").read_text(encoding="utf-8")

    def test_its_examples_are_taken_as_they_stand(self):
        whole, script = re.findall(r"```json\n(.*?)```", self.PAGE, re.DOTALL)
        data = {**json.loads(whole), **json.loads(f"{{{script}}}")}
        table = re.search(r"```csv\n(.*?)```", self.PAGE, re.DOTALL)
        assert table is not None
        entries = [*read_text(json.dumps(data), ".json"), *read_text(table[1], ".csv")]
        assert [entry.faults for entry in entries] == [(), ()]
        assert entries[0].script is not None

    def test_it_names_every_field(self):
        models = (Subscription, Schedule, RetryPolicy, DodoOptions, PaymentMethod, Customer)
        missing = {name for model in models for name in model.model_fields if f"`{name}`" not in self.PAGE}
        assert missing - {"provider"} == set()
