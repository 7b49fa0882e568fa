"""`python -m workers`: one worker process, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import structlog
from sqlalchemy.exc import SQLAlchemyError
from temporalio.service import RPCError

from dunning.client import connect
from dunning.contract import TASK_QUEUE
from dunning.errors import ConfigurationError
from dunning.log import configure_logging
from dunning.settings import Settings, load_settings
from workers.bootstrap import accounts_with_orders, worker
from workers.checks import check
from workflows.delivery import ensure_delivery
from workflows.orders import ensure_voided_watch
from workflows.supervision import ensure_supervision


async def main(settings: Settings) -> None:
    """Check, run, and stop gracefully: a charge in flight is finished before the process ends."""
    log = structlog.get_logger("worker")
    client = await connect()
    await check(client, settings)
    await ensure_delivery(client, settings.accounts)
    await ensure_supervision(client, settings.accounts)
    await ensure_voided_watch(client, await accounts_with_orders(settings))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sig in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sig, stop.set)
    async with worker(client, settings) as running, running:
        log.info(
            "worker.started",
            task_queue=TASK_QUEUE,
            namespace=client.namespace,
            accounts=len(settings.accounts),
        )
        await stop.wait()
        log.info("worker.stopping")


if __name__ == "__main__":
    loaded = load_settings()
    configure_logging(loaded)
    code = 0
    try:
        asyncio.run(main(loaded))
    except ConfigurationError as refused:
        structlog.get_logger("worker").error("worker.refused", because=str(refused))
        code = 1
    except (RPCError, RuntimeError, SQLAlchemyError) as failure:
        because = f"Temporal or the ledger cannot be reached: {failure}".splitlines()[0]
        structlog.get_logger("worker").error("worker.refused", because=because)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    # The SDK's native threads can abort a Python that finalises normally; everything is closed by now.
    os._exit(code)
