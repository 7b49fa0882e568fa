"""What a customer was told, and where nothing arrives, for `dunning show` and `dunning notices`. SPEC 11."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from dunning.domain.contact import NoticeKind
from dunning.domain.showing import stamp
from dunning.domain.terms import Channel
from dunning.ledger import Ledger
from dunning.ledger.models import StoredNotice
from dunning.ledger.reach import Reach

LATEST = 8
"""So many notices are shown with a subscription; `dunning notices ID` lists all."""


class Told(NamedTuple):
    """A subscription's notices, and how its customer is reached."""

    notices: list[StoredNotice]
    reach: Reach


async def told(ledger: Ledger, account: str, subscription: str, customer: str) -> Told:
    """Read both."""
    return Told(await ledger.notices_of(account, subscription), await ledger.reach(account, customer))


def told_json(said: Told) -> dict[str, Any]:
    """The same for programs. Addresses are never shown."""
    return {
        "notices": [row.model_dump(mode="json") for row in said.notices],
        "unreachable": {channel.value: because for channel, because in said.reach.dead.items()},
        "opt_outs": [{"channel": channel.value, "kind": kind.value} for channel, kind in sorted(said.reach.refused)],
    }


def told_lines(said: Told) -> Iterator[str]:
    """The latest notices, and what does not arrive, one a line."""
    for row in said.notices[-LATEST:]:
        when = reached_at(row)
        at = f" {stamp(when)}" if when is not None else ""
        identity = f", {row.provider_id}" if row.provider_id else ""
        yield f"- Notice {row.occasion}, {row.channel}: {row.status}{at}{identity} ({row.because})"
    for channel in Channel:
        if channel in said.reach.dead:
            yield f"- {channel.value} reaches nobody: {said.reach.dead[channel]}"
        for kind in NoticeKind:
            if (channel, kind) in said.reach.refused:
                yield f"- {channel.value}: the customer opted out of {kind.value} notices"


def reached_at(row: StoredNotice) -> datetime | None:
    """When a notice's status was reached, or when its next step comes."""
    if row.status in ("planned", "unclear"):
        return row.wait_until or row.planned_at
    return {"delivered": row.delivered_at, "read": row.read_at, "failed": row.failed_at}.get(row.status, row.sent_at)
