"""Omise's part of the sandbox: an application of its own under `/omise`, so that every error speaks its form."""

from __future__ import annotations

import json

from fastapi import FastAPI
from starlette.responses import Response

from dunning.sandbox import omise_charges, omise_customers, omise_schedules
from dunning.sandbox.faults import Target
from dunning.sandbox.omise_errors import fault_of, install_error_handlers
from dunning.sandbox.state import Sandbox

PREFIX = "/omise"


def create_app(sandbox: Sandbox) -> FastAPI:
    """Omise's routes over the shared state."""
    app = FastAPI(title="Omise", redirect_slashes=False, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.sandbox = sandbox
    install_error_handlers(app)
    for router in (omise_schedules.router, omise_customers.router, omise_customers.vault, omise_charges.router):
        app.include_router(router)
    return app


class OmiseFace:
    """What the gate has to know of Omise: which requests are which, and how a fault looks."""

    prefix = PREFIX

    def classify(self, method: str, path: str) -> tuple[Target, str | None]:
        """Which kind of request this is, with the charge's id if its path holds one."""
        parts = path.removeprefix(PREFIX).strip("/").split("/")
        if parts == ["charges"]:
            return ("charge", None) if method == "POST" else ("lookup", None)
        if parts[0] == "charges" and len(parts) == 2 and method == "GET":
            return "lookup", parts[1]
        if parts[0] == "charges" and parts[-1] == "refunds" and method == "POST":
            return "refund", parts[1]
        if parts in (["customers"], ["schedules"]) and method == "POST":
            return "mandate", None
        if parts[-1] == "schedules" and method == "GET":
            return "lookup", None
        if parts[0] == "schedules" and method == "DELETE":
            return "end", None
        return "any", None

    def reference_in(self, body: bytes) -> str | None:
        """Whom a charge request is about."""
        try:
            found = json.loads(body)
        except ValueError:
            return None
        customer = found.get("customer") if isinstance(found, dict) else None
        return customer if isinstance(customer, str) else None

    def refusal(self, status: int) -> Response:
        """A fault's answer."""
        return fault_of(status)
