"""What a support person reads in the Temporal UI about a subscription whose payment failed. SPEC 15, 17.

Every step leaves a screenshot in the test's temporary directory; `make test-ui ARGS="--basetemp=DIR"` says where.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome

from dunning.demo.purchases import PurchaseLife
from dunning.domain.script import Script
from dunning.intake import parse_subscription
from tests.builders import subscription_data
from tests.on_the_stack import House, Life, until
from tests.ui.page import Page

pytestmark = [pytest.mark.browser, pytest.mark.server]
SOFT, HARD = "INSUFFICIENT_FUNDS", "DO_NOT_HONOR"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DETAILS = "user-metadata-current-details"
CONTACTS = ("Ayu", "ayu@example.com", "+6281234567890")


@pytest.fixture
def page(browser: Chrome, house: House, tmp_path: Path) -> Page:
    return Page(browser, house.stack.urls["temporal_ui"], tmp_path)


def stamp(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


async def find(page: Page, life: Life, status: str) -> str:
    """Open the list of one status, as soon as it knows the subscription; returns what it reads."""
    query = f"DunningStatus = '{status}'"
    mine = f"{query} AND DunningCustomer = 'cust-{life.name}'"
    await until(lambda: life.house.listed(mine), bool, f"{life.name} is listed as {status}")
    await page.open(f"workflows?query={quote(query)}")
    return await page.reads(f"list-{status}", f"subscription/demo/{life.name}", "RUNNING")


async def test_a_support_person_finds_a_failed_payment_and_reads_what_comes_next(house: House, page: Page) -> None:
    healthy = await house.begin()
    life = await house.begin(SOFT)
    await life.move_to(life.due + HOUR)
    retry = f"retry 1 of 3, IDR 1,000, {stamp(life.due + 3 * DAY)}"
    first = f"first attempt, IDR 1,000, {stamp(life.due)}"

    listed = await find(page, life, "past_due")
    assert healthy.name not in listed

    await page.click(f"subscription/demo/{life.name}")
    timeline = await page.reads("timeline", f"subscription/demo/{life.name}", retry, first)
    await page.click("Event History")
    history = await page.reads("history", "Timer Started", retry, "Activity Task Scheduled", first)
    await page.click("Search Attributes")
    attributes = await page.reads(
        "attributes",
        '"DunningStatus": "past_due"',
        '"DunningDeclineClass": "SOFT"',
        '"DunningAttempt": 2',
        '"DunningAmountDue": 100000',
        f'"DunningNextActionAt": "{(life.due + 3 * DAY).isoformat()}"',
    )
    await page.click("User Metadata")
    details = await page.reads_frame("details", DETAILS, "Next:", "Cycle 1, attempt 1")

    assert details.splitlines()[0] == "past_due · Pro plan · IDR 1,000 via dodo"
    lines = [line for line in details.splitlines()[1:] if line]
    assert lines == [
        f"Access: yes, until {stamp(life.due + 17 * DAY)} (the unpaid cycle is within its recovery window)",
        f"Next: {retry} — day 3 of the ladder",
        f"Cycle 1, due {stamp(life.due)}: retrying, given up at the latest {stamp(life.due + 17 * DAY)}",
        f"Cycle 1, attempt 1: first attempt, {stamp(life.due)}: declined (INSUFFICIENT_FUNDS, SOFT)",
    ]
    everything = "\n".join((listed, timeline, history, attributes, details))
    assert not [contact for contact in CONTACTS if contact in everything]


async def test_the_run_after_the_recovery_tells_its_state_anew(house: House, page: Page) -> None:
    life = await house.begin(SOFT, "SUCCEEDED")
    first = (await life.handle.describe()).run_id
    await life.move_to(life.due + 4 * DAY)
    described = await life.handle.describe()
    assert described.run_id != first

    await find(page, life, "active")
    await page.click(f"subscription/demo/{life.name}")
    await page.reads("timeline", "cycle 2 due, IDR 1,000")
    await page.click("User Metadata")
    details = await page.reads_frame("details", DETAILS, "Next: cycle 2 due, IDR 1,000", "Cycle 1, attempt 2")

    assert details.startswith("active · Pro plan")
    assert f"Cycle 1, attempt 2: retry 1 of 3, {stamp(life.due + 3 * DAY)}: succeeded" in details.splitlines()


async def test_a_run_that_is_over_still_tells_what_it_came_to(house: House, page: Page) -> None:
    life = await house.begin(HARD, due_in=-timedelta(minutes=1), on_hard_decline="FAIL_CYCLE", notifications={})
    run = await life.closed()

    await page.open(f"workflows/{quote(life.handle.id, safe='')}/{run}/user-metadata")
    await page.reads("closed", "COMPLETED")
    details = await page.reads_frame("closed-details", DETAILS, "inactive")

    assert details.startswith("inactive · Pro plan")
    assert "Access: no (the subscription is inactive)" in details.splitlines()
    assert f"Cycle 1, attempt 1: first attempt, {stamp(life.due)}: declined (DO_NOT_HONOR, HARD)" in details


async def declined(house: House, name: str, *, grace_days: int) -> PurchaseLife:
    """A purchase at Google Play with an add-on, whose trial ended in a declined charge; lived up to a day after it."""
    now = datetime.now(UTC).replace(microsecond=0)
    lengths = {"grace_days": grace_days, "hold_days": 30}
    given = parse_subscription(
        subscription_data(
            id=name,
            merchant_account="play",
            customer={**subscription_data()["customer"], "id": f"cust-{name}"},
            provider="google_play",
            collection="provider",
            provider_options={"purchase_token": f"token-{name}", "package_name": "example.kopi.club"},
            payment_methods=[],
            currency="USD",
            items=[{"product_id": "club", "role": "base", "quantity": 1, "unit_amount": 2_000, **lengths}],
            schedule={"anchor_at": now.isoformat(), "interval": "MONTH", "interval_count": 1},
            notifications={},
        )
    )
    music = {"product_id": "music", "unit_amount": 1_000, "trial_days": 7, **lengths}
    bought = {"at": (now + 14 * DAY).isoformat(), "action": "buy_add_on", "with": music}
    script = Script.model_validate({"outcomes": ["DECLINED"], "do": [bought]})
    life = PurchaseLife(house.dunning, (house.sandbox, house.sandbox), given, script, now=now)
    await life.live(now + 22 * DAY)
    return life


async def test_operators_find_purchases_in_grace_and_on_hold_and_read_them_item_by_item(
    house: House, page: Page
) -> None:
    """SPEC 12: one declined renewal puts the whole purchase, add-ons and all, into grace and then on hold."""
    now = datetime.now(UTC)
    for name, grace, status, words in (
        ("held", 0, "on_hold", "Access: no (the provider states no access: hold)"),
        ("late", 7, "past_due", "The provider says: grace"),
    ):
        await declined(house, name, grace_days=grace)
        query = f"DunningProvider = 'google_play' AND DunningStatus = '{status}'"
        listed = await until(partial(house.listed, query), bool, f"{name} is listed as {status}")
        assert [one.id for one in listed] == [f"subscription/play/{name}"]
        await page.open(f"workflows?query={quote(query)}")
        await page.reads(f"play-list-{status}", f"subscription/play/{name}", "RUNNING")
        await page.click(f"subscription/play/{name}")
        await page.reads(f"play-timeline-{status}", "ask the provider where it stands")
        await page.click("User Metadata")
        details = await page.reads_frame(f"play-details-{status}", DETAILS, words)
        for item in ("club", "music"):
            given = "no; renews" if status == "on_hold" else f"yes, until {now + 28 * DAY:%Y-%m}"
            assert f"Item {item}: {given}" in details
