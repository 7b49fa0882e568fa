"""What channels say after they took a notice: written down, and told to the core where a step follows. SPEC 11.

Everything here may be done again, in any order: the ledger's rows only rise, and the inbox knows its messages.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from dunning.contract import NoticeHeard, ProviderFact
from dunning.domain.contact import NoticeKind
from dunning.domain.terms import Channel
from dunning.ledger import Ledger
from dunning.ledger.notices import REACHED, Undelivered
from dunning.notices.bounces import Bounce
from dunning.notices.channels import waits_after
from dunning.notices.whatsapp import OPTED_OUT
from dunning.notices.whatsapp_codes import ERROR_CODES, UNKNOWN
from dunning.notices.whatsapp_words import OtherWord, StatusWord, StopWord
from dunning.providers.base import MessageKind

WHATSAPP, EMAIL = Channel.WHATSAPP.value, Channel.EMAIL.value
UNDER_WAY = (*REACHED, "planned", "sending")


class _Heard(NamedTuple):
    because: str
    at: datetime
    attention: str | None = None
    is_told: bool = False


class Reconciling:
    """One ledger's notices and what is said of them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def take(self, account: str, word: StatusWord | StopWord | OtherWord) -> str:
        """One word of WhatsApp; returns what became of it, for a log."""
        if isinstance(word, OtherWord):
            await self._record(account, word.message_id, word.name)
            return "recorded"
        if isinstance(word, StopWord):
            return await self._stop(account, word)
        if word.status == "failed":
            return await self._failed(account, word)
        is_ours = await self._ledger.note_arrival(
            account,
            message_id=word.message_id, place=word.place, channel=WHATSAPP, status=word.status, at=word.at,
        )  # fmt: skip
        return "noted" if is_ours else "not ours"

    async def bounced(self, account: str, bounce: Bounce, at: datetime) -> str:
        """A report about a mail; returns what became of it. `at` is the machine clock."""
        found = await self._ledger.find_notice(account, message_id=bounce.message_id, place=None, channel=EMAIL)
        if found is None:
            return "not ours"
        if bounce.action != "failed":
            return "noted"
        because = f"the mail came back: {bounce.status or 'failed'}"
        undelivered = await self._ledger.note_failure(
            account, message_id=bounce.message_id, place=None, channel=EMAIL, because=because, at=at
        )
        customer = await self._ledger.customer_of(account, *found, EMAIL)
        if bounce.is_address_dead and customer is not None:
            await self._ledger.mark_dead(account, customer, Channel.EMAIL, because)
        if undelivered is not None and bounce.is_address_dead:
            others = await self._ledger.other_channels(account, *found, EMAIL)
            if not any(status in UNDER_WAY for status in others.values()):
                await self._tell(account, f"mail:{bounce.message_id}:failed", undelivered, _Heard(because, at))
        return "failed"

    async def _failed(self, account: str, word: StatusWord) -> str:
        row = ERROR_CODES.get(word.code, UNKNOWN) if word.code is not None else UNKNOWN
        found = await self._ledger.find_notice(account, message_id=word.message_id, place=word.place, channel=WHATSAPP)
        if found is None:
            return "not ours"
        others = await self._ledger.other_channels(account, *found, WHATSAPP)
        because = f"WhatsApp {word.code}: {row.meaning}"
        undelivered = await self._ledger.note_failure(
            account,
            message_id=word.message_id,
            place=word.place,
            channel=WHATSAPP,
            because=because,
            at=word.at,
            waits=waits_after(row, is_email_listed=EMAIL in others),
        )
        if word.code == OPTED_OUT:
            customer = await self._ledger.customer_of(account, *found, WHATSAPP)
            if customer is not None:
                await self._ledger.opt_out(account, customer, Channel.WHATSAPP, NoticeKind.ROUTINE, source="channel")
        if undelivered is None:
            return "noted"
        is_told = undelivered.is_final and any(status in UNDER_WAY for status in others.values())
        attention = because if row.needs_attention else None
        if not is_told or attention:
            identity = f"whatsapp:{word.message_id}:failed"
            await self._tell(account, identity, undelivered, _Heard(because, word.at, attention, is_told))
        return "failed"

    async def _stop(self, account: str, word: StopWord) -> str:
        """The customer wants no more on WhatsApp: of no kind, e-mail stands in."""
        for customer in await self._ledger.customers_with_phone(account, word.phone):
            for kind in NoticeKind:
                await self._ledger.opt_out(account, customer, Channel.WHATSAPP, kind, source="answer")
        await self._record(account, word.message_id, "answer/stop")
        return "opted out"

    async def _record(self, account: str, message_id: str, name: str) -> None:
        await self._ledger.receive(
            account,
            message_id=f"whatsapp:{message_id}",
            kind="whatsapp",
            raw_type=name,
            reference=None,
            subscription=None,
            fact={},
        )

    async def _tell(self, account: str, identity: str, undelivered: Undelivered, heard: _Heard) -> None:
        notice = NoticeHeard(
            key=undelivered.key,
            at=undelivered.at,
            because=heard.because,
            attention=heard.attention,
            is_told=heard.is_told,
        )
        fact = ProviderFact(message_id=identity, kind=MessageKind.NOTICE, occurred_at=heard.at, notice=notice)
        await self._ledger.receive(
            account,
            message_id=identity,
            kind=MessageKind.NOTICE.value,
            raw_type="failed",
            reference=None,
            subscription=undelivered.subscription,
            fact=fact.model_dump(mode="json"),
        )
