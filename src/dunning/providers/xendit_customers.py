"""Who pays, at Xendit: made once, or found where the product's id is taken already. Source: the sheet, A2.1."""

from __future__ import annotations

from dunning.domain.terms import Contacts
from dunning.providers.base import ProviderUnavailable
from dunning.providers.xendit_client import XenditClient, required
from dunning.providers.xendit_requests import customer_body, derived


async def customer_of(client: XenditClient, account: str, contacts: Contacts) -> str:
    """Xendit's id of the payer.

    Raises:
        ProviderUnavailable: Xendit could not be asked.
        ProviderRefused: the contacts were understood and refused.
    """
    body = customer_body(contacts)
    key = derived(account, *(str(value) for value in body.values()))
    reply = await client.post("/customers", body, idempotency_key=key)
    if reply.status == 409:
        query = {"reference_id": contacts.id}
        page = required(await client.get("/customers", query=query)).body.get("data")
        rows = page if isinstance(page, list) else []
        found = next((row.get("id") for row in rows if isinstance(row, dict)), None)
    else:
        found = required(reply).text("id")
    if not isinstance(found, str) or not found:
        raise ProviderUnavailable("the answer names no customer")
    return found
