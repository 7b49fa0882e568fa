"""Google's error answers: `{"error": {"code", "message", "status", "errors": [{"reason"}]}}`. Sheet G.1."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

STATUS_WORDS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    410: "GONE",
    429: "RESOURCE_EXHAUSTED",
}


class PlayError(Exception):
    """A refusal in Google's form. Nothing changed."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


def play_error(status: int, reason: str, message: str) -> JSONResponse:
    """The answer that carries one refusal."""
    row = {"message": message, "domain": "androidpublisher", "reason": reason}
    error = {
        "code": status,
        "message": message,
        "status": STATUS_WORDS.get(status, "INTERNAL"),
        "errors": [row],
    }
    return JSONResponse({"error": error}, status_code=status)


def fault_of(status: int) -> JSONResponse:
    """The answer of a fault that somebody asked for."""
    reason = {401: "authError", 429: "rateLimitExceeded"}.get(status, "backendError")
    return play_error(status, reason, "a fault of the sandbox")


def install_error_handlers(app: FastAPI) -> None:
    """Make every refusal of the app, also those of the framework, speak Google's form."""

    @app.exception_handler(PlayError)
    async def refused(request: Request, error: PlayError) -> JSONResponse:
        return play_error(error.status, error.reason, error.message)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return play_error(400, "invalid", "; ".join(str(one["msg"]) for one in error.errors()))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        return play_error(error.status_code, "notFound", f"{request.url.path}: {error.detail}")
