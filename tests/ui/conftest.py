"""A headless Chromium, and the stack whose Temporal UI it opens."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.on_the_stack import House, open_house

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--window-size=1600,1400",
)  # fmt: skip
PACKAGES = "chromium chromium-driver"


@pytest.fixture(scope="module")
async def house() -> AsyncIterator[House]:
    async with open_house() as opened:
        yield opened


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """With a profile of its own; a missing program fails the test, because a skipped one would look green."""
    options = webdriver.ChromeOptions()
    options.binary_location = _program("chromium", "chromium-browser", "google-chrome", "chrome")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(executable_path=_program("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def _program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(f"browser tests need {' or '.join(names)} on the PATH; on Debian: apt-get install {PACKAGES}")
    return found
