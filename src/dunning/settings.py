"""Where everything is and with which credentials: environment and files, read once, frozen. SPEC 18.

Variables start with `DUNNING_`; merchant accounts stand in one JSON or YAML file named by
`DUNNING_ACCOUNTS_FILE`, in which `${NAME}` and `${NAME:-default}` are taken from the environment. Temporal's
connection is not here: it has its own environment configuration (`TEMPORAL_ADDRESS`, ...).
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from dunning.errors import ConfigurationError

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
THROWAWAY_KEY = "throwaway"
"""As the `api_key` of a Google Play account at a sandbox: each process makes a key of its own when it starts."""
_OTHER_MODE_PREFIX = {"test": "dodo_live_", "live": "dodo_test_"}


class _Part(BaseModel):
    """A frozen part of the settings; unknown names are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class WhatsAppSettings(_Part):
    """The WhatsApp Cloud API of one merchant account.

    Attributes:
        app_secret: signs the status messages that come in; without it they are refused.
        verify_token: of your choice; Meta shows it once, when the address for status messages is set up.
    """

    base_url: str = "https://graph.facebook.com"
    phone_number_id: str
    token: SecretStr
    version: str = "v23.0"
    app_secret: SecretStr | None = None
    verify_token: SecretStr | None = None


class SmtpSettings(_Part):
    """The mail server of one merchant account. `starttls` upgrades a plain connection."""

    host: str
    port: int = Field(default=587, ge=1, le=65535)
    username: str | None = None
    password: SecretStr | None = None
    from_address: str
    tls: Literal["none", "starttls", "tls"] = "starttls"
    timeout_seconds: float = Field(default=20.0, gt=0)
    connections: int = Field(default=4, ge=1, le=50)


class SmsSettings(_Part):
    """Your own SMS gateway: one signed HTTP call for each message. `secret` is a `whsec_` secret."""

    url: str = Field(pattern=r"^https?://\S+$")
    secret: SecretStr

    @field_validator("secret")
    @classmethod
    def _is_signing_secret(cls, value: SecretStr) -> SecretStr:
        return _signing_secret(value)


class UnsubscribeSettings(_Part):
    """The link with which a customer leaves routine mails out.

    Attributes:
        base_url: where customers reach the gateway.
        secret: signs the links; a changed one makes older links invalid.
    """

    base_url: str = Field(pattern=r"^https?://\S+$")
    secret: SecretStr = Field(min_length=16)


class BrandSettings(_Part):
    """How the merchant looks in mails."""

    colour: str = Field(default="#1a4fd6", pattern=r"^#[0-9a-fA-F]{6}$")
    logo_url: str | None = None
    support_address: str | None = None


class GooglePlaySettings(_Part):
    """What a Google Play account needs besides its key, which is a service account's JSON key file. Sheet G.

    Attributes:
        package_name: the app.
        token_url: where access tokens are fetched, instead of Google's own address; with a `base_url` (a sandbox)
            its `/token` unless given.
        push_audience, push_email: what the token of a Pub/Sub push has to say: the audience configured there, and
            the service account that pushes. Without both, no push is taken.
        push_keys_url: where the keys that sign those tokens are fetched.
        push_keys_file: read instead of fetching: a JSON file of key id to PEM certificate.
    """

    package_name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_.]{0,254}$")
    token_url: str | None = None
    push_audience: str | None = None
    push_email: str | None = None
    push_keys_url: str = "https://www.googleapis.com/oauth2/v1/certs"
    push_keys_file: Path | None = None


class AccountSettings(_Part):
    """One set of credentials at one provider, in one mode. SPEC 2, 14.

    Attributes:
        base_url: instead of the provider's own address; the sandbox's in development.
        api_key_file: read instead of `api_key`, for secrets that are mounted as files.
        webhook_secrets: all that verify; two while a secret is being rotated.
        max_in_flight: charges under way at once, over all workers.
        requests_per_second: over all workers.
        backend_url, backend_secret: where signed events go, and the `whsec_` secret that signs them.
        backend_secret_old: signs beside it while a backend changes from one to the other.
        merchant_name: as customers know it.
        google_play: of an account at Google Play: its app, and how its notifications are verified.
        payment_method_url: your page where a customer changes the payment method; notices link to it.
            `{subscription}` and `{customer}` are filled with their ids.
    """

    provider: Literal["xendit", "dodo", "omise", "google_play"]
    mode: Literal["test", "live"]
    base_url: str | None = None
    api_key: SecretStr = SecretStr("")
    api_key_file: Path | None = None
    webhook_secrets: tuple[SecretStr, ...] = ()
    max_in_flight: int = Field(default=10, ge=1)
    requests_per_second: float = Field(default=20.0, gt=0)
    backend_url: str | None = None
    backend_secret: SecretStr | None = None
    backend_secret_old: SecretStr | None = None
    whatsapp: WhatsAppSettings | None = None
    smtp: SmtpSettings | None = None
    sms: SmsSettings | None = None
    unsubscribe: UnsubscribeSettings | None = None
    merchant_name: str = Field(min_length=1)
    payment_method_url: str | None = Field(
        default=None, pattern=r"^https?://[^\s{}]+(\{(subscription|customer)\}[^\s{}]*)*$"
    )
    brand: BrandSettings = BrandSettings()
    google_play: GooglePlaySettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _read_key_file(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or not data.get("api_key_file"):
            return data
        if data.get("api_key"):
            raise ValueError("give either api_key or api_key_file, not both")
        try:
            key = Path(str(data["api_key_file"])).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ValueError(f"api_key_file cannot be read: {error.strerror}") from None
        return {**data, "api_key": key}

    @field_validator("backend_secret", "backend_secret_old")
    @classmethod
    def _is_signing_secret(cls, value: SecretStr | None) -> SecretStr | None:
        return value if value is None else _signing_secret(value)

    @property
    def needs_webhook_secret(self) -> bool:
        """Whether a shared secret verifies the provider's messages; else the sender's certificates do."""
        return self.google_play is None

    @property
    def deaf_because(self) -> str | None:
        """What is missing without which every message of the provider is refused; None: nothing is."""
        if self.google_play is not None:
            is_set = self.google_play.push_audience is not None and self.google_play.push_email is not None
            return None if is_set else "google_play: push_audience and push_email"
        return None if self.webhook_secrets else "webhook_secrets"

    @model_validator(mode="after")
    def _google_play_fits(self) -> Self:
        if (self.provider == "google_play") is not (self.google_play is not None):
            raise ValueError("google_play: belongs to accounts of that provider, and to each of them")
        is_sandboxed = self.mode == "test" and self.base_url is not None and self.google_play is not None
        if self.api_key.get_secret_value() == THROWAWAY_KEY and not is_sandboxed:
            raise ValueError(f"api_key: {THROWAWAY_KEY!r} is for Google Play accounts in test mode with a base_url")
        return self

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if not self.api_key.get_secret_value():
            raise ValueError("an api_key or api_key_file is needed")
        # A live key in test mode would move real money in a trial; a test key in live mode would move none.
        if self.api_key.get_secret_value().startswith(_OTHER_MODE_PREFIX[self.mode]):
            raise ValueError(f"the api_key belongs to the other mode than {self.mode!r}; they are never mixed")
        if self.provider == "dodo":
            for secret in self.webhook_secrets:
                _signing_secret(secret)
        if self.provider == "omise":
            for secret in self.webhook_secrets:
                _base64_secret(secret)
        if (self.backend_url is None) != (self.backend_secret is None):
            raise ValueError("backend_url and backend_secret come together")
        if self.backend_secret is None and self.backend_secret_old is not None:
            raise ValueError("backend_secret_old signs beside a backend_secret, not instead of it")
        return self


class Settings(BaseSettings):
    """The whole configuration of a process.

    Attributes:
        ledger_url: PostgreSQL, as `postgresql://...`; see `ledger_url_async`.
        accounts: merchant accounts by name.
        gateway_host, gateway_port: where the gateway listens; gateway_url: where others reach it.
        api_requests_per_second, api_burst: how often one key of the HTTP API may ask, in each gateway process.
        sandbox_url, mail_url: the development stack's, None elsewhere.
        log_format: `json` for machines, `console` for people.
    """

    model_config = SettingsConfigDict(
        env_prefix="DUNNING_", frozen=True, extra="ignore", hide_input_in_errors=True, populate_by_name=True
    )

    ledger_url: SecretStr = SecretStr("")
    accounts_file: Path | None = None
    accounts: dict[str, AccountSettings] = {}
    gateway_host: str = "127.0.0.1"
    gateway_port: int = Field(default=8080, ge=0, le=65535)
    gateway_url: str | None = None
    api_requests_per_second: float = Field(default=20.0, gt=0)
    api_burst: int = Field(default=40, ge=1)
    sandbox_url: str | None = None
    mail_url: str | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"

    @model_validator(mode="before")
    @classmethod
    def _read_accounts(cls, data: Any) -> Any:
        file = data.get("accounts_file") if isinstance(data, Mapping) else None
        if not file:
            return data
        return {**data, "accounts": {**accounts_in(Path(str(file))), **(data.get("accounts") or {})}}

    @property
    def ledger_url_async(self) -> str:
        """The ledger's URL for SQLAlchemy with psycopg; raises `ConfigurationError` when there is none."""
        url = self.ledger_url.get_secret_value()
        if not url:
            raise ConfigurationError("no ledger: set DUNNING_LEDGER_URL to a PostgreSQL URL")
        return re.sub(r"^postgres(ql)?(\+[a-z0-9]+)?://", "postgresql+psycopg://", url)

    def account(self, name: str) -> AccountSettings:
        """One merchant account; raises `ConfigurationError` naming those that there are."""
        found = self.accounts.get(name)
        if found is None:
            known = ", ".join(sorted(self.accounts)) or "none; set DUNNING_ACCOUNTS_FILE"
            raise ConfigurationError(f"no merchant account {name!r} in the settings (there are: {known})")
        return found


def load_settings(**given: Any) -> Settings:
    """This process's settings, arguments before environment; raises `ConfigurationError` with all faults."""
    try:
        return Settings(**given)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'settings'}: {fault['msg']}"
            for fault in error.errors(include_url=False, include_context=False, include_input=False)
        ]
        raise ConfigurationError("; ".join(faults)) from None


def accounts_in(file: Path, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The `accounts` of a JSON or YAML file, with variables filled in; raises `ConfigurationError`."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"accounts file {file}: {error.strerror}") from None
    except yaml.YAMLError as error:
        # The parser quotes the offending lines, which may hold a secret; only the place is told.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise ConfigurationError(f"accounts file {file}: not valid YAML or JSON{where}") from None
    accounts = content.get("accounts") if isinstance(content, dict) else None
    if not isinstance(accounts, dict):
        raise ConfigurationError(f"accounts file {file}: a mapping `accounts:` of name to account is needed")
    filled = _filled(accounts, os.environ if environment is None else environment)
    return {str(name): account for name, account in filled.items()}


def substitute(text: str, environment: Mapping[str, str]) -> str:
    """Fill `${NAME}` and `${NAME:-default}` in; an empty variable counts as unset.

    Raises:
        ConfigurationError: a variable without default is not set.
    """

    def value(found: re.Match[str]) -> str:
        known = environment.get(found["name"]) or found["default"]
        if known is None:
            raise ConfigurationError(f"the environment variable {found['name']} is not set")
        return known

    return _VARIABLE.sub(value, text)


def _filled(node: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(node, str):
        return substitute(node, environment)
    if isinstance(node, dict):
        return {key: _filled(value, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, environment) for value in node]
    return node


def _base64_secret(secret: SecretStr) -> SecretStr:
    """Omise's form: plain base64. Another one would verify nothing."""
    try:
        is_one = bool(base64.b64decode(secret.get_secret_value(), validate=True))
    except (binascii.Error, ValueError):
        is_one = False
    if not is_one:
        raise ValueError("a webhook secret of this provider is base64, as its dashboard shows it")
    return secret


def _signing_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    try:
        size = len(base64.b64decode(text.removeprefix("whsec_"), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    # A secret of another form would verify nothing, and be noticed only when events have been lost.
    if not text.startswith("whsec_") or not 16 <= size <= 64:
        raise ValueError("a signing secret is `whsec_` and 16 to 64 bytes in base64")
    return secret
