"""Why no webhook arrives, and what a provider would not take of us: the part of `dunning doctor` that looks back.

The advice is the one of Dodo's guide on its common faults, and fits the other providers. SPEC 12.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

import httpx

from dunning.domain.base import Value
from dunning.errors import ConfigurationError
from dunning.gateway.refusals import DOCTOR
from dunning.ledger import Ledger
from dunning.ledger.diagnoses import Refusal
from dunning.providers.base import ProviderRefused, ProviderUnavailable
from dunning.providers.endpoints import Endpoint, TellsEndpoints
from dunning.providers.registry import provider_for
from dunning.settings import AccountSettings

SECONDS = 5.0
PATIENCE = timedelta(hours=1)
"""A payment's message is overdue after so long."""


class Finding(Value):
    """One thing that was looked at. `away`: a server does not answer; `advice`: what to do."""

    what: str
    verdict: Literal["ok", "warning", "fault", "away"]
    detail: str
    advice: str = ""


def path_of(name: str, account: AccountSettings) -> str:
    """Where in the gateway an account's messages belong."""
    return f"/webhooks/{account.provider}/{name}"


async def address_of(name: str, account: AccountSettings, gateway: str) -> Finding:
    """Whether the account's door is open in the gateway that runs, and can be reached from outside."""
    what, url = f"account {name}", f"{gateway}{path_of(name, account)}"
    try:
        async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as http:
            answer = await http.post(url, headers={"user-agent": DOCTOR})
    except httpx.HTTPError as error:
        detail = f"{url}, where its messages belong, cannot be reached ({type(error).__name__})"
        return Finding(
            what=what, verdict="away", detail=detail, advice="is the gateway up, and DUNNING_GATEWAY_URL right?"
        )
    if answer.status_code == 404:
        detail = f"the gateway knows nothing at {url}: every message would be answered with 404"
        return Finding(what=what, verdict="fault", detail=detail, advice="start it again with these accounts")
    if account.mode == "live" and not _is_public(gateway):
        detail = f"its messages belong to {url}, which no provider can reach from outside"
        advice = "enter the public https address of the gateway at the provider, and as DUNNING_GATEWAY_URL"
        return Finding(what=what, verdict="warning", detail=detail, advice=advice)
    return Finding(what=what, verdict="ok", detail=f"the provider's messages belong to {url}")


def _is_public(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_outside = ipaddress.ip_address(host).is_global
    except ValueError:
        is_outside = "." in host and not host.endswith((".local", ".internal", ".localhost"))
    return parts.scheme == "https" and is_outside


async def messages_of(name: str, account: AccountSettings, ledger: Ledger, gateway: str) -> AsyncIterator[Finding]:
    """What was received last, what was refused and why, what is missing, and what the provider says of it."""
    what = f"account {name}"
    last_at, sent_at = await ledger.last_message_at(name), await ledger.last_sent_at(name)
    for refusal in await ledger.refusals(name):
        yield refused(what, account, refusal, last_at)
    yield received(what, last_at, sent_at, datetime.now(UTC), path_of(name, account))
    try:
        provider = provider_for(account)
    except ConfigurationError:
        return  # told already, with the credentials
    try:
        if isinstance(provider, TellsEndpoints):
            ours = [one.get_secret_value() for one in account.webhook_secrets]
            yield registered(what, await provider.endpoints(), f"{gateway}{path_of(name, account)}", account.mode, ours)
    except (ProviderUnavailable, ProviderRefused) as error:
        yield Finding(what=what, verdict="warning", detail=f"the provider does not tell where it posts to: {error}")
    finally:
        await provider.aclose()
    for fault in (*await ledger.merchant_faults(name), *await ledger.refused_mandates(name)):
        detail = f"refused by the provider {fault.count} times in a week: {fault.code}: {fault.message or 'no words'}"
        advice = "put it right there or in the subscription's file, then `dunning mark-fixed ID`"
        yield Finding(what=what, verdict="warning", detail=detail, advice=advice)


def received(what: str, last_at: datetime | None, sent_at: datetime | None, now: datetime, path: str) -> Finding:
    """The last message, against the last payment that the provider was asked for."""
    is_overdue = sent_at is not None and now - sent_at > PATIENCE and (last_at is None or last_at < sent_at)
    arrived = f"the last message arrived {_ago(now - last_at)}" if last_at is not None else "no message ever arrived"
    if is_overdue and sent_at is not None:
        detail = f"{arrived}, and the last payment was asked for {_ago(now - sent_at)}"
        advice = (
            f"is an address that ends in {path} entered at the provider, in this mode, for payments, and can it be "
            "reached from outside? Until then everything is found by asking, later"
        )
        return Finding(what=what, verdict="fault" if last_at is None else "warning", detail=detail, advice=advice)
    if last_at is None:
        advice = f"before the first payment, enter the address that ends in {path} at the provider"
        return Finding(what=what, verdict="warning", detail="no message has arrived yet", advice=advice)
    return Finding(what=what, verdict="ok", detail=arrived)


def refused(what: str, account: AccountSettings, refusal: Refusal, last_at: datetime | None) -> Finding:
    """One reason for which messages were refused; it stands in the way where nothing arrived after it."""
    ago = _ago(datetime.now(UTC) - refusal.last_at)
    detail = f"{refusal.count} messages were refused, the last {ago}: {refusal.because}"
    is_over = last_at is not None and last_at > refusal.last_at
    return Finding(
        what=what, verdict="warning" if is_over else "fault", detail=detail, advice=_advice(refusal.because, account)
    )


def _advice(because: str, account: AccountSettings) -> str:
    if "signature" in because or "callback token" in because:
        return (
            f"webhook_secrets is not the secret of this endpoint in the {account.mode} mode (test and live have "
            "one each), or something on the way changes the body"
        )
    if "too old" in because:
        return "is this machine's clock right? Else somebody sends old messages again"
    if "other mode" in because:
        return f"this account is in {account.mode} mode, and the address was entered in the other mode's dashboard"
    if "carries no" in because:
        return "somebody other than the provider posts there, or a proxy takes the signature's headers away"
    return "the gateway's log says more under webhook.refused"


def registered(what: str, found: Sequence[Endpoint], url: str, mode: str, secrets: Sequence[str]) -> Finding:
    """What the provider itself says about where it posts, and with which secret. No secret is ever shown."""
    path = urlsplit(url).path
    ours = [one for one in found if urlsplit(one.url).path.rstrip("/").endswith(path)]
    if not ours:
        others = ", ".join(sorted(one.url for one in found)) or "none"
        detail = f"the provider posts to no address that ends in {path} in {mode} mode (it has: {others})"
        return Finding(what=what, verdict="fault", detail=detail, advice=f"enter {url}, as it is reached from outside")
    enabled = [one for one in ours if one.is_enabled]
    if not enabled:
        detail = f"the provider has {ours[0].url} switched off: it gave up, or somebody did"
        return Finding(what=what, verdict="fault", detail=detail, advice="switch it on in the provider's dashboard")
    told = [one.secret.get_secret_value() for one in enabled if one.secret is not None]
    if told and not set(told) & set(secrets):
        detail = f"the provider signs what it posts to {enabled[0].url} with another secret than webhook_secrets"
        advice = (
            f"copy the endpoint's signing secret of the {mode} mode into webhook_secrets, and start the gateway again"
        )
        return Finding(what=what, verdict="fault", detail=detail, advice=advice)
    return Finding(what=what, verdict="ok", detail=f"the provider posts to {enabled[0].url}")


def _ago(age: timedelta) -> str:
    minutes = int(age.total_seconds() // 60)
    if minutes < 60:
        return f"{max(minutes, 0)} minutes ago"
    return f"{minutes / 60:.1f} hours ago" if minutes < 48 * 60 else f"{minutes // 1440} days ago"
