"""Access to the Google Play Developer API as a service account: a signed assertion buys a token for an hour.

`google-auth` signs; the token is fetched with the HTTP client that everything else uses, so that its address, its
time-outs and its tests are ours. Source: the sheet, G.1.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt
from pydantic import SecretStr

from dunning.providers.base import ProviderUnavailable
from dunning.providers.http import CALL_SECONDS, CONNECT_SECONDS

SCOPE = "https://www.googleapis.com/auth/androidpublisher"
TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFE = timedelta(hours=1)
EARLY = timedelta(minutes=2)
"""A token is not used so shortly before its end."""
# The library's functions carry no types.
_encode: Callable[..., bytes] = jwt.encode
_signer_of: Callable[..., Any] = crypt.RSASigner.from_service_account_info


class ServiceAccount:
    """A service account's key file, read once.

    Attributes:
        email: whose key it is.
        token_url: where the assertion is exchanged; the key file's own unless another is given.
    """

    def __init__(self, key: SecretStr, token_url: str | None = None) -> None:
        """Read the key file's JSON.

        Raises:
            ValueError: it is no service account's key. The message tells nothing of what is in it.
        """
        try:
            info = json.loads(key.get_secret_value())
            self.email = str(info["client_email"])
            self._signer = _signer_of(info)
        except (ValueError, KeyError, TypeError):
            raise ValueError("api_key: a service account's JSON key file is needed for Google Play") from None
        self.token_url = token_url or str(info.get("token_uri") or TOKEN_URL)

    def assertion(self, now: datetime) -> str:
        """The signed request for a token, good for one hour from `now` (the machine clock)."""
        issued = int(now.timestamp())
        # The audience is Google's own address also where a sandbox stands in for it.
        claims = {
            "iss": self.email,
            "scope": SCOPE,
            "aud": TOKEN_URL,
            "iat": issued,
            "exp": issued + int(LIFE.total_seconds()),
        }
        signed: bytes = _encode(self._signer, claims)
        return signed.decode()


def throwaway_key() -> SecretStr:
    """A service account's key that was made just now and that Google has never seen: for a sandbox, which checks none.

    It lives as long as this process and is written nowhere.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    info = {
        "type": "service_account",
        "client_email": "dunning@sandbox.iam.gserviceaccount.com",
        "private_key": key.private_bytes(serialization.Encoding.PEM, form, plain).decode(),
        "private_key_id": "throwaway",
        "token_uri": TOKEN_URL,
    }
    return SecretStr(json.dumps(info))


class Tokens:
    """The current access token, fetched when it is needed and kept until shortly before its end."""

    def __init__(
        self,
        account: ServiceAccount,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        machine_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._account = account
        self._now = machine_now
        self._token: str | None = None
        self._until = datetime.min.replace(tzinfo=UTC)
        limits = httpx.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS, pool=CONNECT_SECONDS)
        self._http = httpx.AsyncClient(timeout=limits, follow_redirects=False, transport=transport)

    async def get(self) -> str:
        """A token that is good for now; raises `ProviderUnavailable` when there is none to be had."""
        now = self._now()
        if self._token is None or now >= self._until:
            self._token, seconds = await self._fetch(now)
            self._until = now + timedelta(seconds=seconds) - EARLY
        return self._token

    def forget(self) -> None:
        """The token was refused: the next call fetches another."""
        self._token = None

    async def aclose(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def _fetch(self, now: datetime) -> tuple[str, int]:
        form = urlencode({"grant_type": GRANT, "assertion": self._account.assertion(now)})
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        try:
            answer = await self._http.post(self._account.token_url, content=form, headers=headers)
            body: Any = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise ProviderUnavailable(f"no access token: {type(error).__name__}") from None
        token = body.get("access_token") if isinstance(body, dict) else None
        if answer.status_code != 200 or not isinstance(token, str) or not token:
            reason = body.get("error") if isinstance(body, dict) else None
            told = reason if isinstance(reason, str) and reason.replace("_", "").isalnum() else answer.status_code
            raise ProviderUnavailable(f"attention: Google does not accept this account's key ({told})")
        seconds = body.get("expires_in")
        return token, seconds if isinstance(seconds, int) and 0 < seconds <= 86_400 else 300
