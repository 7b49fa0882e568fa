"""A group of commands that lists by default."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class OrList(TyperGroup):
    """`NAME ID` is `NAME list ID`; a subscription that is called like a command is listed by the long form."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before what is no command."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["list", *args]
        return super().parse_args(ctx, args)
