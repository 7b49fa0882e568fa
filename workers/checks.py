"""A worker refuses to start, saying why, when it could not do its work. SPEC 15."""

from __future__ import annotations

from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from dunning.contract import SEARCH_ATTRIBUTES
from dunning.errors import ConfigurationError
from dunning.ledger import is_current
from dunning.notices import registry
from dunning.settings import Settings


async def missing_search_attributes(client: Client) -> list[str]:
    """Names that the namespace does not know. An upsert of one would block a workflow for ever."""
    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    return [key.name for key in SEARCH_ATTRIBUTES if key.name not in answer.custom_attributes]


async def check(client: Client, settings: Settings) -> None:
    """Raise `ConfigurationError` naming everything that is missing."""
    faults: list[str] = []
    missing = await missing_search_attributes(client)
    if missing:
        faults.append(f"search attributes are not registered in namespace {client.namespace}: {', '.join(missing)}")
    if not settings.accounts:
        faults.append("no merchant account is configured (DUNNING_ACCOUNTS_FILE)")
    if not await is_current(settings.ledger_url_async):
        faults.append("the ledger's schema is not current: run `dunning ledger migrate`")
    faults.extend(f"WhatsApp template {fault}" for fault in registry.faults())
    if faults:
        raise ConfigurationError("; ".join(faults))
