"""Draws docs/states.md and docs/commands.md from the tables in the code: `python docs/draw.py`.

A test runs the same functions and fails when a page is stale, so a picture cannot lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from string import ascii_lowercase
from typing import TypeVar

from dunning.domain.command_table import ALLOWED, COMMAND_TABLE, WAITS
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
        "ended and read back, and then as above; inside the provider's own retries that waits. A letter: refused,",
        "with the reason below.",
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


PAGES = {"states.md": states, "commands.md": commands}

if __name__ == "__main__":
    for name, draw in PAGES.items():
        (HERE / name).write_text(draw())
