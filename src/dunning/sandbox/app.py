"""The sandbox as one ASGI application."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp

from dunning.sandbox import (
    control,
    control_clock,
    control_plans,
    control_world,
    dodo,
    dodo_creation,
    dodo_endpoints,
    dodo_payments,
    dodo_refunds,
    hosted,
    omise,
    play,
    play_control,
    play_prices,
    whatsapp,
    xendit,
)
from dunning.sandbox.errors import install_error_handlers
from dunning.sandbox.gate import Gate
from dunning.sandbox.state import Sandbox


def create_app(sandbox: Sandbox) -> ASGIApp:
    """All routes over one state, behind the gate."""
    app = FastAPI(title="Dunning sandbox", redirect_slashes=False)
    app.state.sandbox = sandbox
    install_error_handlers(app)

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    own = (control, control_clock, control_plans, control_world, play_control, play_prices)
    parts = (*own, dodo_creation, dodo, dodo_endpoints, dodo_payments, dodo_refunds, hosted, whatsapp)
    for part in parts:
        app.include_router(part.router)
    app.include_router(dodo_refunds.control)
    app.mount(omise.PREFIX, omise.create_app(sandbox))
    app.mount(xendit.PREFIX, xendit.create_app(sandbox))
    app.mount(play.PREFIX, play.create_app(sandbox))
    return Gate(app, sandbox, faces=(omise.OmiseFace(), xendit.XenditFace(sandbox), play.PlayFace()))
