"""The description and the page are whole, true, and need no outside address."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import jsonschema
import pytest

from dunning.domain.command_table import COMMAND_TABLE
from dunning.gateway.api import examples
from dunning.gateway.api.problems import KINDS
from dunning.gateway.api.steering import COMMANDS
from dunning.intake import parse_command, parse_subscription
from tests.api.desk import Desk, document

pytestmark = pytest.mark.server


@pytest.fixture
async def described(desk: Desk) -> dict[str, Any]:
    found: dict[str, Any] = (await desk.http.get("/openapi.json")).json()
    return found


def conforms(described: dict[str, Any], value: Any, schema: dict[str, Any]) -> None:
    whole = {**schema, "components": described["components"]}
    jsonschema.Draft202012Validator(whole).validate(value)


async def test_every_command_has_its_route_and_its_example(described: dict[str, Any]) -> None:
    assert set(COMMANDS) == set(COMMAND_TABLE) == set(examples.COMMANDS)
    for name, example in examples.COMMANDS.items():
        assert f"/v1/subscriptions/{{subscription_id}}/{name}" in described["paths"]
        assert parse_command({"name": name, **example}).command_id == example["command_id"]


async def test_every_example_is_what_its_schema_says(described: dict[str, Any]) -> None:
    shown = 0
    for operations in described["paths"].values():
        for operation in operations.values():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for content in (c for body in bodies for c in body.get("content", {}).values()):
                values = [e["value"] for e in content.get("examples", {}).values()]
                values += [content["example"]] if "example" in content else []
                for value in values:
                    conforms(described, value, content["schema"])
                    shown += 1
    assert shown >= 2 + 2 * len(COMMANDS)


async def test_the_examples_are_accepted(desk: Desk) -> None:
    assert parse_subscription({**examples.SUBSCRIPTION, "merchant_account": "demo"}).id == "sub-4711"
    assert (await desk.create()).status_code == 201
    answer = await desk.ask("POST", "/previews", json=examples.PREVIEW)
    assert (answer.status_code, answer.json()) == (200, examples.shown_preview())


async def test_answers_are_what_their_schema_says(desk: Desk, described: dict[str, Any]) -> None:
    await desk.create()
    for path in ("", "/occurrences", "/attempts", "/notices", "/events"):
        answer = await desk.ask("GET", f"/subscriptions/sub-4711{path}")
        route = described["paths"][f"/v1/subscriptions/{{subscription_id}}{path}"]["get"]
        conforms(described, answer.json(), route["responses"]["200"]["content"]["application/json"]["schema"])


async def test_the_schema_refuses_what_we_refuse(desk: Desk, described: dict[str, Any]) -> None:
    schema = {"$ref": "#/components/schemas/NewSubscription"}
    conforms(described, document(), schema)
    changes: dict[str, Any]
    for changes in ({"surplus": 1}, {"id": "a b"}, {"items": []}, {"currency": 5}, {"schedule": {"interval": "DAY"}}):
        with pytest.raises(jsonschema.ValidationError):
            conforms(described, document(**changes), schema)
        assert (await desk.create(**changes)).status_code == 422


class Addresses(HTMLParser):
    """Everything that a browser would load or follow, and the places that can be jumped to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("href", "src", "action"):
                self.links.append(value or "")
            if name == "id":
                self.ids.add(value or "")


async def test_the_page_loads_nothing_and_every_link_on_it_leads_somewhere(desk: Desk) -> None:
    answer = await desk.http.get("/docs")
    found = Addresses()
    found.feed(answer.text)
    assert not {"script", "link", "img", "iframe", "form", "object"} & found.tags
    assert not re.search(r"url\(|@import", answer.text)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert len(found.links) >= 40
    for link in found.links:
        assert link == "/openapi.json" or link[1:] in found.ids, link


async def test_the_page_shows_every_operation_and_every_problem(desk: Desk, described: dict[str, Any]) -> None:
    text = (await desk.http.get("/docs")).text
    found = Addresses()
    found.feed(text)
    operations = {one["operationId"] for path in described["paths"].values() for one in path.values()}
    assert operations | set(KINDS) <= found.ids
    assert len(operations) == len(described["paths"]) + 1
