"""A process that charges once and freezes after `sent_at`: `python tests/crash/frozen.py LEDGER SANDBOX SECONDS`.

It stops (SIGSTOP) between the commit of `sent_at` and the first byte, on a connection that is open already, so that
no time-out of its own gets a turn when it is continued. SECONDS is the length of its lease. The last line that it
prints is the kind of the outcome.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta

from pydantic import SecretStr

from dunning.charging import Charging
from dunning.ledger import Ledger, attempts
from dunning.ledger.models import Claim
from dunning.providers.dodo import DodoProvider
from tests.ledger.till import WIDE, charge


async def main(ledger_url: str, sandbox_url: str, lease: float) -> None:
    attempts.LEASE = timedelta(seconds=lease)
    mark_sent = Ledger.mark_sent

    async def freeze(self: attempts.Attempts, claim: Claim) -> None:
        await mark_sent(self, claim)
        os.kill(os.getpid(), signal.SIGSTOP)

    Ledger.mark_sent = freeze  # type: ignore[method-assign]  # on purpose, for this process alone
    provider = DodoProvider(SecretStr("dodo_test_key"), is_test=True, base_url=sandbox_url)
    await provider.read_mandate(charge().reference)
    ledger = await Ledger.open(ledger_url, pool_size=2)
    outcome = await Charging(ledger, provider, WIDE, wait_seconds=2).charge(charge(), owner="frozen")
    print(outcome.kind.value)
    await provider.aclose()
    await ledger.aclose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
