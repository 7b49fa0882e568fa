"""One sandbox: its settings and everything that it remembers, wired in one place."""

from __future__ import annotations

import asyncio
import contextlib

from dunning.sandbox.backend import BackendDouble
from dunning.sandbox.bank import Bank
from dunning.sandbox.book import Book, Payment, Subscription
from dunning.sandbox.faults import Faults
from dunning.sandbox.mandates import Mandates
from dunning.sandbox.omise_desk import PROVIDER as OMISE
from dunning.sandbox.omise_desk import OmiseDesk
from dunning.sandbox.play_world import PlayWorld
from dunning.sandbox.scripts import Scripts
from dunning.sandbox.settings import SandboxSettings, WebhookPolicy
from dunning.sandbox.signing import dodo_event
from dunning.sandbox.sms import SmsBook
from dunning.sandbox.timers import Pulse, Timers
from dunning.sandbox.webhooks import Courier
from dunning.sandbox.whatsapp_book import WhatsAppBook
from dunning.sandbox.xendit_desk import PROVIDER as XENDIT
from dunning.sandbox.xendit_desk import XenditDesk


class Sandbox:
    """The state of one running sandbox; routes and tests reach everything through it."""

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.closing = asyncio.Event()
        self.book = Book()
        self.scripts = Scripts()
        self.faults = Faults()
        self.pulse = Pulse()
        self.timers = Timers(self.pulse)
        self.courier = Courier(lambda: self.settings, self.pulse)
        self.bank = Bank(self.book, self.scripts, self.timers, lambda: self.settings, self.emit)
        self.mandates = Mandates(self.book, self.bank, self.timers, self.emit)
        self.omise = OmiseDesk(self.book, self.scripts, self.timers, self.courier, lambda: self.settings)
        self.xendit = XenditDesk(self.book, self.scripts, self.timers, self.courier, lambda: self.settings)
        self.play = PlayWorld(self.courier, lambda: self.settings)
        self.whatsapp = WhatsAppBook()
        self.sms = SmsBook()
        self.backend = BackendDouble()

    def is_quiet(self, subject: str | None = None) -> bool:
        """Whether nothing more will happen by itself: no request, outcome or webhook is on its way."""
        return self.courier.pending(subject) == 0 and self.timers.in_flight(subject) == 0

    async def until_quiet(self, subject: str | None = None, *, within: float = 10.0) -> bool:
        """Wait until nothing is on its way, at most so many machine seconds; whether that came true."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                while not self.is_quiet(subject):
                    await self.pulse.next()
        return self.is_quiet(subject)

    async def pause(self, seconds: float) -> None:
        """Wait so many machine seconds, or until the sandbox closes."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closing.wait(), seconds)

    async def reset(self) -> None:
        """Forget everything but the settings; webhooks go out normally again."""
        self.timers.cancel()
        await self.courier.stop()
        self.book.clear()
        self.omise.clear()
        self.xendit.clear()
        self.play.clear()
        self.scripts.clear()
        self.faults.clear()
        self.whatsapp.clear()
        self.sms.clear()
        self.backend.clear()
        self.settings = self.settings.model_copy(update={"webhooks": WebhookPolicy()})

    async def close(self) -> None:
        """Let go of held connections and of webhooks on their way."""
        self.closing.set()
        self.timers.cancel()
        await self.courier.stop()

    def emit(self, event_type: str, about: Payment | Subscription) -> None:
        """Tell of a payment or a subscription in its provider's words."""
        owner = about.subscription if isinstance(about, Payment) else about
        if owner is not None and owner.provider == OMISE:
            self.omise.emit(event_type, about)
            return
        if owner is not None and owner.provider == XENDIT:
            self.xendit.emit(event_type, about)
            return
        self.courier.send(dodo_event(event_type, about, self.settings))
