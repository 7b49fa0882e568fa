"""The `dunning` command: every command in one place. SPEC 17.

Commands are loaded when they are called: what needs no server starts without its client.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.main import get_command

from dunning.cli.exits import Ended

_COMMANDS = {
    "demo": "dunning.cli.demo:demo",
    "dev": "dunning.cli.dev:dev",
    "doctor": "dunning.cli.doctor:doctor",
    "preview": "dunning.cli.preview:preview",
    "start": "dunning.cli.starting:start",
    "list": "dunning.cli.showing:list_",
    "show": "dunning.cli.showing:show",
    "attempts": "dunning.cli.showing:attempts",
    "events": "dunning.cli.events:events",
    "notices": "dunning.cli.notices:notices",
    "portal": "dunning.cli.portal:portal",
    "explain": "dunning.cli.explain:explain",
    "clock": "dunning.cli.clock:clock",
    "ledger": "dunning.cli.ledger:ledger",
    "keys": "dunning.cli.keys:keys",
    "codec-server": "dunning.cli.codec:codec_server",
    "play": "dunning.cli.play:play",
    "cancel": "dunning.cli.steering:cancel",
    "restore": "dunning.cli.steering:restore",
    "pause": "dunning.cli.steering:pause",
    "resume": "dunning.cli.steering:resume",
    "defer": "dunning.cli.steering:defer",
    "charge": "dunning.cli.steering:charge",
    "retry-now": "dunning.cli.steering:retry_now",
    "update-payment-method": "dunning.cli.steering:update_payment_method",
    "skip-cycle": "dunning.cli.steering:skip_cycle",
    "set-policy": "dunning.cli.steering:set_policy",
    "mark-fixed": "dunning.cli.steering:mark_fixed",
    "refund": "dunning.cli.steering:refund",
    "revoke": "dunning.cli.steering:revoke",
    "change-items": "dunning.cli.steering:change_items",
    "reinstate": "dunning.cli.steering:reinstate",
}
"""Name -> where it is: a function, or a `typer.Typer` with commands of its own. The order is the order of the help."""


class Commands(Ended):
    """The commands by name, imported one by one."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Every name, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a name; None when there is none."""
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, _, attribute = place.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, typer.Typer):
            group = get_command(found)
            group.name = cmd_name
            return group
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(cmd_name)(found)
        return get_command(alone)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Collects recurring payments and recovers failed ones.",
    epilog="Exit codes: 0 done, 1 differences or refused, 2 bad input, 3 not found, 4 a server cannot be reached.",
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        print(version("dunning"))
        raise typer.Exit


@app.callback()
def root(
    version_: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Collects recurring payments and recovers failed ones."""
