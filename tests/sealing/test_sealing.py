"""Payloads sealed under keys of the operator: what is hidden, what is still read, what is refused. SPEC 15, 18."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from dunning.client import connect
from dunning.contract import SubscriptionInput
from dunning.errors import ConfigurationError
from dunning.sealing import ENCODING, KEY_ID, EncryptionCodec, SealingSettings, Unreadable, data_converter
from tests.sealing.keys import NEW, OLD, ring

MARKER = "kopi-marker-4711"
GIVEN = SubscriptionInput(account="demo", subscription=MARKER)


async def sealed(value: Any, *names: str) -> Payload:
    (payload,) = await data_converter(ring(*names)).encode([value])
    return payload


async def opened(payload: Payload, *names: str) -> Any:
    (value,) = await data_converter(ring(*names)).decode([payload], [SubscriptionInput])
    return value


async def test_a_sealed_payload_shows_its_key_and_nothing_of_what_it_holds() -> None:
    payload = await sealed(GIVEN, "old")
    assert dict(payload.metadata) == {"encoding": ENCODING, KEY_ID: b"old"}
    assert MARKER.encode() not in payload.SerializeToString()
    assert await opened(payload, "old") == GIVEN


async def test_the_same_value_is_never_sealed_alike() -> None:
    first, second = await sealed(GIVEN, "old"), await sealed(GIVEN, "old")
    assert first.data != second.data
    assert first.data[:12] != second.data[:12]


async def test_after_a_rotation_the_newest_key_seals_and_the_old_one_still_opens() -> None:
    before = await sealed(GIVEN, "old")
    after = await sealed(GIVEN, "new", "old")
    assert after.metadata[KEY_ID] == b"new"
    assert [await opened(one, "new", "old") for one in (before, after)] == [GIVEN, GIVEN]


async def test_without_its_key_a_payload_stays_shut_and_the_reason_names_the_key_alone() -> None:
    with pytest.raises(Unreadable, match="'old', which is not here"):
        await opened(await sealed(GIVEN, "old"), "new")


async def test_a_key_of_the_same_id_with_another_value_opens_nothing() -> None:
    codec = EncryptionCodec({"old": SecretStr(NEW)})
    with pytest.raises(Unreadable, match="another value"):
        await codec.decode([await sealed(GIVEN, "old")])


@pytest.mark.parametrize("place", [0, 11, 12, 40, -1])
async def test_a_payload_that_was_changed_anywhere_is_not_opened(place: int) -> None:
    payload = await sealed(GIVEN, "old")
    data = bytearray(payload.data)
    data[place] ^= 1
    payload.data = bytes(data)
    with pytest.raises(Unreadable, match="changed"):
        await opened(payload, "old")


async def test_a_payload_whose_key_id_was_changed_is_not_opened() -> None:
    payload = await sealed(GIVEN, "old")
    payload.metadata[KEY_ID] = b"twin"
    codec = EncryptionCodec({"old": SecretStr(OLD), "twin": SecretStr(OLD)})
    with pytest.raises(Unreadable, match="changed"):
        await codec.decode([payload])


@pytest.mark.parametrize("size", [0, 5, 12, 27])
async def test_a_payload_that_was_cut_off_is_not_opened(size: int) -> None:
    payload = await sealed(GIVEN, "old")
    payload.data = payload.data[:size]
    with pytest.raises(Unreadable):
        await opened(payload, "old")


async def test_what_was_never_sealed_is_read_as_it_is() -> None:
    (plain,) = await data_converter({}).encode([GIVEN])
    assert MARKER.encode() in plain.data
    assert await opened(plain, "new") == GIVEN


async def test_the_words_of_a_failure_are_sealed_too() -> None:
    converter, failure = data_converter(ring("old")), Failure()
    await converter.encode_failure(ApplicationError(MARKER, MARKER), failure)
    assert MARKER.encode() not in failure.SerializeToString()
    found = await converter.decode_failure(failure)
    assert isinstance(found, ApplicationError)
    assert (found.message, found.details) == (MARKER, (MARKER,))


def test_a_codec_without_a_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one key"):
        EncryptionCodec({})


def settings(text: str) -> SealingSettings:
    return SealingSettings(keys=SecretStr(text))


def test_keys_are_read_in_their_order_from_the_environment_or_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert SealingSettings().keyring() == {}
    file = tmp_path / "keys"
    file.write_text(f"new:{NEW}\nold:{OLD}\n")
    assert list(SealingSettings(keys_file=file).keyring()) == ["new", "old"]
    monkeypatch.setenv("DUNNING_PAYLOAD_KEYS", f"new:{NEW}, old:{OLD}")
    assert list(SealingSettings().keyring()) == ["new", "old"]
    with pytest.raises(ConfigurationError, match="not both"):
        SealingSettings(keys_file=file).keyring()


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("", "there is none"),
        (" , ", "there is none"),
        (OLD, "must be ID:BASE64"),
        (f"a b:{OLD}", "must be ID:BASE64"),
        ("old:", "must be ID:BASE64"),
        (f"old:{OLD},old:{NEW}", "two keys"),
        ("old:c2hvcnQ=", "16, 24 or 32 bytes"),
        (f"old:{OLD[:-1]}", "16, 24 or 32 bytes"),
        (f"old:{base64.b64encode(bytes(64)).decode()}", "16, 24 or 32 bytes"),
    ],
)
def test_keys_of_another_form_are_refused_without_being_quoted(text: str, because: str) -> None:
    with pytest.raises(ConfigurationError, match=because) as caught:
        settings(text).keyring()
    assert OLD[:8] not in str(caught.value)


async def test_nobody_connects_with_keys_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUNNING_PAYLOAD_KEYS", "old:short")
    with pytest.raises(ConfigurationError, match="payload key old"):
        await connect(lazy=True)


async def test_every_client_of_ours_seals_when_there_are_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await connect(lazy=True)).data_converter.payload_codec is None
    monkeypatch.setenv("DUNNING_PAYLOAD_KEYS", f"old:{OLD}")
    assert isinstance((await connect(lazy=True)).data_converter.payload_codec, EncryptionCodec)
