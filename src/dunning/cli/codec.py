"""`dunning codec-server`: opens sealed payloads for the Temporal UI. SPEC 15, 18."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import typer
import uvicorn

from dunning.cli.output import note
from dunning.codec_server import create_app
from dunning.errors import ConfigurationError
from dunning.sealing import EncryptionCodec, load_sealing

UI = "http://127.0.0.1:8233"


def codec_server(
    *,
    host: Annotated[str, typer.Option(help="any other than this machine's own needs a token")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8089,
    origin: Annotated[list[str] | None, typer.Option(help=f"address of a Temporal UI; default {UI}")] = None,
) -> None:
    """Serve `/decode` and `/encode` with the keys of DUNNING_PAYLOAD_KEYS until Ctrl-C."""
    settings = load_sealing()
    keyring = settings.keyring()
    if not keyring:
        raise ConfigurationError("no key to open payloads with: set DUNNING_PAYLOAD_KEYS or DUNNING_PAYLOAD_KEYS_FILE")
    if settings.codec_token is None and not _is_this_machine(host):
        raise ConfigurationError(
            f"on {host} everybody could read: set DUNNING_PAYLOAD_CODEC_TOKEN, or listen here only"
        )
    if "*" in (origin or ()):
        raise ConfigurationError("an origin is the address of your Temporal UI; with * every page could ask")
    app = create_app(EncryptionCodec(keyring), origins=origin or [UI], token=settings.codec_token)
    note(f"Codec server on http://{host}:{port}; keys: {', '.join(keyring)}. Stop it with Ctrl-C.")
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
