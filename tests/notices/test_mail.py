"""What stands in a mail, read back by the standard library's parser, and what each refusal of a server means."""

from __future__ import annotations

import asyncio
import email.policy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.parser import BytesParser
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr

from dunning.domain.terms import Channel
from dunning.notices.email import MailAnswer, compose, message_id
from dunning.notices.mailing import MailPool
from dunning.notices.render import Brand, Rendered
from dunning.settings import SmtpSettings
from tests.notices.house import House, house_of
from tests.servers import free_port

BRAND = Brand(name="Kopi Harian", support_address="help@kopi.example")
RENDERED = Rendered(subject="Halo, ada kabar: 支払い", html="<p>สวัสดี</p>", text="Halo\n", template="t",
                    template_language="id", parameters=(), short="Halo")  # fmt: skip
AT = datetime(2026, 3, 5, 13, 10, 4, tzinfo=UTC)


def parsed(raw: bytes) -> EmailMessage:
    return BytesParser(EmailMessage, policy=email.policy.default).parsebytes(raw)


async def sent(settings: SmtpSettings, mail: EmailMessage) -> MailAnswer:
    """One mail over a connection of its own."""
    pool = MailPool(settings)
    try:
        return await pool.send(mail)
    finally:
        await pool.aclose()


def composed(**changes: Any) -> EmailMessage:
    fields: dict[str, Any] = {
        "to": "ayu@example.com",
        "name": "Ayu, Lestari",
        "sender": "billing@kopi.example",
        "brand": BRAND,
        "identity": "<x@kopi.example>",
        "at": AT,
    }
    return compose(RENDERED, **{**fields, **changes})


@pytest.mark.server
async def test_a_mail_is_read_back_whole(house: House) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    await house.send(Channel.EMAIL)

    (caught,) = house.mail.mails
    mail = parsed(caught.raw)
    assert (caught.sender, caught.recipients) == ("billing@kopi.example", ("ayu@example.com",))
    assert str(mail["From"]) == "Kopi Harian <billing@kopi.example>"
    assert str(mail["To"]) == "Ayu <ayu@example.com>"
    assert str(mail["Reply-To"]) == "help@kopi.example"
    assert mail["Subject"] == "Your payment to Kopi Harian did not go through"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert before <= mail["Date"].datetime <= datetime.now(UTC)
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]
    plain, page = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert page is not None
    assert "We tried to collect $25.00 for Pro plan" in plain.get_content()
    assert "<h1" in page.get_content()
    assert not mail.defects


@pytest.mark.server
async def test_names_and_subjects_of_every_script_survive(ledger_url: str) -> None:
    async with house_of(ledger_url, name="สมชาย, ใจดี") as house:
        await house.send(Channel.EMAIL, merchant_name="مقهى الصباح")

        mail = parsed(house.mail.mails[0].raw)
        assert mail["To"].addresses[0].display_name == "สมชาย, ใจดี"
        assert mail["From"].addresses[0].display_name == "مقهى الصباح"
        assert mail["Subject"] == "Your payment to مقهى الصباح did not go through"


def test_the_message_id_is_derived_and_tells_nothing() -> None:
    one = message_id("demo", "sub-1", "1/1/1/failed", "kopi.example")

    assert one == message_id("demo", "sub-1", "1/1/1/failed", "kopi.example")
    assert one.endswith("@kopi.example>")
    assert "sub-1" not in one
    others = {("demo", "sub-2", "1/1/1/failed"), ("other", "sub-1", "1/1/1/failed"), ("demo", "sub-1", "2/1/1/failed")}
    assert len({one, *(message_id(*place, "kopi.example") for place in others)}) == 4


@pytest.mark.parametrize("address", ["a@b@c", "two words@example.com", "ayu@example.com\r\nBcc: all@example.com"])
def test_a_broken_address_is_refused_before_anything_is_sent(address: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        composed(to=address)


def test_a_name_cannot_add_a_header() -> None:
    with pytest.raises(ValueError, match=r".+"):
        composed(name="Ayu\r\nBcc: all@example.com")


# --- a server that refuses -------------------------------------------------------------------------


class Refusing:
    """An SMTP server that says no where it is told to."""

    def __init__(self, at: str, reply: str) -> None:
        self._at, self._reply = at, reply
        self.taken = 0

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        if self._at == "sender":
            return self._reply
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:  # noqa: N802
        if self._at == "recipient":
            return self._reply
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self._at == "data":
            return self._reply
        self.taken += 1
        return "250 OK"


@asynccontextmanager
async def smtp_server(handler: Refusing, **options: Any) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: SMTP(handler, hostname="mx.example", loop=loop, **options), "127.0.0.1")
    async with listener:
        yield listener.sockets[0].getsockname()[1]


def settings(port: int, **changes: Any) -> SmtpSettings:
    fields = {"host": "127.0.0.1", "port": port, "from_address": "billing@kopi.example", "tls": "none"}
    return SmtpSettings(**{**fields, "timeout_seconds": 5, **changes})


@pytest.mark.server
@pytest.mark.parametrize(
    ("place", "reply", "is_final", "needs_attention"),
    [
        ("recipient", "550 5.1.1 no such user ayu@example.com", True, False),
        ("recipient", "450 4.2.0 greylisted", False, False),
        ("sender", "550 5.7.1 not allowed to send as this", False, True),
        ("sender", "451 4.3.0 later", False, False),
        ("data", "554 5.7.1 refused", True, True),
        ("data", "452 4.3.1 no space", False, False),
    ],
)
async def test_a_refusal_says_whether_to_try_again_and_whom_to_tell(
    place: str, reply: str, is_final: bool, needs_attention: bool
) -> None:
    async with smtp_server(Refusing(place, reply)) as port:
        answer = await sent(settings(port), composed())

    assert not answer.is_accepted
    assert (answer.is_final, answer.needs_attention) == (is_final, needs_attention)
    assert "ayu@example.com" not in answer.because


@pytest.mark.server
async def test_a_wrong_password_is_a_persons_business_and_the_mail_waits() -> None:
    def nobody(*_: Any) -> AuthResult:
        return AuthResult(success=False, handled=False)

    async with smtp_server(Refusing("nowhere", ""), authenticator=nobody, auth_require_tls=False) as port:
        answer = await sent(settings(port, username="u", password=SecretStr("pw-secret")), composed())

    assert (answer.is_accepted, answer.is_final, answer.needs_attention) == (False, False, True)
    assert "535" in answer.because
    assert "pw-secret" not in answer.because


@pytest.mark.server
async def test_a_password_is_never_sent_without_encryption_to_a_server_that_wants_it() -> None:
    handler = Refusing("nowhere", "")
    async with smtp_server(handler) as port:
        answer = await sent(settings(port, username="u", password=SecretStr("pw-secret")), composed())

    assert (answer.is_accepted, answer.is_final, answer.needs_attention) == (False, False, True)
    assert handler.taken == 0


@pytest.mark.server
async def test_a_server_without_encryption_gets_no_mail_when_it_is_demanded() -> None:
    handler = Refusing("nowhere", "")
    async with smtp_server(handler) as port:
        answer = await sent(settings(port, tls="starttls"), composed())

    assert (answer.is_accepted, answer.is_final, answer.needs_attention) == (False, False, True)
    assert handler.taken == 0


@pytest.mark.server
async def test_nobody_listening_is_tried_again() -> None:
    answer = await sent(settings(free_port()), composed())

    assert (answer.is_accepted, answer.is_final, answer.needs_attention) == (False, False, False)


# --- connections and encryption ----------------------------------------------------------------------


class Counting(Refusing):
    """Takes everything, and counts connections."""

    def __init__(self) -> None:
        super().__init__("nowhere", "")
        self.hellos = 0

    async def handle_EHLO(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.hellos += 1
        session.host_name = hostname
        return responses


@pytest.mark.server
async def test_one_connection_carries_many_mails_and_so_many_at_once_as_are_allowed() -> None:
    handler = Counting()
    async with smtp_server(handler) as port:
        pool = MailPool(settings(port, connections=2))
        for _ in range(3):
            assert (await pool.send(composed())).is_accepted
        assert handler.hellos == 1
        await asyncio.gather(*(pool.send(composed()) for _ in range(10)))
        await pool.aclose()

    assert handler.taken == 13
    assert handler.hellos <= 2


@pytest.mark.server
async def test_a_connection_that_the_server_closed_is_replaced_and_a_refusal_spoils_none() -> None:
    handler = Counting()
    async with smtp_server(handler) as port:
        pool = MailPool(settings(port))
        await pool.send(composed())
        client, _ = pool._idle[0]
        client.close()
        assert (await pool.send(composed())).is_accepted
        handler._at, handler._reply = "recipient", "550 5.1.1 nobody"
        refused = await pool.send(composed())
        handler._at = "nowhere"
        assert (await pool.send(composed())).is_accepted
        await pool.aclose()

    assert refused.is_address_dead
    assert handler.taken == 3


@pytest.mark.server
@pytest.mark.parametrize(
    ("reply", "is_dead"), [("550 5.1.1 nobody", True), ("550 5.7.1 spam", False), ("552 5.2.2 full", False)]
)
async def test_a_recipient_that_is_refused_for_good_is_dead_only_when_the_server_says_so(
    reply: str, is_dead: bool
) -> None:
    async with smtp_server(Refusing("recipient", reply)) as port:
        assert (await sent(settings(port), composed())).is_address_dead is is_dead


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that vouches for itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.example")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(pem)
    return folder / "cert.pem", folder / "key.pem"


@pytest.mark.server
@pytest.mark.parametrize("is_trusted", [True, False])
async def test_starttls_is_used_and_the_servers_certificate_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_trusted: bool
) -> None:
    cert, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    handler = Refusing("nowhere", "")

    async with smtp_server(handler, tls_context=context, require_starttls=True) as port:
        answer = await sent(settings(port, tls="starttls"), composed())

    assert (answer.is_accepted, answer.needs_attention) == (is_trusted, not is_trusted)
    assert handler.taken == int(is_trusted)
