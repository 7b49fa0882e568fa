"""`temporal-dev.yml` is a valid Compose file, and the stack reads in it what Compose reads. SPEC 16, 17."""

from __future__ import annotations

import copy
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from compose_spec import PyCompose
from temporalio.api.enums.v1 import IndexedValueType

from dunning.contract import SEARCH_ATTRIBUTES
from dunning.errors import StackError
from dunning.settings import load_settings
from dunning.stack.compose import Composition, compose, duration, interpolate, read_document
from dunning.stack.environment import chosen_variables, refuse_taken_ports, shared
from dunning.stack.journal import Journal, structured

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def document() -> dict[str, Any]:
    return read_document(ROOT / "temporal-dev.yml")


@pytest.fixture
def composition(document: dict[str, Any]) -> Composition:
    return compose(document, {})


def test_the_file_is_a_valid_compose_file(document: dict[str, Any]) -> None:
    """Judged by a parser of the Compose specification that is not ours."""
    judged = PyCompose.from_json(json.dumps(interpolate(document, {})))

    assert set(judged.service_names()) == set(document["services"])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("services", "mail", "comand"), ["x"]),
        (("services", "mail", "command"), 3),
        (("services", "mail", "ports"), ["x:y"]),
        (("services", "gateway", "depends_on", "temporal", "condition"), "well"),
        (("services", "mail", "healthcheck", "interval"), "5 parsecs"),
        (("servces",), {}),
    ],
)
def test_the_judge_refuses_what_is_not_compose(document: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    broken = copy.deepcopy(interpolate(document, {}))
    node = broken
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] = value

    with pytest.raises(ValueError, match="line 1"):
        PyCompose.from_json(json.dumps(broken))


def test_all_parts_of_the_stack_are_in_it(composition: Composition) -> None:
    assert {"temporal", "postgres", "mail", "sandbox", "gateway", "worker", "backend"} <= set(composition.services)


def test_the_server_gets_exactly_our_search_attributes(composition: Composition) -> None:
    given = {
        argument.removeprefix("--search-attribute=")
        for argument in composition.services["temporal"].command
        if argument.startswith("--search-attribute=")
    }
    names: dict[int, str] = {
        IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD: "Keyword",
        IndexedValueType.INDEXED_VALUE_TYPE_DATETIME: "Datetime",
        IndexedValueType.INDEXED_VALUE_TYPE_INT: "Int",
        IndexedValueType.INDEXED_VALUE_TYPE_BOOL: "Bool",
    }

    assert given == {f"{key.name}={names[key.indexed_value_type]}" for key in SEARCH_ATTRIBUTES}
    assert len(given) == 10


def test_virtual_clocks_are_allowed(composition: Composition) -> None:
    flag = "--dynamic-config-value=frontend.WorkflowTimeSkippingEnabled=true"

    assert flag in composition.services["temporal"].command


def test_every_program_of_ours_exists(composition: Composition) -> None:
    for name, service in composition.services.items():
        if service.command[:2] == ("python", "-m"):
            module = service.command[2]
            found = importlib.util.find_spec(module)
            assert found is not None, f"{name}: no module {module}"
            is_package = bool(found.submodule_search_locations)
            assert not is_package or importlib.util.find_spec(f"{module}.__main__"), f"{name}: {module} cannot run"


def test_ports_are_published_on_this_machine_only_and_once(composition: Composition) -> None:
    published = [port for service in composition.services.values() for port in service.ports]

    assert all(port.startswith("127.0.0.1:") for port in published)
    assert len({port for service in composition.services.values() for port in service.host_ports}) == len(published)


def test_locally_every_address_is_on_this_machine(document: dict[str, Any]) -> None:
    env, urls = shared(compose(document, chosen_variables(document, "fixed")), ROOT)

    assert env["TEMPORAL_ADDRESS"] == urls["temporal"] == "127.0.0.1:7233"
    assert urls["ledger"].endswith("@127.0.0.1:5432/dunning")
    assert urls["smtp"] == "127.0.0.1:1025"
    for name in ("sandbox", "gateway", "mail", "temporal_ui"):
        assert urls[name].startswith("http://127.0.0.1:")


def test_free_ports_are_all_different_and_used_throughout(document: dict[str, Any]) -> None:
    variables = chosen_variables(document, "free")
    ports = [value for name, value in variables.items() if name.endswith("_PORT")]
    composition = compose(document, variables)

    assert len(set(ports)) == len(ports) >= 7
    assert composition.services["sandbox"].environment["DUNNING_SANDBOX_URL"].endswith(variables["SANDBOX_PORT"])
    assert f"--port={variables['SANDBOX_PORT']}" in composition.services["sandbox"].command


def test_a_taken_port_is_refused_with_a_way_out(document: dict[str, Any]) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        composition = compose(document, {"MAIL_PORT": str(port)})

        with pytest.raises(StackError, match=rf"{port} \(mail\).*TEMPORAL_PORT"):
            refuse_taken_ports(composition, ["mail"])


def test_dependencies_come_first(composition: Composition) -> None:
    assert composition.needed_for(["worker"]) == ["temporal", "postgres", "migrate", "worker"]
    with pytest.raises(StackError, match="no service 'wroker'"):
        composition.needed_for(["wroker"])


def test_a_circle_of_dependencies_is_named() -> None:
    circle = compose({"services": {"a": {"depends_on": ["b"]}, "b": {"depends_on": ["a"]}}}, {})

    with pytest.raises(StackError, match="a -> b -> a"):
        circle.needed_for(["a"])


@pytest.mark.parametrize(
    ("text", "variables", "filled"),
    [
        ("${A}", {"A": "x"}, "x"),
        ("${A:-d}/${A-d}", {}, "d/d"),
        ("${A:-d}/${A-d}", {"A": ""}, "d/"),
        ("$${A}", {"A": "x"}, "${A}"),
        ("${A:-}", {}, ""),
        ("$A", {"A": "x"}, "$A"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, variables: dict[str, str], filled: str) -> None:
    assert interpolate({"k": [text]}, variables) == {"k": [filled]}


def test_a_variable_without_value_is_named() -> None:
    with pytest.raises(StackError, match="variable NOWHERE"):
        interpolate("${NOWHERE}", {})


@pytest.mark.parametrize(("text", "seconds"), [("200ms", 0.2), ("5s", 5.0), ("1m30s", 90.0), ("1h", 3600.0), (3, 3.0)])
def test_durations_are_read(text: str | int, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "5 s", "s5", "5d"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration(text)


def test_the_accounts_of_development_lead_to_the_stack_only(
    document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    env, urls = shared(compose(document, chosen_variables(document, "free")), ROOT)
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    demo = load_settings().account("demo")

    assert (demo.provider, demo.mode, demo.base_url) == ("dodo", "test", urls["sandbox"])
    assert demo.backend_url == f"{urls['backend']}/events"
    assert demo.whatsapp is not None
    assert demo.whatsapp.base_url == urls["sandbox"]
    assert demo.smtp is not None
    assert f"{demo.smtp.host}:{demo.smtp.port}" == urls["smtp"]
    assert [secret.get_secret_value() for secret in demo.webhook_secrets] == [env["DUNNING_SANDBOX_WEBHOOK_SECRET"]]


def test_lines_of_any_program_get_one_form() -> None:
    ours = structured("worker", '{"event": "paid", "level": "warning", "at": "T", "email": "a@b.example"}')
    temporal = structured("temporal", '{"level":"error","ts":"T","msg":"no","error":"e"}')
    plain = structured("postgres", "ready, says +6281234567890")

    assert ours == {"at": "T", "service": "worker", "level": "warning", "event": "paid", "email": "[redacted]"}
    assert temporal == {"at": "T", "service": "temporal", "level": "error", "event": "no", "error": "e"}
    assert (plain["service"], plain["event"]) == ("postgres", "ready, says [redacted]")


def test_the_journal_takes_each_line_once_and_waits_for_its_end(tmp_path: Path) -> None:
    heard: list[str] = []
    journal = Journal(tmp_path / "all.jsonl", lambda entry: heard.append(entry["event"]))
    journal.follow("one", tmp_path / "one.log")
    with (tmp_path / "one.log").open("w") as log:
        for written in ("first\nsec", "ond\n", "\n", "unfinished"):
            log.write(written)
            log.flush()
            journal.drain()

    assert heard == ["first", "second"]
    assert len((tmp_path / "all.jsonl").read_text().splitlines()) == 2
