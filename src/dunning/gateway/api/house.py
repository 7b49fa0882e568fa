"""What the API works with, and who is asking. SPEC 18."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, TypeVar

import httpx
import structlog
from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from temporalio.service import RPCError, RPCStatusCode

from dunning.client import DunningClient
from dunning.domain.base import Value
from dunning.errors import LedgerError
from dunning.gateway.api.limiting import Limiter
from dunning.gateway.api.problems import Trouble
from dunning.ledger import Ledger
from dunning.providers.base import PaymentProvider
from dunning.settings import AccountSettings

log = structlog.get_logger("gateway")

SUBSCRIPTION_ID = r"^[A-Za-z0-9._:-]{1,64}$"
_AWAY = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)
T = TypeVar("T")


@dataclass(frozen=True)
class Api:
    """Everything behind the routes.

    Attributes:
        accounts: merchant accounts by name, as the settings have them.
        providers: their adapters, for what is asked of the provider itself.
        machine_now: the clock of creations.
        answer_seconds: how long a command's answer is waited for.
        http: tries a backend's endpoint; without it, none is tried.
    """

    dunning: DunningClient
    limiter: Limiter
    accounts: Mapping[str, AccountSettings] = field(default_factory=dict)
    machine_now: Callable[[], datetime] = lambda: datetime.now(UTC)
    answer_seconds: float = 30.0
    query_seconds: float = 5.0
    http: httpx.AsyncClient | None = None
    providers: Mapping[str, PaymentProvider] = field(default_factory=dict)

    @property
    def ledger(self) -> Ledger:
        """The ledger that the client writes to."""
        return self.dunning.ledger


class Caller(Value):
    """Who is asking: one key of one merchant account, which is all that it ever sees."""

    account: str
    key_id: str
    request_id: str


def api_of(request: Request) -> Api:
    """The API's parts, as the application was made with them."""
    api: Api = request.app.state.api
    return api


_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    bearerFormat="dnk_...",
    description="A key of one merchant account, made by `dunning keys create`.",
)


async def caller_of(
    request: Request,
    shown: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
    api: Annotated[Api, Depends(api_of)],
) -> Caller:
    """Let a valid key in, as often as it may come; everything else ends here."""
    challenge = {"WWW-Authenticate": 'Bearer realm="dunning"'}
    if shown is None:
        raise Trouble("unauthenticated", headers=challenge)
    key = await guarded(api.ledger.open_with(shown.credentials))
    if key is None:
        challenge = {"WWW-Authenticate": 'Bearer realm="dunning", error="invalid_token"'}
        raise Trouble("unauthenticated", "The key is wrong, revoked or expired.", headers=challenge)
    state = request.scope["state"]
    state["account"], state["key_id"] = key.account, key.id
    wait = api.limiter.take(key.id)
    if wait is not None:
        raise Trouble("too-many-requests", headers={"Retry-After": str(wait)})
    return Caller(account=key.account, key_id=key.id, request_id=str(state["request_id"]))


async def guarded(work: Awaitable[T]) -> T:
    """The result; a ledger or a Temporal that is away becomes a problem that says so, never an error of ours."""
    try:
        return await work
    except (OperationalError, InterfaceError, PoolTimeout, LedgerError, OSError) as away:
        raise unavailable("the ledger", away) from away
    except RPCError as error:
        if error.status not in _AWAY:
            raise
        raise unavailable("Temporal", error) from error
    except RuntimeError as error:
        if "connect" not in str(error).lower():
            raise
        raise unavailable("Temporal", error) from error


def unavailable(what: str, because: Exception) -> Trouble:
    """Something behind us does not answer: the same request may be sent again."""
    log.warning("api.unavailable", what=what, because=type(because).__name__)
    hint = f"{what} does not answer. Send the same request again: nothing is done twice."
    return Trouble("unavailable", hint, headers={"Retry-After": "5"})


ApiOf = Annotated[Api, Depends(api_of)]
CallerOf = Annotated[Caller, Depends(caller_of)]
SubscriptionId = Annotated[
    str,
    Path(pattern=SUBSCRIPTION_ID, description="your own reference of the subscription", examples=["sub-4711"]),
]
