"""Where a provider sends its messages, for providers that tell. Only `dunning doctor` asks. SPEC 12."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from pydantic import SecretStr

from dunning.domain.base import Value


class Endpoint(Value):
    """One address that the provider posts to. `secret`: what it signs with; None where that is not told."""

    url: str
    is_enabled: bool
    secret: SecretStr | None = None


@runtime_checkable
class TellsEndpoints(Protocol):
    """An adapter whose provider can be asked for its webhook endpoints."""

    async def endpoints(self) -> tuple[Endpoint, ...]:
        """Every address of this account and mode; raises `ProviderUnavailable`/`ProviderRefused`."""
        ...
