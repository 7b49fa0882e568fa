"""Developer notifications on their way out: Pub/Sub's push envelope with an OIDC token of the sandbox's own key."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from google.auth import crypt, jwt

from dunning.sandbox.book import machine_now, new_id
from dunning.sandbox.settings import SandboxSettings
from dunning.sandbox.webhooks import Event

ISSUER = "https://accounts.google.com"
_encode: Callable[..., bytes] = jwt.encode
_signer: Callable[..., Any] = crypt.RSASigner.from_string


class SigningKey:
    """A key that signs tokens, and the certificate by which they are verified. Made when it is first needed."""

    key_id = "sandbox-key-1"

    @cached_property
    def _key(self) -> rsa.RSAPrivateKey:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @cached_property
    def private_pem(self) -> str:
        """The private key, PEM."""
        form = serialization.PrivateFormat.PKCS8
        plain = serialization.NoEncryption()
        return self._key.private_bytes(serialization.Encoding.PEM, form, plain).decode()

    @cached_property
    def certificate(self) -> str:
        """The certificate, PEM; good for ten years from the machine's now."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sandbox")])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=3650))
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM).decode()

    @cached_property
    def _own_signer(self) -> Any:
        return _signer(self.private_pem, self.key_id)

    def token(self, *, audience: str, email: str, now: datetime, **other: Any) -> str:
        """An OIDC token as Pub/Sub sends it; `other` claims win."""
        issued = int(now.timestamp())
        claims = {
            "iss": ISSUER,
            "aud": audience,
            "azp": "113774264463038321964",
            "sub": "113774264463038321964",
            "email": email,
            "email_verified": True,
            "iat": issued,
            "exp": issued + 3600,
            **other,
        }
        return _encode(self._own_signer, claims).decode()


def envelope(notification: dict[str, Any], message_id: str) -> bytes:
    """The body of a push."""
    data = base64.b64encode(json.dumps(notification, separators=(",", ":")).encode()).decode()
    message = {"attributes": {}, "data": data, "messageId": message_id}
    body = {"message": message, "subscription": "projects/sandbox/subscriptions/play"}
    return json.dumps(body, separators=(",", ":")).encode()


def notification(package: str, at: datetime, **about: Any) -> dict[str, Any]:
    """A `DeveloperNotification`; `about` is the one part that says what happened."""
    return {
        "version": "1.0",
        "packageName": package,
        "eventTimeMillis": str(int(at.timestamp() * 1000)),
        **about,
    }


def push_event(key: SigningKey, about: dict[str, Any], label: str, subject: str, settings: SandboxSettings) -> Event:
    """The event that carries one notification to whoever listens."""

    def render(event: Event) -> tuple[dict[str, str], bytes]:
        audience = settings.play_push_audience or event.url
        token = key.token(audience=audience, email=settings.play_push_email, now=machine_now())
        headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
        return headers, envelope(about, event.event_id)

    return Event(new_id("pubsub"), label, subject, settings.play_push_url or "", render)
