"""Time-outs and Temporal retry policies of every activity, in one place."""

from __future__ import annotations

from datetime import timedelta
from typing import TypedDict

from temporalio.common import RetryPolicy


class Options(TypedDict, total=False):
    """What `execute_activity` is given."""

    start_to_close_timeout: timedelta
    schedule_to_close_timeout: timedelta
    schedule_to_start_timeout: timedelta
    retry_policy: RetryPolicy


# A charge is handed to a worker once. Whatever becomes of it, the ledger's row tells; nothing is sent blindly again.
CHARGE = Options(
    start_to_close_timeout=timedelta(seconds=60),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

# A look-up changes nothing at the provider: a few quick tries, then the workflow's own timer asks again later.
LOOK_UP = Options(
    start_to_close_timeout=timedelta(seconds=45),
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3),
)

MANDATE = Options(
    start_to_close_timeout=timedelta(seconds=45),
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3),
)

MANDATE_AGAIN = timedelta(minutes=2)
"""When the activity itself failed, the mandate's link is asked for again after so long (business time)."""

# Asked once: what became of an unanswered request is looked up by the workflow's own timer, not tried again blindly.
PLAN = Options(
    start_to_close_timeout=timedelta(seconds=90),
    retry_policy=RetryPolicy(maximum_attempts=1),
)

PLAN_AGAIN = timedelta(minutes=2)
"""When the activity itself failed, the provider's plan is looked at again after so long (business time)."""

NOTICE = Options(
    start_to_close_timeout=timedelta(seconds=60),
    retry_policy=RetryPolicy(initial_interval=timedelta(seconds=1), maximum_attempts=3),
)

NOTICE_AGAIN = timedelta(hours=1)
"""When the activity itself failed, its notice is handed over again after so long (business time)."""

# The ledger is the memory of money: a workflow goes on only when it has written. It waits as long as that takes.
LEDGER_TIMEOUT = timedelta(seconds=10)
LEDGER_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=30)
)

IDLE_RUN = timedelta(days=30)
"""A run that only waits is renewed after so long, so that patches can be retired."""

COLLECTING_RUN = timedelta(days=60)
"""A ladder that began late in a run is not cut in two; one that waits for an operator is renewed in the end."""
