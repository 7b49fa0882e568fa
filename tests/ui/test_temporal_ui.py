"""What a support person reads in the Temporal UI about a subscription whose payment failed. SPEC 15, 17.

Every step leaves a screenshot in the test's temporary directory; `make test-ui ARGS="--basetemp=DIR"` says where.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from selenium.webdriver import Chrome

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
