"""Settings: every fault at once, modes never mixed, secrets never shown. SPEC 12, 18."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dunning.errors import ConfigurationError
from dunning.settings import Settings, accounts_in, load_settings, substitute

SECRET = "whsec_" + "c2FuZGJveC1zZWNyZXQtMDEyMw=="


def account(**changes: Any) -> dict[str, Any]:
    return {"provider": "dodo", "mode": "test", "api_key": "dodo_test_k", "merchant_name": "Kopi", **changes}


def settings_of(tmp_path: Path, *accounts: dict[str, Any]) -> Settings:
    file = tmp_path / "accounts.json"
    file.write_text(json.dumps({"accounts": {f"a{number}": one for number, one in enumerate(accounts)}}))
    return load_settings(accounts_file=file)


def test_accounts_come_from_a_file_with_defaults_of_the_specification(tmp_path: Path) -> None:
    found = settings_of(tmp_path, account(webhook_secrets=[SECRET])).account("a0")

    assert (found.max_in_flight, found.requests_per_second) == (10, 20.0)
    assert found.api_key.get_secret_value() == "dodo_test_k"
    assert [secret.get_secret_value() for secret in found.webhook_secrets] == [SECRET]


@pytest.mark.parametrize(("mode", "key"), [("test", "dodo_live_k"), ("live", "dodo_test_k")])
def test_credentials_of_the_other_mode_are_refused(tmp_path: Path, mode: str, key: str) -> None:
    with pytest.raises(ConfigurationError, match="never mixed") as refusal:
        settings_of(tmp_path, account(mode=mode, api_key=key))

    assert key not in str(refusal.value)


def test_a_key_file_is_read_and_its_mode_is_checked(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("dodo_live_from_file\n")
    changes = {"api_key": "", "api_key_file": str(key_file)}

    live = settings_of(tmp_path, account(mode="live", **changes)).account("a0")
    assert live.api_key.get_secret_value() == "dodo_live_from_file"
    with pytest.raises(ConfigurationError, match="never mixed"):
        settings_of(tmp_path, account(**changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"api_key": ""}, "api_key or api_key_file is needed"),
        ({"api_key_file": "/nowhere"}, "not both"),
        ({"api_key": "", "api_key_file": "/nowhere"}, "cannot be read"),
        ({"webhook_secrets": ["secret"]}, "whsec_"),
        ({"webhook_secrets": ["whsec_c2hvcnQ="]}, "whsec_"),
        ({"backend_url": "http://127.0.0.1/events"}, "come together"),
        ({"backend_url": "http://127.0.0.1/events", "backend_secret": "plain"}, "whsec_"),
        ({"smtp": {"host": "mail", "from_address": "a@b.example", "tls": "maybe"}}, "smtp.tls"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_work_is_refused_with_its_place(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        settings_of(tmp_path, account(**changes))


def test_all_faults_are_told_at_once_and_none_shows_a_value(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        settings_of(tmp_path, account(api_key="dodo_live_k1"), account(mode="dodo_live_k2"))

    assert "accounts.a0" in str(refusal.value)
    assert "accounts.a1.mode" in str(refusal.value)
    assert "dodo_live" not in str(refusal.value)


def test_secrets_are_not_in_the_representation(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, account(webhook_secrets=[SECRET]))

    assert "dodo_test_k" not in repr(settings)
    assert SECRET not in repr(settings)


def test_variables_are_filled_in(tmp_path: Path) -> None:
    file = tmp_path / "accounts.yml"
    file.write_text("accounts: {a: {base_url: '${HERE:-http://x}/v1', hosts: ['${THERE}'], n: 3}}")

    assert accounts_in(file, {"THERE": "t"}) == {"a": {"base_url": "http://x/v1", "hosts": ["t"], "n": 3}}
    assert accounts_in(file, {"THERE": "t", "HERE": "h"})["a"]["base_url"] == "h/v1"
    with pytest.raises(ConfigurationError, match="THERE is not set"):
        accounts_in(file, {})


def test_substitution_takes_an_empty_variable_for_unset() -> None:
    assert substitute("${A:-b}/${A:-}", {"A": ""}) == "b/"


@pytest.mark.parametrize("content", ["accounts: [", "[]", "accounts: 3", "other: {}"])
def test_a_file_of_another_form_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "accounts.yml"
    file.write_text(content)

    with pytest.raises(ConfigurationError, match=r"accounts\.yml"):
        load_settings(accounts_file=file)


def test_a_missing_file_or_account_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.yml"):
        load_settings(accounts_file=tmp_path / "nowhere.yml")
    with pytest.raises(ConfigurationError, match="there are: a0"):
        settings_of(tmp_path, account()).account("demo")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_the_ledger_is_reached_with_psycopg_however_its_url_is_spelt(scheme: str) -> None:
    settings = load_settings(ledger_url=f"{scheme}://u:p@h:5432/d")

    assert settings.ledger_url_async == "postgresql+psycopg://u:p@h:5432/d"
    assert "p@h" not in repr(settings)


def test_without_a_ledger_the_variable_to_set_is_named() -> None:
    with pytest.raises(ConfigurationError, match="DUNNING_LEDGER_URL"):
        _ = load_settings(ledger_url="").ledger_url_async


def test_the_environment_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "accounts.json"
    file.write_text(json.dumps({"accounts": {"shop": account()}}))
    monkeypatch.setenv("DUNNING_ACCOUNTS_FILE", str(file))
    monkeypatch.setenv("DUNNING_GATEWAY_PORT", "9001")

    settings = load_settings()

    assert settings.gateway_port == 9001
    assert settings.account("shop").merchant_name == "Kopi"


@pytest.mark.parametrize("secret", ["whsec_c2FuZGJveA==", "not base64!", ""])
def test_an_omise_secret_of_another_form_is_refused_and_not_shown(tmp_path: Path, secret: str) -> None:
    given = account(provider="omise", api_key="skey_test_k", webhook_secrets=[secret])
    with pytest.raises(ConfigurationError, match="base64") as caught:
        settings_of(tmp_path, given)
    assert not secret or secret not in str(caught.value)
    good = account(provider="omise", api_key="skey_test_k", webhook_secrets=["c2FuZGJveA=="])
    assert len(settings_of(tmp_path, good).account("a0").webhook_secrets) == 1
