"""The demo's purchases: on whatever day it runs, preview and golden instants agree, and a difference is told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from dunning.cli.reading import read_file
from dunning.demo.purchases import Purchases, Told, chosen, differences
from dunning.domain.preview import Foretold
from dunning.domain.script import Script
from dunning.errors import ConfigurationError
from dunning.previewing import foretell
from dunning.providers.google_play_auth import ServiceAccount
from dunning.providers.registry import provider_for
from dunning.settings import THROWAWAY_KEY, AccountSettings

EXAMPLES = Path(__file__).parents[1] / "examples"
FILE = EXAMPLES / "purchases.yml"
NAMES = ("play-held-and-recovered", "play-held-and-lost")
DAYS = ("2026-01-29", "2026-01-30", "2026-01-31", "2027-02-28", "2028-02-29", "2026-03-31", "2026-08-01", "2026-12-31")


def at(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T13:10:07").replace(tzinfo=UTC)


def purchases(now: datetime) -> Purchases:
    return chosen(read_file(FILE, now=now), FILE.with_suffix(".golden.yml"), set())


def walked(found: Purchases, name: str, now: datetime) -> Foretold:
    entry = next(one for one in found.entries if one.document["id"] == name)
    assert entry.subscription is not None
    until = found.golden[name].told(now)[-1].at
    return foretell(entry.subscription, entry.script or Script(), created_at=now, until=until, cycles=99)


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("name", NAMES)
def test_preview_and_golden_instants_agree_on_any_day(name: str, day: str) -> None:
    now, found = at(day), purchases(at(day))
    foretold = walked(found, name, now)
    golden = found.golden[name]
    assert differences(golden.told(now), foretold.purchase, golden, now) == []
    assert golden.charged(now) in [one.amount for one in foretold.obligations]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "active"}, "on_hold (no access), was"),
        ({"items": {"club": at("2026-09-01")}}, "on_hold (club to 2026-09-01T13:10:07Z)"),
        ({"at": at("2026-08-22") + timedelta(minutes=3)}, "was 2026-08-22T13:13:07Z on_hold"),
    ],
)
def test_what_is_answered_otherwise_is_a_difference_from_both(change: dict[str, object], words: str) -> None:
    now, found = at("2026-08-01"), purchases(at("2026-08-01"))
    golden = found.golden[NAMES[0]]
    told = golden.told(now)
    lived = [one.but(**change) if one.status == "on_hold" else one for one in told]
    said = differences(lived, walked(found, NAMES[0], now).purchase, golden, now)
    assert [one.partition(":")[0] for one in said] == ["golden", "preview"]
    assert all(words in one for one in said)


def test_a_moment_that_is_missing_is_a_difference() -> None:
    now, found = at("2026-08-01"), purchases(at("2026-08-01"))
    golden = found.golden[NAMES[1]]
    said = differences(golden.told(now)[:-1], walked(found, NAMES[1], now).purchase, golden, now)
    assert said[0] == "golden: wanted 5 moments, there were 4: 08-01, 08-15, 08-22, 09-21"


def test_a_purchase_without_golden_instants_is_refused(tmp_path: Path) -> None:
    (tmp_path / "golden.yml").write_text("{}")
    with pytest.raises(ConfigurationError, match="play-held-and-recovered: has no golden instants"):
        chosen(read_file(FILE, now=at("2026-08-01")), tmp_path / "golden.yml", set())


def test_the_first_moment_may_be_asked_for_late_and_no_other() -> None:
    now, found = at("2026-08-01"), purchases(at("2026-08-01"))
    golden = found.golden[NAMES[0]]
    told: list[Told] = golden.told(now)
    told[0] = told[0].but(at=now + timedelta(minutes=20))
    assert differences(told, walked(found, NAMES[0], now).purchase, golden, now) == []


def account(**changes: object) -> AccountSettings:
    given = {
        "provider": "google_play",
        "mode": "test",
        "base_url": "http://127.0.0.1:8088/play",
        "api_key": THROWAWAY_KEY,
        "merchant_name": "Kopi",
        "google_play": {"package_name": "example.kopi.club"},
    }
    return AccountSettings.model_validate({**given, **changes})


async def test_a_sandboxs_account_has_a_key_that_each_process_makes_and_no_file_holds() -> None:
    first, second = provider_for(account()), provider_for(account())
    assert first is not second
    assert THROWAWAY_KEY in (EXAMPLES / "accounts.dev.yml").read_text()
    assert "PRIVATE KEY" not in (EXAMPLES / "accounts.dev.yml").read_text()
    for one in (first, second):
        await one.aclose()
    with pytest.raises(ValueError, match="service account"):
        ServiceAccount(SecretStr(THROWAWAY_KEY))


@pytest.mark.parametrize("change", [{"mode": "live"}, {"base_url": None}])
def test_a_throwaway_key_is_for_a_sandbox_alone(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="in test mode with a base_url"):
        account(**change)


def test_an_account_says_what_keeps_it_deaf() -> None:
    assert account().deaf_because == "google_play: push_audience and push_email"
    pushed = {"package_name": "example.kopi.club", "push_audience": "a", "push_email": "p@sandbox.example"}
    assert account(google_play=pushed).deaf_because is None
