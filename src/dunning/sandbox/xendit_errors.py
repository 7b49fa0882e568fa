"""Xendit's error answers: `{"error_code", "message"}` with an HTTP status. Sheet A1, A2."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dunning.sandbox.errors import ApiError

STATUS_OF = {
    "INVALID_API_KEY": 401,
    "REQUEST_FORBIDDEN_ERROR": 403,
    "INELIGIBLE_CYCLE_REQUEST": 403,
    "MAXIMUM_LIMIT_REACHED": 403,
    "DATA_NOT_FOUND": 404,
    "CUSTOMER_NOT_FOUND_ERROR": 404,
    "DUPLICATE_ERROR": 409,
    "IDEMPOTENCY_ERROR": 409,
    "UNPROCESSABLE_ENTITY_ERROR": 422,
    "RATE_LIMIT_EXCEEDED": 429,
    "SERVER_ERROR": 500,
}
DEFAULT_STATUS = 400
_SHARED = {"TOO_MANY_REQUESTS": "RATE_LIMIT_EXCEEDED", "NOT_FOUND": "DATA_NOT_FOUND"}
"""What the bank that all providers of the sandbox share may say."""


class XenditError(Exception):
    """A refusal in Xendit's form. Nothing was charged."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def xendit_error(code: str, message: str, status: int | None = None) -> JSONResponse:
    """The answer that carries one refusal."""
    return JSONResponse(
        {"error_code": code, "message": message}, status_code=status or STATUS_OF.get(code, DEFAULT_STATUS)
    )


def invalid(message: str) -> XenditError:
    """A request that does not follow the contract."""
    return XenditError("API_VALIDATION_ERROR", message)


def not_found(kind: str, name: str) -> XenditError:
    """Something is not there."""
    return XenditError("DATA_NOT_FOUND", f"{kind} {name} cannot be found")


def fault_of(status: int) -> JSONResponse:
    """The answer of a fault that somebody asked for."""
    code = {401: "INVALID_API_KEY", 429: "RATE_LIMIT_EXCEEDED"}.get(status, "SERVER_ERROR")
    answer = xendit_error(code, "a fault of the sandbox", status)
    if status == 429:
        answer.headers["rate-limit-reset"] = "1.5"
    return answer


def install_error_handlers(app: FastAPI) -> None:
    """Make every refusal of the app, also those of the framework, speak Xendit's form."""

    @app.exception_handler(XenditError)
    async def refused(request: Request, error: XenditError) -> JSONResponse:
        return xendit_error(error.code, error.message)

    @app.exception_handler(ApiError)
    async def shared(request: Request, error: ApiError) -> JSONResponse:
        return xendit_error(_SHARED.get(error.code, "API_VALIDATION_ERROR"), error.message)

    @app.exception_handler(RequestValidationError)
    async def unreadable(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = [f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors()]
        return xendit_error("API_VALIDATION_ERROR", "; ".join(faults))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        code = "DATA_NOT_FOUND" if error.status_code == 404 else "API_VALIDATION_ERROR"
        return xendit_error(code, f"{request.url.path}: {error.detail}", error.status_code)
