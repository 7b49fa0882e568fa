"""`dunning doctor`: what is missing, in sentences. SPEC 12, 17."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import httpx
import typer
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest

from dunning.cli.shared import AsJson, console, print_json, run
from dunning.client import connect
from dunning.contract import SEARCH_ATTRIBUTES
from dunning.ledger import Ledger, is_current
from dunning.settings import Settings, load_settings

Finding = tuple[str, bool, str]
"""(what, is well, a sentence)."""


def doctor(as_json: AsJson = False) -> None:
    """Check Temporal, the ledger, accounts, the gateway, and tell why no webhook arrives."""
    findings = run(_examine(load_settings()))
    if as_json:
        print_json([{"what": what, "ok": ok, "says": says} for what, ok, says in findings])
    else:
        for what, ok, says in findings:
            console.print(f"{'[green]ok[/green]  ' if ok else '[red]bad[/red] '} {what}: {says}", highlight=False)
    raise typer.Exit(0 if all(ok for _, ok, _ in findings) else 1)


async def _examine(settings: Settings) -> list[Finding]:
    checks: list[Callable[[Settings], Awaitable[list[Finding]]]] = [_temporal, _ledger, _accounts, _gateway]
    findings: list[Finding] = []
    for check in checks:
        try:
            findings.extend(await check(settings))
        except Exception as failure:
            first = f"{type(failure).__name__}: {failure}".splitlines()[0]
            findings.append((check.__name__.strip("_"), False, first))
    return findings


async def _temporal(settings: Settings) -> list[Finding]:
    client = await connect()
    request = ListSearchAttributesRequest(namespace=client.namespace)
    known = (await client.operator_service.list_search_attributes(request)).custom_attributes
    missing = [key.name for key in SEARCH_ATTRIBUTES if key.name not in known]
    says = f"not registered: {', '.join(missing)}" if missing else f"all {len(SEARCH_ATTRIBUTES)} are registered"
    return [
        ("temporal", True, f"namespace {client.namespace} answers"),
        ("search attributes", not missing, says),
    ]


async def _ledger(settings: Settings) -> list[Finding]:
    url = settings.ledger_url_async
    current = await is_current(url)
    findings: list[Finding] = [("ledger", current, "current" if current else "run `dunning ledger migrate`")]
    if not current:
        return findings
    ledger = await Ledger.open(url, pool_size=1)
    try:
        for name in settings.accounts:
            last = await ledger.last_message_at(name)
            if last is None:
                says = "none has ever arrived: is the webhook's address this gateway's /webhooks/<provider>/<account>?"
                findings.append((f"webhooks of {name}", False, says))
            else:
                age = datetime.now(UTC) - last
                findings.append((f"webhooks of {name}", True, f"the last one arrived {int(age.total_seconds())} s ago"))
    finally:
        await ledger.aclose()
    return findings


async def _accounts(settings: Settings) -> list[Finding]:
    if not settings.accounts:
        return [("accounts", False, "none: set DUNNING_ACCOUNTS_FILE")]
    findings: list[Finding] = []
    for name, account in settings.accounts.items():
        missing = [
            what
            for what, value in (
                ("webhook_secrets", account.webhook_secrets),
                ("backend_url", account.backend_url),
                ("smtp", account.smtp),
            )
            if not value
        ]
        says = f"{account.provider}, {account.mode} mode" + (f"; not set: {', '.join(missing)}" if missing else "")
        findings.append((f"account {name}", not missing, says))
    return findings


async def _gateway(settings: Settings) -> list[Finding]:
    url = settings.gateway_url or f"http://{settings.gateway_host}:{settings.gateway_port}"
    async with httpx.AsyncClient(timeout=5) as http:
        answer = await http.get(f"{url}/healthz")
    return [("gateway", answer.is_success, f"{url} answers {answer.status_code}")]
