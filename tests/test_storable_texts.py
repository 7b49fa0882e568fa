"""What no ledger can keep is refused where it comes in, by field, rule and value. SPEC 4."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import pytest

from dunning.domain.fields import LARGEST, STORABLE
from dunning.errors import InvalidInput
from dunning.intake import parse_command, parse_subscription
from tests.builders import ANCHOR, CREATED, at, subscription_data
from tests.ledger.conftest import till
from tests.ledger.till import Till

__all__ = ["till"]
WHOLE = subscription_data(
    provider_options={
        "country": "ID", "product_id": "p", "subscription_id": "s", "customer_id": "c", "city": "Ubud",
        "state": "Bali", "street": "Jalan", "zipcode": "80571", "return_url": "https://shop.example",
    },
    payment_methods=[
        {"token": "pm_1", "authorized_at": ANCHOR, "expires": "2030-01", "network": "visa", "fingerprint": "f"}
    ],
    created_at=CREATED,
    metadata={"plan": "pro", "note": "two words"},
)  # fmt: skip
COMMANDS: list[dict[str, Any]] = [
    {"name": "charge", "command_id": "c", "amount": 1, "currency": "IDR", "description": "d", "metadata": {"k": "v"}},
    {"name": "update_payment_method", "command_id": "c", "token": "t", "expires": "2030-01", "network": "visa"},
    {"name": "retry_now", "command_id": "c", "obligation": "1"},
]
BAD = ["\x00", "\ud800", "\udfff"]


def texts(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every text in a document."""
    if isinstance(node, str):
        yield path
    elif isinstance(node, Mapping):
        for name, inner in node.items():
            yield from texts(inner, (*path, name))
    elif isinstance(node, list):
        for place, inner in enumerate(node):
            yield from texts(inner, (*path, place))


def with_text(document: Mapping[str, Any], path: tuple[Any, ...], more: str) -> dict[str, Any]:
    """The document with something added to one of its texts."""
    changed = deepcopy(dict(document))
    node: Any = changed
    for part in path[:-1]:
        node = node[part]
    node[path[-1]] += more
    return changed


def refused(parse: Any, document: Mapping[str, Any]) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse(document)
    for fault in caught.value.faults:
        # It reaches answers and logs, so it must be text that can be written.
        json.dumps([fault.field, fault.rule, fault.value], ensure_ascii=False).encode()
    return caught.value


@pytest.mark.parametrize("bad", BAD, ids=ascii)
@pytest.mark.parametrize("path", list(texts(WHOLE)), ids=lambda path: ".".join(map(str, path)))
def test_no_text_of_a_subscription_holds_what_cannot_be_stored(path: tuple[Any, ...], bad: str) -> None:
    found = refused(parse_subscription, with_text(WHOLE, path, bad))
    assert ".".join(str(part) for part in path) in {fault.field for fault in found.faults}


@pytest.mark.parametrize(
    "field", ["description", "metadata.note", "payment_methods.0.network", "provider_options.city"]
)
def test_the_refusal_says_why_and_shows_the_value_where_that_is_not_personal(field: str) -> None:
    path = tuple(int(part) if part.isdigit() else part for part in field.split("."))
    (fault,) = refused(parse_subscription, with_text(WHOLE, path, "\x00")).faults
    assert (fault.field, fault.rule) == (field, STORABLE)
    assert fault.value == "[not shown]" if "city" in field else str(fault.value).endswith("\\u0000")


@pytest.mark.parametrize("bad", BAD, ids=ascii)
def test_no_name_in_metadata_holds_what_cannot_be_stored(bad: str) -> None:
    (fault,) = refused(parse_subscription, {**WHOLE, "metadata": {f"a{bad}": "b"}}).faults
    assert fault.field.startswith("metadata.a")
    assert fault.rule == STORABLE


@pytest.mark.parametrize("bad", BAD, ids=ascii)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command["name"]))
def test_no_text_of_a_command_holds_what_cannot_be_stored(command: dict[str, Any], bad: str) -> None:
    for path in texts(command):
        if path != ("name",):
            fields = {fault.field for fault in refused(parse_command, with_text(command, path, bad)).faults}
            assert fields == {".".join(str(part) for part in path)}


@pytest.mark.parametrize("number", [LARGEST + 1, -LARGEST - 2, 10**400])
def test_an_integer_of_metadata_beyond_64_bits_is_refused(number: int) -> None:
    (fault,) = refused(parse_subscription, {**WHOLE, "metadata": {"count": number}}).faults
    assert (fault.field, fault.value) == ("metadata.count", number)
    assert fault.rule == "must be an integer of 64 bits, from -2^63 to 2^63 - 1"
    command = {**COMMANDS[0], "metadata": {"count": number}}
    assert [one.field for one in refused(parse_command, command).faults] == ["metadata.count"]


def test_the_smallest_and_the_largest_integer_of_64_bits_are_taken() -> None:
    given = {"least": -LARGEST - 1, "most": LARGEST, "flag": True}
    assert parse_subscription({**WHOLE, "metadata": given}).metadata == given


@pytest.mark.server
async def test_every_other_character_is_taken_and_comes_back_from_the_ledger_as_it_was(till: Till) -> None:
    odd = "".join(map(chr, [1, 8, 0x1B, 0x7F, 0x85, 0xD7FF, 0xE000, 0xFFFD, 0xFFFE, 0xFFFF, 0x10FFFF])) + "\\u0000"
    given = parse_subscription({**WHOLE, "description": odd, "metadata": {"note": odd, "most": LARGEST}})
    await till.ledger.create_subscription(given, now=at(CREATED))
    stored = await till.ledger.read_subscription("demo", given.id)
    assert (stored.terms.description, stored.terms.metadata) == (odd, {"note": odd, "most": LARGEST})
