"""Dodo's error answers: `{"code", "message"}` with an HTTP status.

The provider publishes codes, not which HTTP status each comes with, so callers must branch on the code. Here
a request that cannot be read is 422, one that the subscription's state forbids is 409.
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

STATUS_OF = {
    "UNAUTHORIZED": 401,
    "MERCHANT_NOT_LIVE": 403,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "CHECKOUT_SESSION_CONSUMED": 410,
    "PREVIOUS_PAYMENT_PENDING": 409,
    "SUBSCRIPTION_INACTIVE": 409,
    "SUBSCRIPTION_EXPIRED": 409,
    "SUBSCRIPTION_NOT_ON_DEMAND": 409,
    "CHARGE_NOT_ALLOWED_FOR_SCHEDULED_CANCELLATION": 409,
    "TOO_MANY_REQUESTS": 429,
    "INTERNAL_SERVER_ERROR": 500,
}
DEFAULT_STATUS = 422


class ApiError(Exception):
    """A refusal in Dodo's form. Nothing was charged."""

    def __init__(self, code: str, message: str, status: int | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = STATUS_OF.get(code, DEFAULT_STATUS) if status is None else status


def error_response(code: str, message: str, status: int | None = None) -> JSONResponse:
    """The answer that carries one refusal."""
    found = STATUS_OF.get(code, DEFAULT_STATUS) if status is None else status
    return JSONResponse({"code": code, "message": message}, status_code=found)


def install_error_handlers(app: FastAPI) -> None:
    """Make every refusal of the app, also those of the framework, speak Dodo's form."""

    @app.exception_handler(ApiError)
    async def refused(request: Request, error: ApiError) -> JSONResponse:
        return error_response(error.code, error.message, error.status)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors()]
        in_query = any(one["loc"][0] == "query" for one in error.errors())
        code = "INVALID_QUERY_PARAMS" if in_query else "INVALID_REQUEST_BODY"
        return error_response(code, "; ".join(faults) or "the body cannot be read")

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        known = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}
        code = known.get(error.status_code, "INVALID_REQUEST_PARAMETERS")
        return error_response(code, str(error.detail), error.status_code)
