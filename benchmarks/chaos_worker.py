"""`python -m benchmarks.chaos_worker`: the deployed worker with every limit of time cut to a ninth, in proportion.

What is killed or stopped keeps its lease, and a call that nobody answers keeps its time-out; as deployed, each such
moment costs a minute or more of this machine's time. The order that money depends on stays: the deadline of a charge,
then its activity's time-out, then its lease.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from temporalio.common import RetryPolicy

from dunning import charging
from dunning.ledger import attempts
from dunning.log import configure_logging
from dunning.settings import load_settings
from workers.__main__ import main
from workflows import options

DEADLINE = 5.0
CALL = timedelta(seconds=6.7)
LEASE = timedelta(seconds=10)
"""As deployed: 45, 60 and 90 seconds."""


def shorten() -> None:
    """Set the limits of this process."""
    attempts.LEASE = LEASE
    charging.HARD_DEADLINE = DEADLINE
    options.CHARGE["start_to_close_timeout"] = CALL
    retry = RetryPolicy(initial_interval=timedelta(seconds=0.2), maximum_attempts=3)
    for option in (options.LOOK_UP, options.MANDATE):
        option["start_to_close_timeout"] = timedelta(seconds=5)
        option["retry_policy"] = retry


if __name__ == "__main__":
    settings = load_settings()
    configure_logging(settings)
    shorten()
    asyncio.run(main(settings))
