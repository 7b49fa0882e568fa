"""How routes reach the sandbox that they belong to."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from dunning.sandbox.state import Sandbox


def _sandbox_of(request: Request) -> Sandbox:
    found = request.app.state.sandbox
    if not isinstance(found, Sandbox):
        raise TypeError("this application was made without a sandbox")
    return found


Here = Annotated[Sandbox, Depends(_sandbox_of)]
