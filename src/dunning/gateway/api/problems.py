"""What goes wrong, as RFC 9457 problem details. SPEC 4, 18.

Every answer that is no success has this form. `errors` names each broken rule with its field and value; contacts,
secrets and card numbers are never repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from dunning.errors import Fault
from dunning.intake import shown

MEDIA_TYPE = "application/problem+json"

KINDS: Mapping[str, tuple[int, str, str]] = {
    "invalid-json": (400, "The body is not JSON", "It cannot be read; nothing was looked at."),
    "unauthenticated": (401, "A valid key is needed", "Send `Authorization: Bearer dnk_...`."),
    "not-found": (404, "There is no such thing", "Or it belongs to another merchant account."),
    "method-not-allowed": (405, "The method is not allowed here", "The `Allow` header says which are."),
    "conflict": (409, "The request contradicts what is there", "The same id exists with other terms."),
    "refused": (409, "The command is refused", "`detail` says why; nothing has changed."),
    "too-large": (413, "The body is too large", "It was not read to its end."),
    "unsupported-media-type": (415, "The body must be application/json", "Send `Content-Type: application/json`."),
    "invalid-input": (422, "The input breaks rules", "`errors` lists all of them; nothing has changed."),
    "key-reused": (422, "The Idempotency-Key was used for another request", "Use a new key for a new request."),
    "too-many-requests": (429, "Too many requests with this key", "Wait as long as `Retry-After` says."),
    "internal": (500, "Something is wrong on our side", "The log has it under the request's id."),
    "unavailable": (503, "A part of the engine does not answer", "Send the same request again later."),
    "no-answer": (504, "The answer did not come in time", "Send the same request again, with the same id."),
}
"""Kind -> status, title, and what to do. The kind is the fragment of the `type`."""


class Error(BaseModel):
    """One broken rule."""

    model_config = ConfigDict(extra="forbid")

    field: str = Field(description="the path, as `retry.ladder_days.2`; `(whole)` is the body itself")
    rule: str = Field(description="the rule in words")
    value: Any = Field(default=None, description="what was given, unless it is personal or secret")
    place: str = Field(description="where the field stands: body, query, path or header")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="forbid")

    type: str = Field(description="what kind it is; a link into the documentation of this very server")
    title: str
    status: int
    detail: str
    instance: str = Field(description="the path that was asked for")
    request_id: str = Field(description="the same as in the header X-Request-Id and in the log")
    errors: list[Error] | None = None
    command_id: str | None = Field(default=None, description="of a command: give it again for the same result")


class Trouble(Exception):
    """Ends a request with a problem."""

    def __init__(
        self,
        kind: str,
        detail: str | None = None,
        *,
        errors: Sequence[Error] | None = None,
        headers: Mapping[str, str] | None = None,
        command_id: str | None = None,
    ) -> None:
        super().__init__(kind)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.command_id = command_id


def invalid(faults: Sequence[Fault], place: str = "body") -> Trouble:
    """Everything that is wrong with the input, at once."""
    errors = [Error(field=f.field, rule=f.rule, value=f.value, place=place) for f in faults]
    return invalid_errors(errors)


def invalid_errors(errors: Sequence[Error]) -> Trouble:
    """The same with the places known already."""
    count = "1 rule is broken" if len(errors) == 1 else f"{len(errors)} rules are broken"
    return Trouble("invalid-input", f"{count}; nothing has changed", errors=errors)


def answer(request: Request, trouble: Trouble) -> JSONResponse:
    """The problem as a response."""
    status, title, hint = KINDS[trouble.kind]
    problem = Problem(
        type=f"/docs#{trouble.kind}",
        title=title,
        status=status,
        detail=trouble.detail or hint,
        instance=request.url.path,
        request_id=request_id_of(request),
        errors=list(trouble.errors) if trouble.errors is not None else None,
        command_id=trouble.command_id,
    )
    told = {name: value for name, value in problem.model_dump(mode="json").items() if value is not None}
    headers = {"X-Request-Id": problem.request_id, **trouble.headers}
    return JSONResponse(told, status_code=status, headers=headers, media_type=MEDIA_TYPE)


def request_id_of(request: Request) -> str:
    """The id that the middleware gave."""
    found = request.scope.get("state", {}).get("request_id")
    return str(found) if found is not None else "-"


def of_parameters(error: RequestValidationError) -> Trouble:
    """What FastAPI found wrong with path, query and headers."""
    errors = []
    for one in error.errors():
        place, *parts = one["loc"]
        field = ".".join(str(part) for part in parts) or "(whole)"
        rule = "is not a parameter that is known here" if one["type"] == "extra_forbidden" else str(one["msg"])
        rule = (
            rule.replace("Input should be", "must be")
            .replace("String should", "must")
            .replace("Field required", "must be given")
        )
        errors.append(Error(field=field, rule=rule, value=shown(field, one.get("input")), place=str(place)))
    return invalid_errors(errors)
