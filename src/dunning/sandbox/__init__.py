"""The sandbox: Dodo Payments and the WhatsApp Cloud API as one local HTTP server with scripted customers.

It speaks the providers' contracts, keeps everything in memory and hides nothing: two charge requests make two
charges, with or without the same key, and the charge book shows both. SPEC 3, 20.

    python -m dunning.sandbox --port 8088        the server
    python -m dunning.sandbox.mail               the mail catcher (needs the development dependency aiosmtpd)

Tests run it in their own event loop with `SandboxServer.start()`.
"""

from dunning.sandbox.server import SandboxServer
from dunning.sandbox.settings import SandboxSettings

__all__ = ["SandboxServer", "SandboxSettings"]
