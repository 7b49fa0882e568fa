"""The HTTP API for product backends. SPEC 4, 9, 10, 18; written for its users in docs/api.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from dunning.gateway.api import (
    creation,
    customers,
    events,
    orders,
    portal,
    previews,
    records,
    steering,
    subscriptions,
)
from dunning.gateway.api.docs import CONTENT_POLICY, page
from dunning.gateway.api.house import Api
from dunning.gateway.api.openapi import describe
from dunning.gateway.api.problems import Trouble, answer, of_parameters, request_id_of
from dunning.gateway.api.requests import Traced, log

__all__ = ["Api", "add_api"]


def add_api(app: FastAPI, api: Api) -> None:
    """Put the API, its description and its documentation on the gateway's application."""
    app.state.api = api
    app.add_middleware(Traced)
    for part in (creation, subscriptions, records, events, steering, orders, portal, previews, customers):
        app.include_router(part.router)
    described = describe(app)
    _add_handlers(app, _allowed_by(described))
    _add_documentation(app, described)


def _add_handlers(app: FastAPI, allowed: Callable[[str], str]) -> None:
    @app.exception_handler(Trouble)
    async def trouble(request: Request, raised: Trouble) -> JSONResponse:
        return answer(request, raised)

    @app.exception_handler(RequestValidationError)
    async def parameters(request: Request, raised: RequestValidationError) -> JSONResponse:
        return answer(request, of_parameters(raised))

    @app.exception_handler(HTTPException)
    async def routing(request: Request, raised: HTTPException) -> JSONResponse:
        if raised.status_code == 405:
            methods = allowed(request.url.path) or (raised.headers or {}).get("Allow", "")
            return answer(request, Trouble("method-not-allowed", headers={"Allow": methods}))
        return answer(request, Trouble("not-found", "there is nothing at this address"))

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, raised: Exception) -> JSONResponse:
        # This runs outside the middleware that knows the request's id.
        log.error("api.failed", request_id=request_id_of(request), because=type(raised).__name__, exc_info=raised)
        return answer(request, Trouble("internal"))


def _allowed_by(described: dict[str, Any]) -> Callable[[str], str]:
    """Path -> every method that is taken there; Starlette itself names those of the first route alone."""
    known = [
        (compile_path(path)[0], ", ".join(sorted(m.upper() for m in ops))) for path, ops in described["paths"].items()
    ]

    def allowed(path: str) -> str:
        return next((methods for form, methods in known if form.match(path)), "")

    return allowed


def _add_documentation(app: FastAPI, described: dict[str, Any]) -> None:
    shown = page(described)

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> JSONResponse:
        return JSONResponse(described)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(shown, headers={"Content-Security-Policy": CONTENT_POLICY})
