"""Telling the sandbox about a scripted customer, so that a file's `script:` block plays there. SPEC 17, 20."""

from __future__ import annotations

from typing import Any

import httpx

from dunning.domain.script import Script
from dunning.domain.terms import Subscription


async def register(sandbox: httpx.AsyncClient, given: Subscription, script: Script) -> None:
    """Make the provider of the sandbox know the customer, all methods and the outcomes to come; once."""
    if (await sandbox.get(f"/_sandbox/subscriptions/{given.id}")).is_success:
        return
    if not given.payment_methods:
        body: dict[str, Any] = {
            "subscription": given.id,
            "mandate": script.mandate,
            "script": list(script.outcomes),
        }
        (await sandbox.post("/_sandbox/scripts", json=body)).raise_for_status()
        return
    later = [str(action.with_["token"]) for action in script.do if "token" in action.with_]
    tokens = dict.fromkeys([*(method.token for method in given.payment_methods), *later])
    body = {
        "provider": given.provider.value,
        "subscription_id": given.adopted_reference or f"sub_{given.id}",
        "customer_id": f"cus_{given.id}",
        "payment_method_id": given.payment_methods[0].token,
        "methods": [{"payment_method_id": token} for token in tokens],
        "currency": given.currency,
        "metadata": {"subscription": given.id},
        "script": list(script.outcomes),
    }
    (await sandbox.post("/_sandbox/subscriptions", json=body)).raise_for_status()
