"""`python -m benchmarks.intake_server bare|stored|ours PORT`: one process that takes webhooks, one way or another.

`bare` is the smallest FastAPI handler there is: it reads the body and answers. `stored` also writes the body into
PostgreSQL by one INSERT, as anybody must who answers 200 only when the message is safe. `ours` is the gateway.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys

import structlog
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from dunning.client import DunningClient, connect
from dunning.contract import ProviderFact
from dunning.gateway.api import Api
from dunning.gateway.api.limiting import Limiter
from dunning.gateway.app import Door, create_app
from dunning.gateway.dispatcher import Dispatcher
from dunning.ledger import Ledger
from dunning.ledger.migrating import async_url
from dunning.providers.dodo import DodoProvider

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
PATH = "/webhooks/dodo/demo"


def bare() -> FastAPI:
    app = FastAPI()

    @app.post("/webhooks/{provider}/{account}")
    async def take(provider: str, account: str, request: Request) -> JSONResponse:
        json.loads(await request.body())
        return JSONResponse({"result": "stored"})

    return app


def stored(url: str) -> FastAPI:
    """What nobody can do without: the body is in PostgreSQL, committed, before the answer."""
    app = FastAPI()
    engine = create_async_engine(url, pool_size=10)

    @app.post("/webhooks/{provider}/{account}")
    async def take(provider: str, account: str, request: Request) -> JSONResponse:
        body = (await request.body()).decode()
        json.loads(body)
        async with engine.begin() as connection:
            await connection.execute(
                text("insert into bare_messages (body) values (cast(:body as jsonb))"), {"body": body}
            )
        return JSONResponse({"result": "stored"})

    return app


async def ours(url: str) -> FastAPI:
    ledger = await Ledger.open(url)

    async def signal(account: str, subscription: str, fact: ProviderFact) -> None:
        """Telling workflows happens beside taking messages, and has its own figure."""

    async def is_well() -> bool:
        return True

    provider = DodoProvider(SecretStr("dodo_test_key"), is_test=True, base_url="http://127.0.0.1:9")
    api = Api(DunningClient(await connect(lazy=True), ledger), Limiter(10_000, 10_000))
    doors = {"demo": Door(provider, (SECRET,))}
    return create_app(doors, ledger, Dispatcher(ledger, signal), is_temporal_well=is_well, api=api)


async def main(kind: str, port: int) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    url = async_url(os.environ["DUNNING_LEDGER_URL"])
    app = await ours(url) if kind == "ours" else stored(url) if kind == "stored" else bare()
    config = uvicorn.Config(app, port=port, log_config=None, access_log=False, lifespan="on")
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
