"""`python -m dunning.gateway`: one gateway process, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import httpx
import structlog
import uvicorn
from fastapi import FastAPI

from dunning.client import DunningClient, connect
from dunning.errors import DunningError
from dunning.gateway.api import Api
from dunning.gateway.api.limiting import Limiter
from dunning.gateway.app import Door, create_app
from dunning.gateway.dispatcher import Dispatcher
from dunning.gateway.play_push import play_doors
from dunning.ledger import Ledger
from dunning.log import configure_logging
from dunning.providers.base import PaymentProvider
from dunning.providers.registry import FACTORIES, provider_for
from dunning.settings import Settings, load_settings

log = structlog.get_logger("gateway")


class _Server(uvicorn.Server):
    """Ends with 0 when it is asked to stop; uvicorn would die of the signal once more at the end."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


@asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application with everything it needs; all connections are closed afterwards."""
    async with AsyncExitStack() as stack:
        ledger = await Ledger.open(settings.ledger_url_async)
        stack.push_async_callback(ledger.aclose)
        doors: dict[str, Door] = {}
        providers: dict[str, PaymentProvider] = {}
        for name, account in settings.accounts.items():
            if account.provider not in FACTORIES:
                continue
            provider = provider_for(account)
            stack.push_async_callback(provider.aclose)
            providers[name] = provider
            doors[name] = Door(provider, tuple(s.get_secret_value() for s in account.webhook_secrets))
            if not account.webhook_secrets and account.needs_webhook_secret:
                log.warning("gateway.no_secret", account=name, because="every message will be refused")
        client = DunningClient(await connect(lazy=True), ledger)

        async def is_temporal_well() -> bool:
            return await client.temporal.service_client.check_health()

        dispatcher = Dispatcher(ledger, client.signal_fact)
        play = play_doors(settings.accounts, providers)
        limiter = Limiter(settings.api_requests_per_second, settings.api_burst)
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        api = Api(client, limiter, settings.accounts, http=http, providers=providers)
        yield create_app(
            doors,
            ledger,
            dispatcher,
            is_temporal_well=is_temporal_well,
            api=api,
            accounts=settings.accounts,
            play=play,
        )


async def main(settings: Settings) -> None:
    """Serve until told to stop; requests under way are finished."""
    async with gateway(settings) as app:
        config = uvicorn.Config(
            app,
            host=settings.gateway_host,
            port=settings.gateway_port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=10,
        )
        log.info("gateway.started", host=settings.gateway_host, port=settings.gateway_port)
        await _Server(config).serve()


if __name__ == "__main__":
    code = 0
    try:
        loaded = load_settings()
        configure_logging(loaded)
        asyncio.run(main(loaded))
    except DunningError as refused:
        log.error("gateway.refused", because=str(refused))
        code = 1
    except KeyboardInterrupt:
        pass
    sys.stdout.flush()
    sys.stderr.flush()
    # The SDK's native threads can abort a Python that finalises normally; everything is closed by now.
    os._exit(code)
