"""Omise's error answers: an error object with an HTTP status. A decline is none: that is a charge. Sheet B1, B9."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dunning.sandbox.errors import ApiError

STATUS_OF = {"authentication_failure": 401, "not_found": 404, "too_many_requests": 429, "internal_error": 500}
DEFAULT_STATUS = 400
_SHARED = {"TOO_MANY_REQUESTS": "too_many_requests"}
"""What the bank that all providers of the sandbox share may say."""


class OmiseError(Exception):
    """A refusal in Omise's form. Nothing was charged."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def omise_error(code: str, message: str, status: int | None = None) -> JSONResponse:
    """The answer that carries one refusal."""
    body = {
        "object": "error",
        "location": f"https://www.omise.co/api-errors#{code.replace('_', '-')}",
        "code": code,
        "message": message,
    }
    return JSONResponse(body, status_code=status or STATUS_OF.get(code, DEFAULT_STATUS))


def not_found(kind: str, name: str) -> OmiseError:
    """Something is not there."""
    return OmiseError("not_found", f"{kind} {name} was not found")


def fault_of(status: int) -> JSONResponse:
    """The answer of a fault that somebody asked for."""
    code = {401: "authentication_failure", 429: "too_many_requests"}.get(status, "internal_error")
    return omise_error(code, "a fault of the sandbox", status)


def install_error_handlers(app: FastAPI) -> None:
    """Make every refusal of the app, also those of the framework, speak Omise's form."""

    @app.exception_handler(OmiseError)
    async def refused(request: Request, error: OmiseError) -> JSONResponse:
        return omise_error(error.code, error.message)

    @app.exception_handler(ApiError)
    async def shared(request: Request, error: ApiError) -> JSONResponse:
        return omise_error(_SHARED.get(error.code, "bad_request"), error.message)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return omise_error("bad_request", "; ".join(str(one["msg"]) for one in error.errors()))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        code = "not_found" if error.status_code == 404 else "bad_request"
        return omise_error(code, f"{request.url.path}: {error.detail}", error.status_code)
