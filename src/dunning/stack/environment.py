"""Ports, addresses and environments of the local processes."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from dunning.errors import StackError
from dunning.stack.compose import Composition, Service, variables_in
from dunning.stack.places import free_port, is_free

_HERE = "127.0.0.1"
# What a developer's shell says about other ledgers and servers must not reach the stack.
_NOT_INHERITED = ("DUNNING_", "TEMPORAL_", "PG", "POSTGRES_")


def chosen_variables(document: Mapping[str, Any], ports: Literal["fixed", "free"]) -> dict[str, str]:
    """A value for every variable of the file: hosts are this machine, ports are fixed or free."""
    chosen: dict[str, str] = {}
    for name, default in variables_in(document).items():
        if name.endswith("_HOST"):
            chosen[name] = _HERE
        elif name.endswith("_PORT") and ports == "free":
            chosen[name] = str(free_port())
        elif os.environ.get(name) or default is not None:
            chosen[name] = os.environ.get(name) or str(default)
    return chosen


def refuse_taken_ports(composition: Composition, names: Sequence[str]) -> None:
    """Raise `StackError` naming every port that somebody else listens on."""
    taken = [
        f"{port} ({name})" for name in names for port in composition.services[name].host_ports if not is_free(port)
    ]
    if taken:
        raise StackError(
            f"ports are taken: {', '.join(taken)}; is another stack running? Other ports can be given in the "
            "environment, such as TEMPORAL_PORT=7300"
        )


def shared(composition: Composition, root: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The environment that all our processes share, with files made absolute; its addresses by name."""
    env = {
        name: str(root / value) if name.endswith("_FILE") else value for name, value in composition.environment.items()
    }
    urls = {
        name.removeprefix("DUNNING_").removesuffix("_URL").lower(): value
        for name, value in env.items()
        if name.endswith("_URL")
    }
    urls["temporal"] = env.get("TEMPORAL_ADDRESS", "")
    urls["smtp"] = f"{env.get('DUNNING_SMTP_HOST', '')}:{env.get('DUNNING_SMTP_PORT', '')}"
    return env, urls


def child_environment(service: Service) -> dict[str, str]:
    """The environment of a service's process: the file's, over what is harmless of ours."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    programs = str(Path(sys.executable).parent)
    return {
        **inherited,
        "PATH": f"{programs}{os.pathsep}{inherited.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        **service.environment,
    }
