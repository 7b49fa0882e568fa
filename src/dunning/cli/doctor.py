"""`dunning doctor`: is everything there that a charge needs, and why does no webhook arrive. SPEC 15, 17."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable

import httpx
import typer
from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from dunning.cli.arrivals import Finding, address_of, messages_of
from dunning.cli.exits import OK, REFUSED, UNREACHABLE
from dunning.cli.output import console, print_json
from dunning.cli.session import JsonOption, settings_of_here
from dunning.client import RPC_TIMEOUT, connect
from dunning.contract import SEARCH_ATTRIBUTES, TASK_QUEUE
from dunning.errors import ConfigurationError, DunningError
from dunning.ledger import Ledger, is_current
from dunning.providers.base import ProviderRefused, ProviderUnavailable
from dunning.providers.registry import provider_for
from dunning.settings import AccountSettings, Settings
from dunning.stack.probe import is_well

SECONDS = 5.0
PROBE = "sub_dunning_doctor"
"""A provider's id that belongs to nobody: reading it shows that the provider answers and knows our key."""

_COLOURS = {"ok": "green", "warning": "yellow", "fault": "red", "away": "red"}


def doctor(*, as_data: JsonOption = False) -> None:
    """Look at Temporal, the ledger, every merchant account and the gateway, and say what is wrong and what to do."""
    findings = asyncio.run(_look())
    if as_data:
        print_json([finding.model_dump() for finding in findings])
    else:
        for finding in findings:
            _tell(finding)
    verdicts = {finding.verdict for finding in findings}
    raise typer.Exit(UNREACHABLE if "away" in verdicts else REFUSED if "fault" in verdicts else OK)


def _tell(finding: Finding) -> None:
    colour = _COLOURS[finding.verdict]
    out = console()
    out.print(f"[{colour}]{finding.verdict:<8}[/{colour}]", end="")
    out.print(f"{finding.what}: {finding.detail}", markup=False, soft_wrap=True)
    if finding.advice:
        out.print(f"          -> {finding.advice}", markup=False, soft_wrap=True)


async def _look() -> list[Finding]:
    try:
        settings = settings_of_here()
    except ConfigurationError as error:
        return [Finding(what="settings", verdict="fault", detail=str(error))]
    findings = [Finding(what="settings", verdict="ok", detail="they can be read")]
    findings += [finding async for finding in _temporal()]
    ledger = [finding async for finding in _ledger(settings)]
    findings += ledger
    has_ledger = all(finding.verdict == "ok" for finding in ledger)
    if not settings.accounts:
        advice = "name a file of merchant accounts in DUNNING_ACCOUNTS_FILE"
        findings.append(Finding(what="accounts", verdict="fault", detail="there are none", advice=advice))
    for name, account in settings.accounts.items():
        findings += [finding async for finding in _account(name, account)]
    findings += [finding async for finding in _gateway(settings)]
    if has_ledger:
        findings += [finding async for finding in _from_the_ledger(settings)]
    return findings


# --- Temporal --------------------------------------------------------------------------------------


async def _temporal() -> AsyncIterator[Finding]:
    try:
        client = await asyncio.wait_for(connect(), SECONDS)
    except (RuntimeError, TimeoutError) as error:
        detail = f"it does not answer: {str(error)[:150] or 'no answer in time'}"
        yield Finding(
            what="Temporal", verdict="away", detail=detail, advice="set TEMPORAL_ADDRESS, or run `dunning dev`"
        )
        return
    address = client.service_client.config.target_host
    yield Finding(what="Temporal", verdict="ok", detail=f"answers at {address}")
    for check in (_namespace, _search_attributes, _workers):
        yield await check(client)


async def _namespace(client: Client) -> Finding:
    try:
        request = DescribeNamespaceRequest(namespace=client.namespace)
        answer = await client.workflow_service.describe_namespace(request, timeout=RPC_TIMEOUT)
    except RPCError as error:
        advice = f"create it, or set TEMPORAL_NAMESPACE: {error}"
        return Finding(what="namespace", verdict="fault", detail=f"no namespace {client.namespace}", advice=advice)
    days = answer.config.workflow_execution_retention_ttl.ToTimedelta().days
    return Finding(what="namespace", verdict="ok", detail=f"{client.namespace}, closed runs are kept for {days} days")


async def _search_attributes(client: Client) -> Finding:
    request = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        answer = await client.operator_service.list_search_attributes(request, timeout=RPC_TIMEOUT)
    except RPCError as error:
        return Finding(what="search attributes", verdict="fault", detail=f"they cannot be read: {error}")
    missing = [key.name for key in SEARCH_ATTRIBUTES if key.name not in answer.custom_attributes]
    if missing:
        advice = "temporal operator search-attribute create --name NAME --type TYPE; types stand in temporal-dev.yml"
        detail = f"not registered: {', '.join(missing)}; workers refuse to start"
        return Finding(what="search attributes", verdict="fault", detail=detail, advice=advice)
    return Finding(what="search attributes", verdict="ok", detail=f"all {len(SEARCH_ATTRIBUTES)} are registered")


async def _workers(client: Client) -> Finding:
    if await is_well(f"pollers://{TASK_QUEUE}", os.environ):
        return Finding(what="workers", verdict="ok", detail=f"at least one asks for work on {TASK_QUEUE!r}")
    detail = f"none has asked for work on {TASK_QUEUE!r} lately: nothing is charged, and commands time out"
    return Finding(what="workers", verdict="fault", detail=detail, advice="start one: python -m workers")


# --- the ledger --------------------------------------------------------------------------------------


async def _ledger(settings: Settings) -> AsyncIterator[Finding]:
    try:
        url = settings.ledger_url_async
    except ConfigurationError as error:
        yield Finding(what="ledger", verdict="fault", detail=str(error))
        return
    try:
        is_new = await asyncio.wait_for(is_current(url), SECONDS)
    except (SQLAlchemyError, OSError, TimeoutError, DunningError) as error:
        detail = f"it does not answer ({type(error).__name__})"
        advice = "is PostgreSQL up, and is DUNNING_LEDGER_URL right?"
        yield Finding(what="ledger", verdict="away", detail=detail, advice=advice)
        return
    if is_new:
        yield Finding(what="ledger", verdict="ok", detail="answers, and its schema is this release's")
        return
    advice = "dunning ledger migrate"
    yield Finding(what="ledger", verdict="fault", detail="its schema is not this release's", advice=advice)


# --- merchant accounts -------------------------------------------------------------------------------


async def _account(name: str, account: AccountSettings) -> AsyncIterator[Finding]:
    what = f"account {name}"
    try:
        provider = provider_for(account)
    except ConfigurationError as error:
        yield Finding(what=what, verdict="fault", detail=str(error))
        return
    yield Finding(what=what, verdict="ok", detail=f"credentials for {account.provider} in {account.mode} mode")
    try:
        yield await _asked(what, provider.read_mandate(PROBE))
    finally:
        await provider.aclose()
    if account.deaf_because is not None:
        detail = f"no {account.deaf_because}: every message of the provider is refused"
        advice = "add it to the account, as the provider's own settings show it"
        yield Finding(what=what, verdict="fault", detail=detail, advice=advice)
    if account.mode == "live" and account.base_url is not None:
        detail = f"live mode, but the provider's address is replaced by {account.base_url}"
        yield Finding(what=what, verdict="warning", detail=detail)
    if account.backend_url is None:
        yield Finding(what=what, verdict="warning", detail="no backend_url: events are kept and sent to nobody")


async def _asked(what: str, question: Awaitable[object]) -> Finding:
    """One harmless question to the provider."""
    try:
        await asyncio.wait_for(question, SECONDS * 2)
    except ProviderRefused:
        pass
    except TimeoutError:
        return Finding(what=what, verdict="away", detail="the provider does not answer in time")
    except ProviderUnavailable as error:
        advice = "is the api_key right and of this mode, and is base_url right?"
        return Finding(what=what, verdict="away", detail=f"the provider: {error}", advice=advice)
    return Finding(what=what, verdict="ok", detail="the provider answers and takes the credentials")


# --- messages of the provider ------------------------------------------------------------------------


async def _gateway(settings: Settings) -> AsyncIterator[Finding]:
    url = _gateway_url(settings)
    try:
        async with httpx.AsyncClient(timeout=SECONDS, trust_env=False) as http:
            answer = await http.get(f"{url}/readyz")
    except httpx.HTTPError as error:
        advice = "python -m dunning.gateway; without it no message of a provider arrives"
        detail = f"{url} does not answer ({type(error).__name__})"
        yield Finding(what="gateway", verdict="away", detail=detail, advice=advice)
        return
    if answer.is_success:
        yield Finding(what="gateway", verdict="ok", detail=f"{url} is ready: {answer.text}")
    else:
        yield Finding(what="gateway", verdict="fault", detail=f"{url} is not ready: {answer.text[:150]}")
    for name, account in settings.accounts.items():
        yield await address_of(name, account, url)


def _gateway_url(settings: Settings) -> str:
    return settings.gateway_url or f"http://{settings.gateway_host}:{settings.gateway_port}"


async def _from_the_ledger(settings: Settings) -> AsyncIterator[Finding]:
    """What arrived and what did not, and what the providers would not take."""
    ledger = await Ledger.open(settings.ledger_url_async, pool_size=1)
    try:
        for name, account in settings.accounts.items():
            async for finding in messages_of(name, account, ledger, _gateway_url(settings)):
                yield finding
        waiting = await ledger.count_waiting()
    finally:
        await ledger.aclose()
    if waiting:
        detail = f"{waiting} messages were stored and not handed to their runs yet"
        yield Finding(what="inbox", verdict="warning", detail=detail, advice="is Temporal reachable from the gateway?")
    else:
        yield Finding(what="inbox", verdict="ok", detail="no stored message waits")
