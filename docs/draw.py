"""Draws docs/states.md, docs/commands.md and docs/events.md from the code: `python docs/draw.py`.

A test runs the same functions and fails when a page is stale, so a picture cannot lie.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from string import ascii_lowercase
from typing import Any, TypeVar

from dunning.domain.command_table import ALLOWED, COMMAND_TABLE, WAITS
from dunning.domain.event_catalogue import CATALOGUE, TEST_EVENT, example_of, known_types
from dunning.domain.event_data import TestData
from dunning.domain.messages import EventType
from dunning.domain.plan_rules import PLAN_RULES, Way
from dunning.domain.tables import CYCLE_TABLE, SUBSCRIPTION_TABLE, SubscriptionStatus

S = TypeVar("S", bound=StrEnum)
F = TypeVar("F", bound=StrEnum)

HERE = Path(__file__).parent
NOTE = "<!-- Drawn by docs/draw.py from the code. Do not edit. -->"


def states() -> str:
    """The page of both state machines."""
    parts = [
        "# States",
        NOTE,
        "",
        "Both machines are tables in `src/dunning/domain/tables.py`. A pair that is absent is illegal and changes",
        "nothing.",
        "",
        "## Subscription",
        "",
        *_diagram(SUBSCRIPTION_TABLE),
        "",
        *_table(SUBSCRIPTION_TABLE, "subscription state"),
        "",
        "## Cycle, or charge on demand",
        "",
        *_diagram(CYCLE_TABLE),
        "",
        *_table(CYCLE_TABLE, "cycle state"),
        "",
    ]
    return "\n".join(parts)


def _diagram(table: Mapping[S, Mapping[F, S]]) -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2"]
    for state, row in table.items():
        by_target: dict[S, list[str]] = {}
        for fact, target in row.items():
            by_target.setdefault(target, []).append(fact.value)
        lines.extend(f"    {state.value} --> {target.value}: {', '.join(facts)}" for target, facts in by_target.items())
        if not row:
            lines.append(f"    {state.value} --> [*]")
    return [*lines, "```"]


def _table(table: Mapping[S, Mapping[F, S]], title: str) -> list[str]:
    lines = [f"| {title} | fact -> state |", "|---|---|"]
    for state, row in table.items():
        moves = "; ".join(f"{fact.value} -> {target.value}" for fact, target in row.items()) or "none"
        lines.append(f"| `{state.value}` | {moves} |")
    return lines


def commands() -> str:
    """The page of the command x state table."""
    columns = [s.value for s in SubscriptionStatus]
    lines = [
        "# Commands",
        NOTE,
        "",
        "Every command in every state, from `src/dunning/domain/command_table.py`. `yes`: allowed (what it asks for",
        "is checked besides). A number: refused, with the reason below. `*`: put off while a charge is on its way.",
        "",
        "| command | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    reasons: list[str] = []
    for name, row in COMMAND_TABLE.items():
        cells = [_cell(row[s], reasons) for s in SubscriptionStatus]
        lines.append(f"| `{name}`{'*' if name in WAITS else ''} | " + " | ".join(cells) + " |")
    lines += ["", *(f"{n}. {reason}" for n, reason in enumerate(reasons, start=1)), "", *_ways()]
    return "\n".join(lines)


def _ways() -> list[str]:
    """By which means a command is carried out where the provider runs the calendar."""
    lines = [
        "## Where the provider runs the calendar",
        "",
        "With `collection: provider`, from `src/dunning/domain/plan_rules.py`. `engine`: as above. `plan`: the",
        "provider's plan is changed. `end_plan`: as above, and the plan is ended at once. `take_over`: the plan is",
        "ended and read back, and then as above; inside the provider's own retries that waits. `app`: only the",
        "customer can, in your app: nothing changes, and the answer is what the app passes on. A letter: refused, with",
        "the reason below.",
        "",
        "| command | " + " | ".join(PLAN_RULES) + " |",
        "|---|" + "---|" * len(PLAN_RULES),
    ]
    reasons: list[str] = []
    for name in COMMAND_TABLE:
        cells = [_way(rules.way(name), reasons) for rules in PLAN_RULES.values()]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return [*lines, "", *(f"- {ascii_lowercase[n]}: {reason}" for n, reason in enumerate(reasons)), ""]


def _way(way: Way, reasons: list[str]) -> str:
    if not way.because:
        return way.means.value
    if way.because not in reasons:
        reasons.append(way.because)
    return ascii_lowercase[reasons.index(way.because)]


def _cell(value: str, reasons: list[str]) -> str:
    if value == ALLOWED:
        return "yes"
    if value not in reasons:
        reasons.append(value)
    return str(reasons.index(value) + 1)


def events() -> str:
    """The page of all events: what is written by hand, then every name with its fields and an example."""
    lines = ["# Events", NOTE.replace("code.", "code and from docs/events.intro.md."), "", _intro(), ""]
    lines += ["## Every event", "", "| event | when |", "|---|---|"]
    for name in known_types():
        lines.append(f"| [`{name}`](#{name.replace('.', '')}) | {_when(name)} |")
    lines += ["", "Amounts are integers in minor units. `?` marks fields that may be null or missing.", ""]
    for name in known_types():
        lines += [f"### {name}", "", _when(name), "", *_fields(name), "", "```json"]
        lines += [json.dumps(example_of(name), indent=2), "```", ""]
    return "\n".join(lines)


def _intro() -> str:
    return (HERE / "events.intro.md").read_text(encoding="utf-8").strip()


def _when(name: str) -> str:
    return "Only when you ask for it." if name == TEST_EVENT else CATALOGUE[EventType(name)].when


def _fields(name: str) -> list[str]:
    model = TestData if name == TEST_EVENT else CATALOGUE[EventType(name)].model
    schema = model.model_json_schema(mode="serialization")
    lines = ["| field of `data` | what |", "|---|---|"]
    for field, shape in schema["properties"].items():
        is_loose = field not in schema.get("required", ()) or {"type": "null"} in shape.get("anyOf", ())
        text = shape.get("description") or next(
            (one["description"] for one in shape.get("anyOf", ()) if "description" in one), ""
        )
        lines.append(f"| `{field}`{'?' if is_loose else ''} | {'; '.join(p for p in (_kind(shape), text) if p)} |")
    return lines


def _kind(shape: dict[str, Any]) -> str:
    kinds = [one for one in shape.get("anyOf", [shape]) if one.get("type") != "null"]
    words = {"date-time": "instant"}
    found = [
        one["$ref"].rpartition("/")[2] if "$ref" in one else words.get(one.get("format", ""), one.get("type", ""))
        for one in kinds
    ]
    return {"EventAccess": "see [Access](#access)"}.get(found[0], found[0])


PAGES = {"states.md": states, "commands.md": commands, "events.md": events}

if __name__ == "__main__":
    for name, draw in PAGES.items():
        (HERE / name).write_text(draw())
