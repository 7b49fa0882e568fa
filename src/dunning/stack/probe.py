"""`python -m dunning.stack.probe WHAT`: ends with 0 when WHAT is well. For health checks in slim images.

`http://...` and `https://...` must answer with a status below 400; `pollers://QUEUE` must be a task queue on
which a worker has lately asked for work, at the address that Temporal's own environment gives.
"""

from __future__ import annotations

import asyncio
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from temporalio.client import Client

TIMEOUT_SECONDS = 3.0
_SCHEMES = ("http://", "https://", "pollers://")
_RECENT = timedelta(seconds=90)


async def is_well(what: str, environment: Mapping[str, str], since: datetime | None = None) -> bool:
    """Whether it is well now. Pollers count from `since` on, else when heard of within a minute or so."""
    if what.startswith(("http://", "https://")):
        return await asyncio.to_thread(_answers, what)
    if what.startswith("pollers://"):
        earliest = since or datetime.now(UTC) - _RECENT
        return await _is_polled(what.removeprefix("pollers://"), environment, earliest)
    raise ValueError(f"cannot probe {what!r}: http://, https:// or pollers:// is expected")


def _answers(url: str) -> bool:
    try:
        # No proxy of the environment: what is probed is on this machine or beside it.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=TIMEOUT_SECONDS) as answer:
            return int(answer.status) < 400
    except (OSError, urllib.error.URLError):
        return False


async def _is_polled(queue: str, environment: Mapping[str, str], since: datetime) -> bool:
    from temporalio.api.enums.v1 import TaskQueueType
    from temporalio.api.taskqueue.v1 import TaskQueue
    from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
    from temporalio.service import RPCError

    client = await _client(environment)
    if client is None:
        return False
    try:
        answer = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            ),
            timeout=timedelta(seconds=TIMEOUT_SECONDS),
        )
    except RPCError:
        return False
    return any(poller.last_access_time.ToDatetime(tzinfo=UTC) >= since for poller in answer.pollers)


async def _client(environment: Mapping[str, str]) -> Client | None:
    from temporalio.client import Client
    from temporalio.envconfig import ClientConfig

    config = ClientConfig.load_client_connect_config(override_env_vars=dict(environment))
    config.setdefault("target_host", "127.0.0.1:7233")
    try:
        return await asyncio.wait_for(Client.connect(**config), TIMEOUT_SECONDS)
    except (RuntimeError, TimeoutError):
        return None


def main() -> None:
    """Probe what the argument names; the exit status says how it is."""
    import os

    if len(sys.argv) != 2 or not sys.argv[1].startswith(_SCHEMES):
        sys.exit("usage: python -m dunning.stack.probe http://...|https://...|pollers://QUEUE")
    # Temporal's native threads can abort an interpreter that ends normally, and turn well into unwell.
    os._exit(0 if asyncio.run(is_well(sys.argv[1], os.environ)) else 1)


if __name__ == "__main__":
    main()
