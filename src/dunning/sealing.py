"""Sealed payloads: what Temporal stores of a run, encrypted with AES-GCM under keys of the operator's own. SPEC 15, 18.

Optional. Histories hold no contacts in any case; sealing hides the rest (amounts, dates, codes) from whoever can read
Temporal's database. Search attributes are never sealed: the server has to read them.

    DUNNING_PAYLOAD_KEYS=2026-11:BASE64,2026-05:BASE64

The first key seals, all of them open, each known by its id in the payload's metadata. Payloads that were never sealed
are read as they are, so sealing can be switched on under running subscriptions.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from dunning.errors import ConfigurationError, DunningError

ENCODING = b"binary/encrypted"
KEY_ID = "encryption-key-id"
"""The names that Temporal's own examples use, so that other tools know a sealed payload when they see one."""

NONCE = 12
_KEY_SIZES = (16, 24, 32)
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Unreadable(DunningError):
    """A payload that cannot be opened: its key is not here, or it was changed."""


class SealingSettings(BaseSettings):
    """How payloads are sealed, from the environment (`DUNNING_PAYLOAD_...`).

    Attributes:
        keys: `ID:BASE64` of 16, 24 or 32 bytes, the newest first, separated by commas or line ends; None: not sealed.
        keys_file: read instead of `keys`, for secrets that are mounted as files.
        codec_token: what the codec server wants to see as `Authorization: Bearer ...`; None: nothing.
    """

    model_config = SettingsConfigDict(
        env_prefix="DUNNING_PAYLOAD_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    keys: SecretStr | None = None
    keys_file: Path | None = None
    codec_token: SecretStr | None = None

    def keyring(self) -> dict[str, SecretStr]:
        """Keys by id (base64), the one that seals first; empty when nothing is to be sealed.

        Raises:
            ConfigurationError: a key or an id is not of its form, or both sources are given. No key is quoted.
        """
        if self.keys is not None and self.keys_file is not None:
            raise ConfigurationError("give either DUNNING_PAYLOAD_KEYS or DUNNING_PAYLOAD_KEYS_FILE, not both")
        text = self.keys.get_secret_value() if self.keys is not None else self._read_file()
        found: dict[str, SecretStr] = {}
        for place, entry in enumerate((e for e in re.split(r"[,\s]+", text) if e), start=1):
            key_id, _, key = entry.partition(":")
            if not _ID.fullmatch(key_id) or not key:
                raise ConfigurationError(f"payload key {place}: must be ID:BASE64, the id of letters, digits, . _ -")
            if key_id in found:
                raise ConfigurationError(f"payload key {key_id}: the id stands for two keys")
            if _size(key) not in _KEY_SIZES:
                raise ConfigurationError(f"payload key {key_id}: must be 16, 24 or 32 bytes in base64")
            found[key_id] = SecretStr(key)
        if not found and (self.keys is not None or self.keys_file is not None):
            # Whoever sets the variable wants to seal: an empty one must not store everything in the open.
            raise ConfigurationError("payload keys: there is none in what was given")
        return found

    def _read_file(self) -> str:
        if self.keys_file is None:
            return ""
        try:
            return self.keys_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"payload keys file {self.keys_file}: {type(error).__name__}") from None


def _size(key: str) -> int:
    try:
        return len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        return 0


class EncryptionCodec(PayloadCodec):
    """Seals with the first key of a ring and opens with any."""

    def __init__(self, keyring: dict[str, SecretStr]) -> None:
        """Take over the keys.

        Raises:
            ValueError: there is none.
        """
        if not keyring:
            raise ValueError("a codec needs at least one key")
        self._newest = next(iter(keyring))
        self._ciphers = {name: AESGCM(base64.b64decode(key.get_secret_value())) for name, key in keyring.items()}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Each payload sealed whole, its own metadata included."""
        return [self._seal(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Each payload as it was; one that is not sealed as it is.

        Raises:
            Unreadable: its key is not here, or it was changed.
        """
        return [self._open(payload) for payload in payloads]

    def _seal(self, payload: Payload) -> Payload:
        nonce = os.urandom(NONCE)
        key_id = self._newest.encode()
        sealed = self._ciphers[self._newest].encrypt(nonce, payload.SerializeToString(), _bound(key_id))
        return Payload(metadata={"encoding": ENCODING, KEY_ID: key_id}, data=nonce + sealed)

    def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        key_id = payload.metadata.get(KEY_ID, b"")
        cipher = self._ciphers.get(key_id.decode(errors="replace"))
        if cipher is None:
            raise Unreadable(
                f"a payload is sealed with key {key_id.decode(errors='replace')[:64]!r}, which is not here"
            )
        nonce, sealed = payload.data[:NONCE], payload.data[NONCE:]
        try:
            return Payload.FromString(cipher.decrypt(nonce, sealed, _bound(key_id)))
        except (InvalidTag, ValueError):
            raise Unreadable("a payload was changed after it was sealed, or its key has another value") from None


def _bound(key_id: bytes) -> bytes:
    """What is not hidden and yet cannot be changed."""
    return ENCODING + b"\0" + key_id


def load_sealing() -> SealingSettings:
    """This process's settings; raises `ConfigurationError` without quoting a key."""
    try:
        return SealingSettings()
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors(include_input=False))
        raise ConfigurationError(f"DUNNING_PAYLOAD_...: cannot be read: {fields}") from None


def data_converter(keyring: dict[str, SecretStr]) -> DataConverter:
    """How every client and worker of ours writes payloads; sealed when there are keys, failures included."""
    if not keyring:
        return pydantic_data_converter
    return dataclasses.replace(
        pydantic_data_converter,
        payload_codec=EncryptionCodec(keyring),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
