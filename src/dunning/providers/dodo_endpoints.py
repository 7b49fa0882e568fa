"""Dodo's webhook endpoints, read and never changed. Sheet D.4.9."""

from __future__ import annotations

from pydantic import SecretStr, TypeAdapter, ValidationError

from dunning.providers.base import ProviderRefused, ProviderUnavailable
from dunning.providers.dodo_client import part, required
from dunning.providers.dodo_wire import Wire
from dunning.providers.endpoints import Endpoint
from dunning.providers.http import HttpCaller

PAGES = 10


class WireEndpoint(Wire):
    """An endpoint in Dodo's list."""

    id: str
    url: str
    disabled: bool | None = None


_LISTED: TypeAdapter[list[WireEndpoint]] = TypeAdapter(list[WireEndpoint])


async def endpoints_of(http: HttpCaller) -> tuple[Endpoint, ...]:
    """Every endpoint, with its signing secret where the key may read it.

    Raises:
        ProviderUnavailable: Dodo could not be asked, or its answer cannot be read.
        ProviderRefused: the key may not read endpoints.
    """
    found: list[WireEndpoint] = []
    query: dict[str, str | int] = {"limit": 100}
    for _ in range(PAGES):
        reply = required(await http.call("GET", "/webhooks", query=query))
        try:
            found += _LISTED.validate_python(reply.body.get("data"))
        except ValidationError as error:
            raise ProviderUnavailable(f"the list cannot be read: {error.error_count()} faults") from None
        iterator = reply.text("iterator")
        if reply.body.get("done") is not False or iterator is None:
            break
        query["iterator"] = iterator
    return tuple([await _with_secret(http, one) for one in found])


async def _with_secret(http: HttpCaller, one: WireEndpoint) -> Endpoint:
    try:
        told = required(await http.call("GET", f"/webhooks/{part(one.id)}/secret")).text("secret")
    except (ProviderUnavailable, ProviderRefused):
        told = None
    return Endpoint(url=one.url, is_enabled=not one.disabled, secret=SecretStr(told) if told else None)
