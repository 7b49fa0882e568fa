"""How often Google lets one account ask: kinds of calls are counted apart, each by the minute. Sheet G.1.

Our own count is of this process alone; with many workers Google's refusal (429) says the rest, and is an outage too.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum

from dunning.providers.base import ProviderUnavailable

MINUTE = 60.0


class Quota(StrEnum):
    """Google's own kinds."""

    SUBSCRIPTIONS = "subscriptions"
    SUBSCRIPTION_UPDATES = "subscription_updates"
    ORDERS = "orders"
    MONETIZATION = "monetization"


PER_MINUTE: Mapping[Quota, int] = dict.fromkeys(Quota, 3000)
"""The default of every kind; more can be asked of Google."""


class Meter:
    """At most so many calls of each kind in any minute of the machine's clock; what is over is put off, unsent."""

    def __init__(
        self, per_minute: Mapping[Quota, int] = PER_MINUTE, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._sent: dict[Quota, deque[float]] = {quota: deque() for quota in Quota}

    def take(self, quota: Quota) -> None:
        """Count one call.

        Raises:
            ProviderUnavailable: this minute's are used up; it says how long to wait. Nothing was sent.
        """
        now, sent = self._clock(), self._sent[quota]
        while sent and sent[0] <= now - MINUTE:
            sent.popleft()
        if len(sent) >= self._per_minute[quota]:
            wait = int(sent[0] + MINUTE - now) + 1
            raise ProviderUnavailable(f"this minute's {self._per_minute[quota]} calls of {quota.value} are made", wait)
        sent.append(now)
