"""Reads a Compose file as far as the stack needs it: what to run, where, in which order, and when it is well.

Variables are filled in as Compose does it: `${NAME}`, `${NAME:-default}`, `$$`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from dunning.errors import StackError

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]

_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?:(?P<kind>:?-)(?P<default>[^}]*))?\})")
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>us|ms|s|m|h)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class HealthCheck(_Part):
    """When a service is well. Durations are seconds."""

    test: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float = 5.0

    @field_validator("interval", "timeout", "start_period", "start_interval", mode="before")
    @classmethod
    def _read_duration(cls, value: Any) -> float:
        return duration(value)

    @property
    def command(self) -> tuple[str, ...]:
        """The command that ends well when the service is well; raises `StackError` for other forms."""
        if self.test[:1] == ("CMD",):
            return self.test[1:]
        raise StackError(f"a health check must be a list that begins with CMD, not {self.test[:1]}")

    @property
    def patience(self) -> float:
        """Seconds after which a service that never was well is given up."""
        return self.start_period + self.interval * self.retries


class LocalHints(_Part):
    """`x-dunning`: what a local process needs beside the Compose file's own words.

    Attributes:
        runner: `postgres` prepares a data directory and drops root's rights.
        stop_seconds: how long to wait locally before killing; None: the grace period.
        durable: arguments that let it find its state again after a restart; `{scratch}` is a directory of its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    runner: Literal["program", "postgres"] = "program"
    stop_seconds: float | None = None
    durable: tuple[str, ...] = ()


class Service(_Part):
    """One service. Its own port numbers are in its command; `ports` says which of them are published."""

    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    ports: tuple[str, ...] = ()
    depends_on: dict[str, Condition] = {}
    healthcheck: HealthCheck | None = None
    stop_signal: str = "SIGTERM"
    stop_grace_period: float = 10.0
    local: LocalHints = Field(default=LocalHints(), alias="x-dunning")

    @field_validator("environment", mode="before")
    @classmethod
    def _read_environment(cls, value: Any) -> Any:
        return {key: str(text) for key, text in value.items()} if isinstance(value, dict) else value

    @field_validator("depends_on", mode="before")
    @classmethod
    def _read_conditions(cls, value: Any) -> Any:
        if isinstance(value, list):
            return dict.fromkeys(value, "service_started")
        return {name: entry["condition"] for name, entry in value.items()}

    @field_validator("stop_grace_period", mode="before")
    @classmethod
    def _read_grace(cls, value: Any) -> float:
        return duration(value)

    @property
    def host_ports(self) -> tuple[int, ...]:
        """The ports that it takes on this machine."""
        return tuple(int(port.split(":")[-2]) for port in self.ports)

    @property
    def stop_seconds(self) -> float:
        """How long to wait for an orderly end."""
        return self.stop_grace_period if self.local.stop_seconds is None else self.local.stop_seconds


class Composition(_Part):
    """The services by name, and the environment that all of ours share."""

    services: dict[str, Service]
    environment: dict[str, str] = Field(default={}, alias="x-environment")

    def needed_for(self, names: list[str]) -> list[str]:
        """These services after what they depend on; raises `StackError` for unknown ones."""
        ordered: list[str] = []

        def add(name: str, above: tuple[str, ...]) -> None:
            if name in above:
                raise StackError(f"services depend on each other: {' -> '.join((*above, name))}")
            if name not in self.services:
                raise StackError(f"no service {name!r} (there are: {', '.join(self.services)})")
            if name not in ordered:
                for other in self.services[name].depends_on:
                    add(other, (*above, name))
                ordered.append(name)

        for name in names:
            add(name, ())
        return ordered


def read_document(file: Path) -> dict[str, Any]:
    """The file as it stands, variables untouched; raises `StackError`."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise StackError(f"{file}: {error}") from None
    if not isinstance(content, dict):
        raise StackError(f"{file}: not a Compose file")
    return content


def compose(document: Mapping[str, Any], variables: Mapping[str, str]) -> Composition:
    """The document with variables filled in; raises `StackError` naming what cannot be read."""
    try:
        return Composition.model_validate(interpolate(document, variables))
    except ValidationError as error:
        raise StackError(f"the Compose file: {error}") from None


def variables_in(node: Any) -> dict[str, str | None]:
    """Every variable of a document and its default, None without one."""
    found: dict[str, str | None] = {}
    if isinstance(node, str):
        for match in _VARIABLE.finditer(node):
            if match["name"]:
                found[match["name"]] = match["default"]
    elif isinstance(node, Mapping):
        for inner in node.values():
            found |= variables_in(inner)
    elif isinstance(node, list):
        for inner in node:
            found |= variables_in(inner)
    return found


def interpolate(node: Any, variables: Mapping[str, str]) -> Any:
    """The node with every variable filled in; raises `StackError` for one without value and default."""
    if isinstance(node, str):
        return _VARIABLE.sub(lambda match: _value(match, variables), node)
    if isinstance(node, Mapping):
        return {key: interpolate(inner, variables) for key, inner in node.items()}
    if isinstance(node, list):
        return [interpolate(inner, variables) for inner in node]
    return node


def duration(value: Any) -> float:
    """Seconds of a Compose duration such as `1m30s` or `200ms`; numbers are seconds already."""
    if isinstance(value, int | float):
        return float(value)
    parts = list(_DURATION.finditer(str(value)))
    if not parts or "".join(part[0] for part in parts) != value:
        raise ValueError(f"not a duration: {value!r}")
    return sum(float(part["number"]) * _SECONDS[part["unit"]] for part in parts)


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["dollar"]:
        return "$"
    known = variables.get(match["name"])
    if known is None or (known == "" and match["kind"] == ":-"):
        known = match["default"]
    if known is None:
        raise StackError(f"the Compose file needs the variable {match['name']}")
    return str(known)
