"""Keys open one merchant account, are kept as hashes, and can be rotated and revoked. SPEC 18."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from dunning.cli.app import app
from dunning.errors import Conflict, NotFound
from dunning.ledger.schema import api_keys
from dunning.redaction import redact_text
from tests.api.desk import Desk, problem

pytestmark = pytest.mark.server


async def answered(desk: Desk, text: str) -> int:
    return (await desk.http.get("/v1/subscriptions", headers={"Authorization": f"Bearer {text}"})).status_code


async def test_without_a_valid_key_nothing_is_answered(desk: Desk) -> None:
    wrong = (
        "Basic ZGVtbzpkZW1v",
        "Bearer",
        "Bearer nonsense",
        f"Bearer dnk_{'0' * 12}_{'0' * 48}",
        "Bearer " + "0" * 5000,
    )
    for headers in ({}, *({"Authorization": one} for one in wrong)):
        for method, path in (("GET", "/subscriptions"), ("POST", "/subscriptions"), ("POST", "/subscriptions/x/pause")):
            answer = await desk.http.request(method, f"/v1{path}?limit=none", headers=headers)
            problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer ")


async def test_a_key_with_another_secret_is_refused(desk: Desk) -> None:
    key = await desk.key()
    changed = key[:-1] + ("0" if key[-1] != "0" else "1")
    assert [await answered(desk, text) for text in (key, changed, key.upper())] == [200, 401, 401]


async def test_the_ledger_keeps_no_secret(desk: Desk) -> None:
    key = await desk.key()
    secret = key.rpartition("_")[2]
    async with desk.ledger._engine.begin() as connection:
        [row] = (await connection.execute(select(api_keys))).all()
    assert row.id in key
    assert all(secret not in str(value) for value in row)


async def test_a_revoked_key_is_refused_at_once_and_revoking_again_changes_nothing(desk: Desk) -> None:
    made = await desk.ledger.create_key("demo", name="test")
    assert await answered(desk, made.text) == 200
    first = await desk.ledger.revoke_key(made.key.id)
    assert await answered(desk, made.text) == 401
    assert await desk.ledger.revoke_key(made.key.id) == first


async def test_an_expired_key_is_refused(desk: Desk) -> None:
    assert await answered(desk, await desk.key(expires_after=timedelta(0, 0, 1))) == 401
    assert await answered(desk, await desk.key(expires_after=timedelta(hours=1))) == 200


async def test_while_a_key_is_rotated_both_work_and_then_the_new_one_alone(desk: Desk) -> None:
    old = await desk.ledger.create_key("demo", name="shop", expires_after=timedelta(days=30))
    new = await desk.ledger.rotate_key(old.key.id, overlap=timedelta(hours=1))
    assert [await answered(desk, text) for text in (old.text, new.text)] == [200, 200]
    assert (new.key.account, new.key.name) == ("demo", "shop")
    assert new.key.expires_at is not None
    assert new.key.expires_at - new.key.created_at > timedelta(days=29)
    newest = await desk.ledger.rotate_key(new.key.id, overlap=timedelta(0))
    assert [await answered(desk, text) for text in (old.text, new.text, newest.text)] == [200, 401, 200]


async def test_a_rotation_never_makes_the_old_key_live_longer(desk: Desk) -> None:
    old = await desk.ledger.create_key("demo", name="shop", expires_after=timedelta(hours=1))
    await desk.ledger.rotate_key(old.key.id, overlap=timedelta(days=7))
    [key, _] = await desk.ledger.keys_of("demo")
    assert key.expires_at == old.key.expires_at


async def test_what_works_no_more_has_no_successor(desk: Desk) -> None:
    made = await desk.ledger.create_key("demo", name="test")
    await desk.ledger.revoke_key(made.key.id)
    with pytest.raises(Conflict, match="revoked"):
        await desk.ledger.rotate_key(made.key.id, overlap=timedelta(0))
    for work in (desk.ledger.rotate_key("none", overlap=timedelta(0)), desk.ledger.revoke_key("none")):
        with pytest.raises(NotFound):
            await work


async def test_the_use_of_a_key_is_noted(desk: Desk) -> None:
    made = await desk.ledger.create_key("demo", name="test")
    await answered(desk, made.text)
    [first] = await desk.ledger.keys_of("demo")
    await answered(desk, made.text)
    [again] = await desk.ledger.keys_of("demo")
    assert made.key.last_used_at is None
    assert first.last_used_at == again.last_used_at is not None


async def test_a_key_never_reaches_a_log(desk: Desk) -> None:
    key = await desk.key()
    assert key not in redact_text(f"sent with {key}, refused")


@pytest.fixture
def dunning(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("DUNNING_LEDGER_URL", ledger_url)
    monkeypatch.delenv("DUNNING_ACCOUNTS_FILE", raising=False)

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, ["keys", *words])

    return run


def test_on_the_command_line_a_key_is_made_listed_rotated_and_revoked(dunning: Callable[..., Result]) -> None:
    made: dict[str, Any] = json.loads(dunning("create", "--account", "demo", "--name", "shop", "--json").stdout)
    assert made["key"].startswith(f"dnk_{made['id']}_")
    plain = dunning("create", "--account", "other")
    assert plain.stdout.strip().startswith("dnk_")
    rotated = json.loads(dunning("rotate", made["id"], "--overlap", "1h", "--json").stdout)
    dunning("revoke", rotated["id"])
    listed = json.loads(dunning("list", "--account", "demo", "--json").stdout)
    assert [(one["id"], one["state"]) for one in listed] == [(made["id"], "valid"), (rotated["id"], "revoked")]
    assert made["key"] not in dunning("list", "--all").stdout
    assert len(json.loads(dunning("list", "--all", "--json").stdout)) == 3


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("create", "--expires", "soon"), 2),
        (("create", "--expires", "99999999999999d"), 2),
        (("create", "--name", ""), 2),
        (("rotate", "none"), 3),
        (("revoke", "none"), 3),
    ],
)
def test_on_the_command_line_what_is_wrong_is_said(
    dunning: Callable[..., Result], words: tuple[str, ...], code: int
) -> None:
    done = dunning(*words)
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr
